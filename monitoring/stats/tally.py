"""Additive counts: the state of which every live figure is a function."""

from __future__ import annotations

import json
import struct
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]
Unseen = dict[str, dict[str, int]]

OTHER = "__other__"
MAX_UNSEEN_NAMES = 1_000

_VERSION = 1
_DENSE, _SPARSE = 0, 1
_INT_TYPES = tuple(np.dtype(code) for code in ("<i1", "<i2", "<i4", "<i8"))
_WIDEST = _INT_TYPES[-1]
_FLOAT = np.dtype("<f8")
# version, dtype of the ints, layout of the ints, layout of the sums, lengths of
# both, stored ints, stored sums, ints too wide for the dtype, bytes of JSON
_HEADER = struct.Struct("<BBBBIIIIII")


@dataclass(slots=True, eq=False)
class Tally:
    """Counts that add: those of two sets of rows are the sum of their counts.

    Attributes
    ----------
    ints : int64 array, shape (L,)
        Counts; negative ones are legal (a correction is -old +new).
    sums : float64 array, shape (S,)
        Sums of values.
    unseen : dict of dict
        Column → name → count, for categories that the layout has no place for.
        The first `MAX_UNSEEN_NAMES` names of a column in alphabetical order are
        exact; the others share the name ``__other__``. Totals are always exact.

    Examples
    --------
    >>> one = Tally(np.array([1, 2]), np.array([0.5]), {"city": {"Oslo": 1}})
    >>> both = one + one
    >>> both.ints.tolist(), both.sums.tolist(), both.unseen
    ([2, 4], [1.0], {'city': {'Oslo': 2}})
    >>> Tally.from_bytes(both.to_bytes(), 2, 1) == both
    True

    """

    ints: Ints
    sums: Floats
    unseen: Unseen = field(default_factory=dict)

    @classmethod
    def empty(cls, ints_length: int, sums_length: int) -> Self:
        """Return the tally of no rows."""
        return cls(np.zeros(ints_length, np.int64), np.zeros(sums_length), {})

    def copy(self) -> Self:
        """Return a tally that shares no memory with this one."""
        unseen = {column: dict(names) for column, names in self.unseen.items()}
        return type(self)(self.ints.copy(), self.sums.copy(), unseen)

    def __add__(self, other: Self) -> Self:
        result = self.copy()
        result += other
        return result

    def __sub__(self, other: Self) -> Self:
        result = self.copy()
        result -= other
        return result

    def __iadd__(self, other: Self) -> Self:
        with np.errstate(over="ignore", invalid="ignore"):
            self.ints += other.ints
            self.sums += other.sums
        _merge_unseen(self.unseen, other.unseen, 1)
        return self

    def __isub__(self, other: Self) -> Self:
        with np.errstate(over="ignore", invalid="ignore"):
            self.ints -= other.ints
            self.sums -= other.sums
        _merge_unseen(self.unseen, other.unseen, -1)
        return self

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Tally):
            return NotImplemented
        return (
            np.array_equal(self.ints, other.ints)
            and np.array_equal(self.sums, other.sums, equal_nan=True)
            and self.unseen == other.unseen
        )

    def add_unseen(self, column: str, names: Mapping[str, int]) -> None:
        """Add counts of one column's categories, by name, in place."""
        _merge_unseen(self.unseen, {column: names}, 1)

    def to_bytes(self) -> bytes:
        """Return the tally in the smallest of the layouts that describe it.

        Integers take the narrowest type under which the whole is smallest; the few
        that don't fit follow as (index, int64) pairs. Each array is dense, or
        sparse as (index, value) pairs.
        """
        width, layout, ints, count, patched = _smallest_ints(self.ints)
        sum_layout, sums, sum_count = _smallest_sums(self.sums)
        names = _unseen_json(self.unseen)
        header = _HEADER.pack(
            _VERSION,
            width,
            layout,
            sum_layout,
            len(self.ints),
            len(self.sums),
            count,
            sum_count,
            patched,
            len(names),
        )
        return b"".join((header, ints, sums, names))

    @classmethod
    def from_bytes(
        cls, data: bytes | memoryview, ints_length: int, sums_length: int
    ) -> Self:
        """Return what `to_bytes` wrote.

        Raises
        ------
        ValueError
            The bytes are cut, of another version, or of other lengths.

        """
        return cls.merge_bytes((data,), ints_length, sums_length)

    @classmethod
    def merge_bytes(
        cls, blobs: Iterable[bytes | memoryview], ints_length: int, sums_length: int
    ) -> Self:
        """Return the sum of many stored tallies, one vector add for each.

        Raises
        ------
        ValueError
            As `from_bytes`.

        """
        total = cls.empty(ints_length, sums_length)
        with np.errstate(over="ignore", invalid="ignore"):
            for blob in blobs:
                _add_bytes(total, blob)
        return total


def fold(names: Mapping[str, int]) -> dict[str, int]:
    """Return one column's names without zeros, the surplus under ``__other__``.

    Which names stay depends on their order alone, never on their counts: a name
    among the first thousand of a union is among the first thousand of each part
    in which it occurs. So merging in any order keeps the same names, with exact
    counts.
    """
    kept = {name: count for name, count in names.items() if count}
    other = kept.pop(OTHER, 0)
    if len(kept) > MAX_UNSEEN_NAMES:
        for name in sorted(kept)[MAX_UNSEEN_NAMES:]:
            other += kept.pop(name)
    if other:
        kept[OTHER] = other
    return kept


