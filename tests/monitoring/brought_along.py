"""Detectors as an operator may bring them along, good ones and bad ones."""

import os
import sys
import time
from typing import Any

import pandas as pd


def mean_shift(
    reference: pd.DataFrame, current: pd.DataFrame, *, column: str = "x", by: float = 1
) -> dict[str, Any]:
    """Return how far the mean has moved, in a unit of choice."""
    gap = abs(current[column].mean() - reference[column].mean()) / by
    return {"score": gap, "detail": {"rows": [len(reference), len(current)]}}


mean_shift.warning = 0.5  # type: ignore[attr-defined]
mean_shift.alert = 1.0  # type: ignore[attr-defined]


def unsure(reference: pd.DataFrame, current: pd.DataFrame) -> dict[str, Any]:
    return {"score": 99.0, "p_value": 0.9}


unsure.warning, unsure.alert = 1.0, 2.0  # type: ignore[attr-defined]


def told(reference: pd.DataFrame, current: pd.DataFrame) -> dict[str, Any]:
    """Tell what a detector sees of the world."""
    sys.stdout.write("this is no answer")
    secrets = [name for name in os.environ if "SECRET" in name or "DATABASE" in name]
    return {
        "score": 0,
        "detail": {
            "secrets": secrets,
            "directory": os.listdir("."),
            "types": {name: str(kind) for name, kind in current.dtypes.items()},
            "categories": sorted(map(str, current.get("c", pd.Series()).unique())),
            "missing": {n: int(v) for n, v in current.isna().sum().items()},
            "settings": "django" in sys.modules,
        },
    }


def breaks(reference: pd.DataFrame, current: pd.DataFrame) -> dict[str, Any]:
    raise ValueError("the moon is full")


def sleeps(reference: pd.DataFrame, current: pd.DataFrame) -> dict[str, Any]:
    time.sleep(3_600)
    return {"score": 0}


def spins(reference: pd.DataFrame, current: pd.DataFrame) -> dict[str, Any]:
    while True:
        pass


def devours(reference: pd.DataFrame, current: pd.DataFrame) -> dict[str, Any]:
    kept = []
    while True:
        kept.append(bytearray(16 << 20))


def dies(reference: pd.DataFrame, current: pd.DataFrame) -> dict[str, Any]:
    os.kill(os.getpid(), 9)
    return {"score": 0}


def leaves(reference: pd.DataFrame, current: pd.DataFrame) -> dict[str, Any]:
    os._exit(0)


def floods(reference: pd.DataFrame, current: pd.DataFrame) -> dict[str, Any]:
    while True:
        sys.stderr.write("x" * 65_536)


def not_a_number(reference: pd.DataFrame, current: pd.DataFrame) -> dict[str, Any]:
    return {"score": float("nan")}


def nothing(reference: pd.DataFrame, current: pd.DataFrame) -> None:
    return None


def impossible(reference: pd.DataFrame, current: pd.DataFrame) -> dict[str, Any]:
    return {"score": 1.0, "p_value": 1.5}


def chatty(reference: pd.DataFrame, current: pd.DataFrame) -> dict[str, Any]:
    return {"score": 1.0, "detail": {"text": "x" * 100_000}}


def odd(reference: pd.DataFrame, current: pd.DataFrame) -> dict[str, Any]:
    return {"score": 1.0, "detail": {"set": {1, 2}}}


def psi(reference: pd.DataFrame, current: pd.DataFrame) -> dict[str, Any]:
    return {"score": 0}


def one_table(reference: pd.DataFrame) -> dict[str, Any]:
    return {"score": 0}


def no_default(
    reference: pd.DataFrame, current: pd.DataFrame, depth: int
) -> dict[str, Any]:
    return {"score": depth}


def falls(reference: pd.DataFrame, current: pd.DataFrame) -> dict[str, Any]:
    return {"score": 0}


falls.warning, falls.alert = 2.0, 1.0  # type: ignore[attr-defined]


def half(reference: pd.DataFrame, current: pd.DataFrame) -> dict[str, Any]:
    return {"score": 0}


half.warning = 1.0  # type: ignore[attr-defined]

A_NUMBER = 3
