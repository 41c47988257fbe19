import gzip
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from monitoring.reports import tables
from monitoring.reports.tables import UnusableError


def read(path: Path, content: bytes) -> tables.Table:
    path.write_bytes(content)
    return tables.read(path, "CURRENT")


def refused(path: Path, content: bytes) -> str:
    with pytest.raises(UnusableError) as error:
        read(path, content)
    return str(error.value)


def test_csv_columns_have_the_type_that_every_cell_is_spelled_in(
    tmp_path: Path,
) -> None:
    found = read(
        tmp_path / "rows.csv",
        b"\xef\xbb\xbfn,f,b,code,text,mixed,none\r\n"
        b'1,1.5,true,007,"a, b",1,\r\n'
        b"-2,-2e-3,False,012,nan,x,NA\r\n"
        b",.5,,,c,,\r\n",
    )
    assert found.rows == 3
    values = {name: column.to_pylist() for name, column in found.columns.items()}
    assert values == {
        "n": [1, -2, None],
        "f": [1.5, -0.002, 0.5],
        "b": [True, False, None],
        "code": ["007", "012", None],
        "text": ["a, b", None, "c"],
        "mixed": ["1", "x", None],
        "none": [None, None, None],
    }
    assert [str(found.columns[name].type) for name in ("n", "f", "b", "none")] == [
        "int64",
        "double",
        "bool",
        "double",
    ]


def test_a_cell_may_hold_a_line_break_and_a_file_may_be_packed(tmp_path: Path) -> None:
    path = tmp_path / "rows.csv.gz"
    found = read(path, gzip.compress(b'a,b\n"one\ntwo",1\n'))
    assert found.columns["a"].to_pylist() == ["one\ntwo"]


def test_parquet_keeps_its_types_and_loses_the_index_of_pandas(tmp_path: Path) -> None:
    path = tmp_path / "rows"
    frame = pd.DataFrame({"x": [1, 2, 3], "c": pd.Categorical(["a", "b", "a"])})
    frame[frame["x"] > 1].to_parquet(path)
    found = tables.read(path, "CURRENT")
    assert list(found.columns) == ["x", "c"]
    assert found.columns["c"].to_pylist() == ["b", "a"]
    assert len(found.digest) == 64


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "CURRENT has no columns."),
        (b"a,b\n", "CURRENT has no rows"),
        (b"a,b,a\n1,2,3\n", "CURRENT has the column 'a' twice."),
        (b"a,b\n1\n", "is not valid CSV"),
        (b'a,b\n"1,2\n', "is not valid CSV"),
        (b"a,b\n\xff\xfe,1\n", "is not valid CSV"),
        (b"\x00\x01\x02", "is neither Parquet nor CSV"),
        (b"PAR1 and nothing else", "is not a valid Parquet file"),
    ],
)
def test_an_unusable_file_is_refused_with_the_reason(
    tmp_path: Path, content: bytes, words: str
) -> None:
    assert words in refused(tmp_path / "rows.csv", content)


def test_a_file_that_is_not_there_or_not_a_file_is_refused(tmp_path: Path) -> None:
    for path, words in (
        (tmp_path / "none.csv", "No such file"),
        (tmp_path, "Is a directory"),
    ):
        with pytest.raises(UnusableError, match=words):
            tables.read(path, "REFERENCE")


def test_parquet_with_a_column_twice_without_rows_or_cut_is_refused(
    tmp_path: Path,
) -> None:
    path = tmp_path / "rows.parquet"
    twice = pa.table([pa.array([1]), pa.array([2])], names=["a", "a"])
    pq.write_table(twice, path)
    assert "column 'a' twice" in refused(path, path.read_bytes())
    pq.write_table(pa.table({"a": pa.array([], pa.int64())}), path)
    assert "no rows" in refused(path, path.read_bytes())
    pq.write_table(pa.table({"a": np.arange(1_000)}), path)
    assert "not a valid Parquet file" in refused(path, path.read_bytes()[:-40])
    assert "not a valid Parquet file" in refused(path, b"a,b\n1,2\n")


def test_a_missing_column_is_refused_with_those_that_are_there(tmp_path: Path) -> None:
    found = read(tmp_path / "rows.csv", b"a,b\n1,2\n")
    with pytest.raises(UnusableError, match="has no column 'c'; it has a, b"):
        found.column("c")
