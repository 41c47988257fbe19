"""The process that fits baselines, and what it refuses to fit."""

import io
import json
import subprocess
import sys

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from governance.exceptions import InvalidError, MalformedError
from governance.schema import Schema
from monitoring.stats import apart

# Leaves the process a little memory beyond what it has taken to start.
CONFINED = """
import resource, sys
from monitoring.stats import apart
pages = int(open("/proc/self/statm").read().split()[0])
limit = pages * resource.getpagesize() + (300 << 20)
resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
apart.main(sys.stdin.buffer, sys.stdout.buffer)
"""


def parquet(**columns: object) -> bytes:
    sink = io.BytesIO()
    pq.write_table(pa.table(columns), sink, compression="zstd")
    return sink.getvalue()


@pytest.mark.parametrize(
    ("form", "body"),
    [
        (apart.CSV, b"a\n1\ninf\n"),
        (apart.CSV, b"a\n1\n1e999\n"),
        (apart.PARQUET, parquet(a=[1.0, float("-inf")])),
        (apart.PARQUET, parquet(a=["x", "a\0b"])),
        (apart.PARQUET, parquet(a=pa.array(["a\0b"]).dictionary_encode())),
    ],
)
def test_a_table_has_no_value_that_json_could_not_have(form: str, body: bytes) -> None:
    with pytest.raises(MalformedError, match="'a'"):
        apart.fit(form, body, Schema())


def test_a_table_names_each_column_once() -> None:
    with pytest.raises(InvalidError, match="same name"):
        apart.fit(apart.CSV, b"a,a\n1,2\n", Schema())


def test_a_table_without_them_is_fitted() -> None:
    body = parquet(a=[1.0, None, float("nan")], b=pa.array(["x", None, ""]))
    assert apart.fit(apart.PARQUET, body, Schema()).sample_size == 3


def test_a_small_file_that_takes_too_much_memory_is_refused() -> None:
    body = parquet(a=pa.array(["x" * 1_000_000] * 2_000).dictionary_encode())
    assert len(body) < 100_000
    head = {"do": "fit", "form": apart.PARQUET, "schema": Schema().to_json()}
    done = subprocess.run(
        [sys.executable, "-c", CONFINED],
        input=json.dumps(head).encode() + b"\n" + body,
        capture_output=True,
        check=True,
    )
    assert json.loads(done.stdout)["error"] == "too_large"


def test_the_process_ends_well_even_if_it_has_hardly_begun() -> None:
    # Arrow's threads, still beginning, made every other such process abort.
    head = {"do": "fit", "form": apart.PARQUET, "schema": Schema().to_json()}
    request = json.dumps(head).encode() + b"\n" + parquet(a=pa.array([b"\xff"]))
    for _ in range(4):
        done = subprocess.run(
            [sys.executable, "-m", "monitoring.stats.apart"],
            input=request,
            capture_output=True,
        )
        assert (done.returncode, done.stderr) == (0, b"")
        assert json.loads(done.stdout)["error"] == "invalid"