def _merge_unseen(
    into: Unseen, more: Mapping[str, Mapping[str, int]], sign: int
) -> None:
    for column, names in more.items():
        merged = dict(into.get(column, {}))
        ends = [
            end for end in (_last_exact(merged), _last_exact(names)) if end is not None
        ]
        for name, count in names.items():
            merged[name] = merged.get(name, 0) + sign * count
        if ends:
            for name in [n for n in merged if n != OTHER and n > min(ends)]:
                merged[OTHER] += merged.pop(name)
        merged = fold(merged)
        if merged:
            into[column] = merged
        else:
            into.pop(column, None)


def _last_exact(names: Mapping[str, int]) -> str | None:
    """Return the name behind which all are folded, None if nothing is folded yet."""
    if OTHER not in names:
        return None
    return max((name for name in names if name != OTHER), default="")


def _index_type(length: int) -> np.dtype[Any]:
    return np.dtype("<u2") if length <= 1 << 16 else np.dtype("<u4")


def _smallest_ints(values: Ints) -> tuple[int, int, bytes, int, int]:
    """Return type, layout, bytes, values stored, and pairs stored behind them."""
    index = _index_type(len(values))
    nonzero = np.flatnonzero(values)
    stored = values[nonzero]
    sizes = []
    for width, dtype in enumerate(_INT_TYPES):
        wide = len(stored) - np.count_nonzero(_fits(stored, dtype))
        pairs = wide * (index.itemsize + _WIDEST.itemsize)
        sparse = (len(stored) - wide) * (index.itemsize + dtype.itemsize)
        sizes.append((len(values) * dtype.itemsize + pairs, width, _DENSE))
        sizes.append((sparse + pairs, width, _SPARSE))
    _, width, layout = min(sizes)
    dtype = _INT_TYPES[width]
    fits = _fits(stored, dtype)
    where, wide_where = nonzero[fits], nonzero[~fits]
    if layout == _DENSE:
        body = np.where(_fits(values, dtype), values, 0).astype(dtype).tobytes()
        count = len(values)
    else:
        body = _pairs(where, values, dtype)
        count = len(where)
    return (
        width,
        layout,
        body + _pairs(wide_where, values, _WIDEST),
        count,
        len(wide_where),
    )


def _fits(values: Ints, dtype: np.dtype[Any]) -> NDArray[np.bool_]:
    limits = np.iinfo(dtype)
    return (values >= limits.min) & (values <= limits.max)


def _smallest_sums(values: Floats) -> tuple[int, bytes, int]:
    """Return layout, bytes and number of values stored."""
    nonzero = np.flatnonzero(values)
    pair = _index_type(len(values)).itemsize + _FLOAT.itemsize
    if len(nonzero) * pair < len(values) * _FLOAT.itemsize:
        return _SPARSE, _pairs(nonzero, values, _FLOAT), len(nonzero)
    return _DENSE, values.astype(_FLOAT).tobytes(), len(values)


def _pairs(
    where: NDArray[np.intp], values: Ints | Floats, dtype: np.dtype[Any]
) -> bytes:
    index = where.astype(_index_type(len(values)))
    return index.tobytes() + values[where].astype(dtype).tobytes()


def _unseen_json(unseen: Unseen) -> bytes:
    if not unseen:
        return b""
    # a lone surrogate must not make a tally unwritable: ASCII escapes it
    return json.dumps(unseen, sort_keys=True, separators=(",", ":")).encode("ascii")


def _add_bytes(total: Tally, blob: bytes | memoryview) -> None:
    try:
        (
            version,
            width,
            layout,
            sum_layout,
            ints_length,
            sums_length,
            count,
            sum_count,
            patched,
            names,
        ) = _HEADER.unpack_from(blob)
    except struct.error as error:
        raise ValueError(f"not a tally: {len(blob)} bytes") from error
    if version != _VERSION:
        raise ValueError(f"tally of version {version}, expected {_VERSION}")
    if (ints_length, sums_length) != (len(total.ints), len(total.sums)):
        raise ValueError(
            f"tally of {ints_length} ints and {sums_length} sums, "
            f"expected {len(total.ints)} and {len(total.sums)}"
        )
    at = _HEADER.size
    at = _add_array(total.ints, blob, at, layout, count, _INT_TYPES[width])
    at = _add_array(total.ints, blob, at, _SPARSE, patched, _WIDEST)
    at = _add_array(total.sums, blob, at, sum_layout, sum_count, _FLOAT)
    if at + names != len(blob):
        raise ValueError(f"tally of {len(blob)} bytes, expected {at + names}")
    if names:
        _merge_unseen(total.unseen, json.loads(bytes(blob[at:])), 1)


def _add_array(
    into: Ints | Floats,
    blob: bytes | memoryview,
    at: int,
    layout: int,
    count: int,
    dtype: np.dtype[Any],
) -> int:
    """Add one stored array in place and return the offset behind it."""
    if layout == _DENSE:
        into += np.frombuffer(blob, dtype, count, at)
        return at + count * dtype.itemsize
    index = _index_type(len(into))
    where = np.frombuffer(blob, index, count, at)
    at += count * index.itemsize
    # an index occurs once, so that fancy indexing adds all
    into[where] += np.frombuffer(blob, dtype, count, at)
    return at + count * dtype.itemsize
