"""Lines of JSON that spell the same names in the same order: cut at their commas.

Most clients write every row alike. Its line is then one of a table whose cells read
`"name": value`, and to cut a table takes half the time that JSON takes. That the lines
are alike is not taken for granted: nothing is escaped, every line has as many commas
as the first one, and every cell begins with the name of its column. As the lines are
known to be JSON, no comma then stands inside a text, a list or an object.
"""

from __future__ import annotations

import re
from collections.abc import Collection

import msgspec
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv

from governance.labels import canonical
from monitoring.stats.rows import categorical, one_array

# The beginning of a cell, up to its value.
_HEAD = re.compile(rb'\s*"([^"]+)"\s*:\s*')
# No number of float64 needs as many characters.
_LONGEST_NUMBER = 64
# Arrow counts the bytes of a block in 32 bits.
_LONGEST_BLOCK = 1 << 30


class UnlikeError(ValueError):
    """The lines aren't alike, or can't be cut."""


def read(lines: bytes, rows: int, numeric: Collection[str]) -> dict[str, pa.Array]:
    """Return the columns of objects in JSON, one a line, that are spelled alike.

    Parameters
    ----------
    lines : bytes
        At least one line.
    rows : int
        Number of lines.
    numeric : collection of str
        The names whose values are numbers.

    Returns
    -------
    dict of str to Array
        float64, or a dictionary of canonical text; null where the value is.

    Raises
    ------
    UnlikeError, pyarrow.ArrowInvalid
        The lines aren't alike, or have other values than numbers and scalars.

    Examples
    --------
    >>> found = read(b'{"x": 1.5, "c": "a"}\\n{"x": null, "c": 1.0}', 2, {"x"})
    >>> found["x"].to_pylist(), found["c"].to_pylist()
    ([1.5, None], ['a', '1'])

    """
    heads = _heads(lines)
    if b"\\" in lines or len(lines) > _LONGEST_BLOCK:
        raise UnlikeError
    table = _cut(lines, len(heads))
    if table.num_rows != rows:
        raise UnlikeError
    columns: dict[str, pa.Array] = {}
    for (name, head), column in zip(heads.items(), table.columns, strict=True):
        cells = one_array(column)
        if len(columns) == len(heads) - 1:
            cells = pc.ascii_rtrim(cells, "}")
        of = _numbers if name in numeric else _categories
        columns[name] = of(cells, head)
    return columns


def _heads(lines: bytes) -> dict[str, bytes]:
    """Return how the cells of the first line begin, by their names."""
    first, _, _ = lines.partition(b"\n")
    heads: dict[str, bytes] = {}
    start = first.find(b"{") + 1
    for place, cell in enumerate(first[start:].split(b",")):
        match = _HEAD.match(cell)
        if match is None:
            raise UnlikeError
        head = match.group() if place else first[:start] + match.group()
        heads[match.group(1).decode()] = head
    return heads


def _cut(lines: bytes, width: int) -> pa.Table:
    names = [str(place) for place in range(width)]
    return pa.csv.read_csv(
        pa.BufferReader(lines),
        read_options=pa.csv.ReadOptions(
            use_threads=False, column_names=names, block_size=len(lines) + 1
        ),
        parse_options=pa.csv.ParseOptions(
            quote_char=False, double_quote=False, ignore_empty_lines=False
        ),
        convert_options=pa.csv.ConvertOptions(
            column_types=dict.fromkeys(names, pa.string()), check_utf8=False
        ),
    )


def _numbers(cells: pa.StringArray, head: bytes) -> pa.Array:
    binary = cells.view(pa.binary())
    if not pc.all(pc.starts_with(binary, head)).as_py():
        raise UnlikeError
    longest = int(pc.max(pc.binary_length(binary)).as_py())
    if longest > len(head) + _LONGEST_NUMBER:
        raise UnlikeError
    values = pc.binary_slice(binary, len(head), longest).view(pa.string())
    try:
        return values.cast(pa.float64())
    except pa.ArrowInvalid:
        are_null = pc.equal(values, "null")
        known = pc.replace_with_mask(values, are_null, pa.scalar(None, pa.string()))
        return known.cast(pa.float64())


def _categories(cells: pa.StringArray, head: bytes) -> pa.DictionaryArray:
    encoded = cells.dictionary_encode()
    names = [
        _category(cell, head)
        for cell in encoded.dictionary.view(pa.binary()).to_pylist()
    ]
    return categorical(
        pa.DictionaryArray.from_arrays(encoded.indices, pa.array(names, pa.string()))
    )


def _category(cell: bytes, head: bytes) -> str | None:
    if not cell.startswith(head):
        raise UnlikeError
    try:
        value = msgspec.json.decode(cell[len(head) :])
    except msgspec.DecodeError as error:
        raise UnlikeError from error
    if value is not None and not isinstance(value, str | int | float):
        raise UnlikeError
    return canonical(value)
