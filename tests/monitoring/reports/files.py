"""Small files to report on."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from monitoring.reports import analysis, cases, sentences, tables
from monitoring.reports.plan import Plan


def write(path: Path, columns: Mapping[str, Sequence[Any]] | pd.DataFrame) -> Path:
    """Write columns as CSV or Parquet, by the name of the file."""
    frame = pd.DataFrame(columns)
    if path.suffix == ".parquet":
        frame.to_parquet(path, index=False)
    else:
        frame.to_csv(path, index=False)
    return path


def binary(rows: int, seed: int, *, shift: float = 0.0, honest: bool = True) -> Any:
    """Return a binary model's rows: inputs, score, answer, label, hourly time."""
    rng = np.random.default_rng(seed)
    x = rng.normal(shift, 1, rows)
    score = 1 / (1 + np.exp(-1.5 * x))
    chance = score if honest else 1 - score
    label = rng.random(rows) < chance
    start = pd.Timestamp("2026-01-01") + pd.Timedelta(days=seed)
    return pd.DataFrame(
        {
            "at": start + pd.to_timedelta(np.arange(rows), "h"),
            "x": x,
            "noise": rng.normal(size=rows),
            "city": rng.choice(["Oslo", "Rome", "Lima"], rows),
            "score": score,
            "answer": np.where(score >= 0.5, "yes", "no"),
            "truth": np.where(label, "yes", "no"),
        }
    )


BINARY = Plan(
    prediction="answer", probabilities=("score",), label="truth", timestamp="at"
)


def report(
    plan: Plan, reference: pd.DataFrame, current: pd.DataFrame, place: Path
) -> dict[str, Any]:
    """Return the report on two tables, as JSON."""
    sides = [
        tables.read(write(place / f"{role}.parquet", side), role)
        for role, side in (("REFERENCE", reference), ("CURRENT", current))
    ]
    found = analysis.run(cases.read(plan, *sides))
    return analysis.to_json(found, sentences.of(found))


def texts(found: Mapping[str, Any], topic: str | None = None) -> str:
    """Return the sentences of a report."""
    return " ".join(
        one["text"] for one in found["sentences"] if topic in {None, one["topic"]}
    )
