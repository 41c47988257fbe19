"""Fitting a baseline in a process of its own: ``python -m monitoring.stats.apart``.

A web process calls it, so that it needn't load numpy and Arrow, nor keep the memory
that a large baseline takes. Standard input: a line of JSON, then the client's bytes.
Standard output: a line of JSON, then the parts of the baseline whose lengths it tells.
"""

from __future__ import annotations

import csv
import io
import json
import os
import resource
import sys
from collections.abc import Mapping
from dataclasses import asdict
from typing import IO, Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv
import pyarrow.parquet

from governance import strict_json
from governance.exceptions import (
    GovernanceError,
    InvalidError,
    MalformedError,
    TooLargeError,
    fault,
)
from governance.schema import Schema
from monitoring.stats import fitting, rows, samples

JSON, CSV, PARQUET = "json", "csv", "parquet"
BLOBS = ("features", "labeled", "grid", "outcomes")
MEMORY_LIMIT = 6 << 30
# Columns of a file that are no features, unless the schema has a feature of that name.
PREDICTION, LABEL, PROBABILITY = "prediction", "actual_label", "probability"
_KNOWN_FIELDS = frozenset(
    {
        "modelId",
        "version",
        "modelVersion",
        "featureData",
        "targetData",
        "labeledPredictions",
    }
)


def fit(form: str, body: bytes, schema: Schema) -> fitting.Fitted:
    """Read a body in one of the three forms and fit the baseline that it describes.

    Raises
    ------
    MalformedError, InvalidError
    """
    if form == JSON:
        content = strict_json.decode(body)
        if not isinstance(content, Mapping):
            raise InvalidError("The body must be a JSON object.")
    else:
        content = _of_table(_table(form, body), schema)
    faults = [
        fault(name, code="unknown", detail="is no known field")
        for name in content.keys() - _KNOWN_FIELDS
    ]
    if faults:
        raise InvalidError("The body has unknown fields.", errors=faults)
    return fitting.fit(samples.read_sample(content, schema), schema)


def _table(form: str, body: bytes) -> pa.Table:
    try:
        if form == CSV:
            _refuse_bad_quotes(body)
            table = pa.csv.read_csv(io.BytesIO(body))
        else:
            table = pa.parquet.read_table(io.BytesIO(body))
        for name, column in zip(table.column_names, table.columns, strict=True):
            _refuse_unstorable(name, column)
    except MemoryError:  # Arrow's own is both
        raise
    except (pa.ArrowException, OSError) as error:
        raise MalformedError(f"The body is no readable {form} file: {error}") from None
    return table


def _refuse_bad_quotes(body: bytes) -> None:
    """Refuse a quote that is never closed: Arrow takes all after it for one cell."""
    if b'"' not in body:
        return
    csv.field_size_limit(sys.maxsize)
    reader = csv.reader(
        io.TextIOWrapper(io.BytesIO(body), encoding="utf-8-sig", newline=""),
        strict=True,
    )
    try:
        for _ in reader:
            pass
    except (csv.Error, UnicodeDecodeError) as error:
        raise MalformedError(
            f"The body is no readable csv file: {error} (line {reader.line_num})."
        ) from None


def _refuse_unstorable(name: str, column: pa.ChunkedArray) -> None:
    """Refuse what the strict reader of JSON refuses, too."""
    if pa.types.is_dictionary(column.type):
        column = pa.chunked_array(
            [chunk.dictionary for chunk in column.chunks], column.type.value_type
        )
    kind = column.type
    found = None
    if pa.types.is_floating(kind) and pc.any(pc.is_inf(column)).as_py():
        found = "an infinite number"
    is_text = pa.types.is_string(kind) or pa.types.is_large_string(kind)
    if is_text and pc.any(pc.match_substring(column, "\0")).as_py():
        found = "a NUL character"
    if found is not None:
        raise MalformedError(f"The column {name!r} has {found} in it.")


def _of_table(table: pa.Table, schema: Schema) -> dict[str, Any]:
    """Return a file's columns as the fields of the JSON form."""
    if len(set(table.column_names)) < table.num_columns:
        raise InvalidError("Two columns of the file have the same name.")
    special = {
        name
        for name in table.column_names
        if name not in schema.by_name
        and (name in {PREDICTION, LABEL} or name.startswith(PROBABILITY))
    }
    content: dict[str, Any] = {
        "featureData": {
            name: _plain(table[name])
            for name in table.column_names
            if name not in special
        }
    }
    labeled = {}
    for name, field in ((PREDICTION, "predictedLabels"), (LABEL, "actualLabels")):
        if name in special:
            labeled[field] = _plain(table[name])
    chances = sorted(
        (name for name in special if name.startswith(PROBABILITY)),
        key=lambda name: (len(name), name),
    )
    if chances:
        columns = [table[name].to_pylist() for name in chances]
        labeled["probabilities"] = (
            columns[0]
            if len(columns) == 1
            else [list(r) for r in zip(*columns, strict=True)]
        )
    if labeled:
        content["labeledPredictions"] = labeled
    return content


def _plain(column: pa.ChunkedArray) -> list[Any]:
    """Return a column's values; NaN is missing, dates and the like are text."""
    kind = column.type
    if pa.types.is_dictionary(kind):
        column = column.cast(kind.value_type)
    elif pa.types.is_temporal(kind) or pa.types.is_decimal(kind):
        column = column.cast(pa.string())
    if pa.types.is_floating(kind):
        return [None if value != value else value for value in column.to_pylist()]
    values: list[Any] = column.to_pylist()
    return values


def show(features: bytes, labeled: bytes | None) -> dict[str, Any]:
    """Return `featureData` and the values of `targetData` as they were sent."""
    target = None
    if labeled is not None:
        table = rows.decode(labeled)
        if "target" in table.column_names:
            length = int((table.schema.metadata or {})[b"target"])
            target = table["target"].slice(0, length).to_pylist()
    data = rows.decode(features)
    return {
        "featureData": {name: data[name].to_pylist() for name in data.column_names},
        "targetValues": target,
    }


def main(source: IO[bytes], sink: IO[bytes]) -> None:
    """Answer one request."""
    head = json.loads(source.readline())
    body = source.read()
    try:
        if head["do"] == "show":
            size = head["features"]
            shown = show(body[:size], body[size:] or None)
            sink.write(json.dumps(shown, allow_nan=False).encode())
            return
        fitted = asdict(fit(head["form"], body, Schema.from_json(head["schema"])))
    except MemoryError:
        _refuse(sink, TooLargeError("The baseline takes too much memory."))
        return
    except GovernanceError as error:
        _refuse(sink, error)
        return
    blobs = {name: fitted.pop(name) for name in BLOBS}
    fitted["lengths"] = {n: None if b is None else len(b) for n, b in blobs.items()}
    sink.write(json.dumps(fitted, allow_nan=False).encode() + b"\n")
    for blob in blobs.values():
        sink.write(blob or b"")


def _refuse(sink: IO[bytes], error: GovernanceError) -> None:
    answer = {"error": error.code, "detail": error.detail, "errors": error.errors}
    sink.write(json.dumps(answer).encode() + b"\n")


if __name__ == "__main__":
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_LIMIT, MEMORY_LIMIT))
    main(sys.stdin.buffer, sys.stdout.buffer)
    sys.stdout.flush()
    # At an ordinary exit Arrow aborts if its threads have only just begun.
    os._exit(0)
