"""``python -m tests.bench.imports``: files against the batch endpoint, in one run.

The same rows of 20 features, JSON to the endpoint from four connections, and as CSV,
JSON Lines and Parquet to the deeds of `manage.py import_predictions`.
"""

import csv
import random
import statistics
import sys
import tempfile
import time
from itertools import count
from pathlib import Path
from typing import Any

import msgspec
import pyarrow as pa
import pyarrow.parquet as pq

from tests.bench import ingest, load

FLOOR = 0.7
REPEATS = 100  # of a thousand rows
ROUNDS = 5
_files = count()


def write(directory: Path, kind: str, model: int) -> Path:
    """Write a file that no other is the beginning of."""
    number = next(_files)
    path = directory / f"{number}.{kind}"
    rows = ingest.rows(random.Random(number)) * REPEATS
    if kind == "jsonl":
        with path.open("wb") as lines:
            for row in rows:
                lines.write(msgspec.json.encode({**row, "model_id": model}) + b"\n")
        return path
    flat: list[dict[str, Any]] = [
        {**row["input_features"], **row, "model_id": model} for row in rows
    ]
    for row in flat:
        del row["input_features"]
    if kind == "parquet":
        pq.write_table(pa.Table.from_pylist(flat), path)
        return path
    with path.open("w", newline="") as text:
        writer = csv.DictWriter(text, list(flat[0]))
        writer.writeheader()
        writer.writerows(flat)
    return path


def imported(path: Path, key: str) -> float:
    """Store a file and return how many rows a second went in."""
    from governance.actions import credentials
    from monitoring.actions import imports
    from monitoring.ingest import files
    from monitoring.ingest.rows import PLATFORM

    started, rows = time.perf_counter(), 0
    credential = credentials.authenticate(None, key, ip="", request_id="")
    after = imports.continued_after(path, model="", credential=credential)
    for part in files.read(path, PLATFORM, after=after):
        rows += imports.store(
            part, model="", credential=credential, leave_out_bad_rows=False
        ).accepted
    seconds = time.perf_counter() - started
    path.unlink()
    assert rows == REPEATS * ingest.ROWS
    return rows / seconds


def main() -> int:
    with ingest.database(), tempfile.TemporaryDirectory() as made:
        model, key = ingest.register()
        body = msgspec.json.encode(
            {"model_id": model, "predictions": ingest.rows(random.Random(7))}
        )
        headers = {"Authorization": f"Bearer {key}"}
        request = load.request("POST", "/api/logs/prediction/batch", body, headers)
        kept = []
        with ingest.granian("driftguard.wsgi:application") as (port, _):
            load.run(port, request, connections=4, seconds=1)
            for kind in ("csv", "jsonl", "parquet"):
                pairs = []
                for _ in range(ROUNDS):
                    path = write(Path(made), kind, model)
                    ours = imported(path, key)
                    done = load.run(port, request, connections=4, seconds=3)
                    pairs.append((ours, done.per_second * ingest.ROWS))
                ours, theirs = map(statistics.median, zip(*pairs, strict=True))
                ingest.say(
                    f"  {kind}: {ours:,.0f} rows/s, batches {theirs:,.0f} rows/s"
                )
                ratio = statistics.median(one / other for one, other in pairs)
                kept.append(ingest.judge(f"{kind} / batches", ratio, FLOOR))
    return 0 if all(kept) else 1


if __name__ == "__main__":
    sys.exit(main())
