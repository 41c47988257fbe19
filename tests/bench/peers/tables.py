"""Drawn tables that peers and DriftGuard are both timed on; runs in any environment.

The same seed gives the same numbers on every side.
"""

import time
from collections.abc import Callable
from typing import Any

import numpy as np

NUMERIC = [f"x{i}" for i in range(15)]
CATEGORICAL = [f"c{i}" for i in range(5)]
CATEGORIES = [f"category {i}" for i in range(8)]
METRICS = ["roc_auc", "f1", "precision", "recall", "specificity", "accuracy"]

BASELINE_ROWS = 10_000
CHUNK_ROWS = 5_000
# Labelled rows that CBPE is fitted on, and rows that it estimates.
CBPE_ROWS = 100_000, 1_000_000
PCA_ROWS = 100_000
UNIVARIATE_ROWS = 1_000_000
DOMAIN_ROWS = 10_000

Arrays = dict[str, Any]


def table(rows: int, seed: int, shift: float = 0.0) -> Arrays:
    """Return 15 columns of numbers and 5 of codes."""
    rng = np.random.default_rng(seed)
    common = rng.normal(size=rows)
    columns: Arrays = {
        name: 0.6 * common + rng.normal(shift, 1, rows) for name in NUMERIC
    }
    for name in CATEGORICAL:
        codes = rng.integers(0, len(CATEGORIES), rows)
        columns[name] = np.where(common > 1, 0, codes).astype(np.int32)
    return columns


def answers(rows: int, seed: int, tilt: float = 1.0) -> Arrays:
    """Return scores that are too low, predictions and labels."""
    rng = np.random.default_rng(seed)
    chances = rng.beta(1.0, 3.0 * tilt, rows)
    scores = chances**1.4
    return {
        "score": scores,
        "predicted": (scores >= 0.25).astype(np.int64),
        "label": (rng.random(rows) < chances).astype(np.int64),
    }


def best(runs: int, function: Callable[[], object]) -> float:
    """Return the best time of a function, in seconds."""
    times = []
    for _ in range(runs):
        start = time.perf_counter()
        function()
        times.append(time.perf_counter() - start)
    return min(times)
