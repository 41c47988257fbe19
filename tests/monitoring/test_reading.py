"""The quick reader and the exact one agree; what the quick one passes is sound."""

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from governance.exceptions import GovernanceError, MalformedError
from monitoring.ingest import exact, reading, rows
from monitoring.ingest.rows import Batch

COMPARED = (
    "places",
    "features",
    "predictions",
    "models",
    "versions",
    "timestamps",
    "entity_ids",
    "probabilities",
    "latencies",
    "labels",
)
numbers = st.integers(-(2**65), 2**65) | st.floats(allow_nan=False, width=64)
texts = st.text(max_size=8) | st.sampled_from(['"', ":", '":', " :", "\\", "é", "\0"])
scalars = numbers | texts | st.booleans() | st.none()
features = st.dictionaries(texts, scalars | st.lists(scalars, max_size=2), max_size=5)
moments = st.sampled_from(
    ["2026-01-01T00:00:00Z", "2026-01-01T00:00:00.5+01:00", "2026-01-01", "x", None]
)
row = st.fixed_dictionaries(
    {"input_features": features | scalars, "prediction": scalars},
    optional={
        "model_id": scalars,
        "timestamp": moments,
        "entity_id": scalars,
        "probabilities": st.sampled_from([[0.5, 0.5], [1], [2, -1], [], None, "x"]),
        "latency_ms": scalars,
        "actual_label": scalars,
        "surplus": scalars,
    },
)


def outcome(read: Any, body: bytes) -> Any:
    try:
        batch: Batch = read(body, rows.PLATFORM)
    except GovernanceError as error:
        return type(error).__name__
    read_rows = {name: getattr(batch, name) for name in COMPARED}
    if "timestamp" not in body.decode(errors="replace"):
        del read_rows["timestamps"]  # they are of now
    return read_rows, batch.faults.first()


@settings(max_examples=300, deadline=None)
@given(st.lists(row, max_size=4), st.booleans(), st.sampled_from([None, 1]))
def test_both_readers_read_the_same(
    many: list[Any], ascii_only: bool, indent: int | None
) -> None:
    for one in many:
        one.setdefault("timestamp", "2026-01-01T00:00:00Z")
        if one["timestamp"] is None:
            del one["timestamp"]
    body = json.dumps(
        {"model_id": 1, "predictions": many}, ensure_ascii=ascii_only, indent=indent
    ).encode(errors="surrogatepass")
    if any("timestamp" not in one for one in many):
        return
    assert outcome(reading.read_many, body) == outcome(exact.read_many, body)


@settings(max_examples=300, deadline=None)
@given(
    st.lists(st.sampled_from(["a", "b", ":", "a:", " "]), min_size=2, max_size=4),
    st.sampled_from([":", " :", ": ", "\n:"]),
    st.sampled_from(['"x"', '":"', '" :"', "1", "null", '"a:b"']),
)
def test_a_key_that_stands_twice_is_always_found(
    names: list[str], colon: str, value: str
) -> None:
    members = ", ".join(f'"{name}"{colon}{value}' for name in names)
    body = f'{{"input_features": {{{members}}}, "prediction": 1}}'.encode()
    if len(set(names)) == len(names):
        assert reading.read_one(body, rows.PLATFORM).features == [
            f"{{{members}}}".encode()
        ]
    else:
        with pytest.raises(MalformedError):
            reading.read_one(body, rows.PLATFORM)


def test_an_ordinary_batch_never_needs_the_exact_reader(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """It takes ten times as long: no usual encoding may fall back to it."""

    def refuse(*_: Any) -> Batch:
        raise AssertionError

    monkeypatch.setattr(exact, "read_many", refuse)
    one = {
        "input_features": {"age": 1, "name": "Zoë", "at": "12:30", "rate": 0.1},
        "prediction": 0.5,
        "timestamp": "2026-01-01T00:00:00+01:00",
        "entity_id": "c:1",
        "probabilities": [0.25, 0.75],
    }
    body = {"model_id": "slug", "predictions": [one] * 3}
    for text in (
        json.dumps(body, ensure_ascii=False),
        json.dumps(body, ensure_ascii=False, separators=(",", ":")),
        json.dumps(body, ensure_ascii=False, indent=2, separators=(",", " : ")),
    ):
        assert len(reading.read_many(text.encode(), rows.PLATFORM)) == 3
