"""Lines that are spelled alike are cut; the oracle is Python's json, value by value."""

import json
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from governance.labels import canonical
from monitoring.stats import cells, lines

names = st.lists(
    st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=6),
    min_size=1,
    max_size=4,
    unique=True,
)
anything = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**63), 2**63 - 1),
    st.floats(allow_nan=False, allow_infinity=False),
    st.text(st.characters(exclude_categories=["Cs"]), max_size=5),
    st.sampled_from([",", '"', "}", '{"a": 1', "a\nb", '","', "null"]),
    st.lists(st.integers(), max_size=2),
    st.dictionaries(st.sampled_from(["a", "b"]), st.integers(), max_size=2),
)
separators = st.sampled_from([(", ", ": "), (",", ":"), (" , ", " : ")])


def as_lines(
    table: list[dict[str, Any]], separators: tuple[str, str] = (", ", ": ")
) -> bytes:
    return b"\n".join(
        json.dumps(row, separators=separators, ensure_ascii=False).encode()
        for row in table
    )


@given(st.data(), names, separators)
def test_what_is_cut_is_what_json_says(
    data: st.DataObject, names: list[str], separators: tuple[str, str]
) -> None:
    rows = st.lists(
        st.fixed_dictionaries(dict.fromkeys(names, anything)), min_size=1, max_size=8
    )
    table = data.draw(rows)
    numeric = data.draw(st.sets(st.sampled_from(names)))
    try:
        found = cells.read(as_lines(table, separators), len(table), numeric)
    except (cells.UnlikeError, pa.ArrowInvalid):
        return
    assert list(found) == list(table[0])
    for name in names:
        for row, value in zip(table, found[name].to_pylist(), strict=True):
            assert not isinstance(row[name], list | dict)
            if name in numeric:
                assert not isinstance(row[name], str | bool)
                assert value == (None if row[name] is None else float(row[name]))
            else:
                assert value == canonical(row[name])


@pytest.mark.parametrize("spaces", [(", ", ": "), (",", ":")])
def test_rows_of_numbers_and_categories_are_cut(spaces: tuple[str, str]) -> None:
    table = [
        {"x": place / 7 if place % 5 else None, "größe": "ab"[place % 2], "n": place}
        for place in range(300)
    ]
    found = cells.read(as_lines(table, spaces), 300, {"x"})
    assert found["x"].to_pylist() == [row["x"] for row in table]
    assert found["größe"].to_pylist() == [row["größe"] for row in table]
    assert found["n"].to_pylist() == [str(row["n"]) for row in table]


@pytest.mark.parametrize(
    "odd",
    [
        b'{"c": "a", "x": 1}',
        b'{"x": 1}',
        b'{"x": 1, "c": "a", "y": 2}',
        b'{"x": 1, "c": "a, b"}',
        b'{"x": 1, "c": "a\\u0041"}',
        b'{"x": "1", "c": "a"}',
        b'{"x": true, "c": "a"}',
        b'{"x": {"x": 1, "c": 2}}',
        b'{"x": 1, "c": ["a"]}',
        b'{"x":1,"c":"a"}',
        b'{"x": 1 , "c": "a"}',
        b'{"x": 1, "c": "a"} ',
        b'{"x": 1,\r"c": "a"}',
        b"{}",
    ],
)
def test_an_odd_line_among_others_is_left_to_the_other_readers(odd: bytes) -> None:
    table = [b'{"x": 1.0, "c": "a"}'] * 9
    table[4] = odd
    with pytest.raises((cells.UnlikeError, pa.ArrowInvalid)):
        cells.read(b"\n".join(table), 9, {"x"})
    parsed = lines.parse(b"\n".join(table), {"x": "numeric", "c": "categorical"})
    assert parsed.rows == 9
    assert parsed.columns["c"].to_pylist()[:4] == ["a"] * 4
    read = json.loads(odd)
    if not isinstance(read.get("x"), str | bool | dict):
        assert parsed.columns["x"].to_pylist()[4] == read.get("x")
