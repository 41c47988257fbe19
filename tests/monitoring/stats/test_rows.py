"""Logged JSON as columns. The oracle is Python's own json module, value by value."""

import json
from typing import Any

import pyarrow as pa
from hypothesis import given
from hypothesis import strategies as st

from governance.labels import canonical
from monitoring.stats import lines, rows

scalars = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**63), 2**63 - 1),
    st.floats(allow_nan=False, allow_infinity=False),
    st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0")),
    st.lists(st.integers(), max_size=2),
)
objects = st.dictionaries(st.sampled_from(["x", "c", "other"]), scalars)


def as_lines(table: list[dict[str, Any]]) -> bytes:
    return b"\n".join(json.dumps(row).encode() for row in table)


def is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


@given(st.lists(objects, min_size=1, max_size=80))
def test_every_value_is_read_refused_or_missing(table: list[dict[str, Any]]) -> None:
    kinds: lines.Kinds = {"x": "numeric", "c": "categorical"}
    parsed = lines.parse(as_lines(table), kinds)
    assert parsed.rows == len(table)
    for name, accepts in (
        ("x", is_number),
        ("c", lambda value: isinstance(value, str | int | float)),
    ):
        values = [row.get(name) for row in table]
        wrong = [
            place
            for place, value in enumerate(values)
            if value is not None and not accepts(value)
        ]
        assert sorted(parsed.invalid.get(name, [])) == wrong
        read = parsed.columns[name].to_pylist()
        for value, found in zip(values, read, strict=True):
            if value is None or not accepts(value):
                assert found is None
            elif name == "x":
                assert found == float(value)
            else:
                assert found == canonical(value)
    unknown = sum("other" in row for row in table)
    assert parsed.unknown.get("other", 0) in {
        unknown,
        sum(row.get("other") is not None for row in table),
    }


@given(st.lists(objects, min_size=1, max_size=80))
def test_without_a_schema_every_name_is_a_feature(table: list[dict[str, Any]]) -> None:
    parsed = lines.parse(as_lines(table), {})
    assert not parsed.unknown
    for name, column in parsed.columns.items():
        values = [row.get(name) for row in table]
        known = sum(value is not None for value in values)
        refused = len(parsed.invalid.get(name, []))
        assert len(column) == len(table)
        assert known == len(column) - column.null_count + refused


def test_nothing_is_no_rows() -> None:
    assert lines.parse(b"", {}).rows == 0


def test_numbers_that_name_things_are_exact() -> None:
    parsed = lines.parse(b'{"c": 9007199254740993}\n{"c": 1}', {"c": "categorical"})
    assert parsed.columns["c"].to_pylist() == ["9007199254740993", "1"]


def test_an_undeclared_feature_is_of_the_kind_that_most_of_its_values_are() -> None:
    numbers = [b'{"free": 1}'] * 300
    texts = [b'{"free": "text"}'] * 100
    for table, first in ((numbers + texts, 300), (texts + numbers, 0)):
        parsed = lines.parse(b"\n".join(table), {})
        column = parsed.columns["free"]
        assert column.null_count == 100
        assert parsed.invalid == {"free": list(range(first, first + 100))}
        assert set(column.drop_null().to_pylist()) == {1.0}


def test_rows_without_features_are_rows() -> None:
    parsed = lines.parse(b"{}\n{}", {})
    assert (parsed.rows, parsed.columns) == (2, {})
    parsed = lines.parse(b"{}\n{}", {"x": "numeric"})
    assert parsed.columns["x"].null_count == 2


def test_hours_without_rows_are_none() -> None:
    empty = pa.table({"timestamp": pa.array([], pa.timestamp("us", "UTC"))})
    assert list(rows.by_hour(empty)) == []


def test_one_bad_line_costs_only_itself() -> None:
    table = [b'{"x": 1, "c": "a"}'] * 1_000
    table[500] = b'{"x": "one", "c": ["a"], "new": null}'
    kinds: lines.Kinds = {"x": "numeric", "c": "categorical"}
    parsed = lines.parse(b"\n".join(table), kinds)
    assert parsed.invalid == {"x": [500], "c": [500]}
    assert parsed.unknown == {"new": 1}
    assert parsed.columns["x"].null_count == 1
    assert len(parsed.columns["c"]) == parsed.rows == 1_000
