"""Why a window has drifted: columns, bins and slices of rows that explain it.

Three answers, from coarse to fine: which columns carry the drift, which of their bins
or categories moved, and which slice of the rows takes the drift of the other columns
along when it is left out (`slices`).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from itertools import pairwise
from typing import Any

from monitoring.stats import slices
from monitoring.stats.columns import Kind, Values
from monitoring.stats.report import ColumnDrift, DriftReport

MOST_FEATURES = 10
MOST_BINS = 5


def explain(
    report: DriftReport,
    baseline: Mapping[str, Values],
    window: Mapping[str, Values],
    kinds: Mapping[str, Kind],
) -> dict[str, Any]:
    """Return the features, bins and slices behind a drift report, as plain JSON.

    Parameters
    ----------
    report : DriftReport
        With `psi` among its algorithms; the columns that it sets apart are no inputs.
    baseline, window : mapping of str to array, sequence or Codes
        The raw columns; those of one side have one length.
    kinds : mapping of str to {"numeric", "categorical"}
        The columns to slice by.
    """
    ranked = contributions(report)
    weights = {name: report.columns[name].importance or 0.0 for name, _ in ranked}
    return {
        "features": [
            {
                "feature": name,
                "contribution": share,
                "psi": _psi(report.columns[name]),
                "importance": report.columns[name].importance,
                "status": report.columns[name].status.value,
                "bins": moved_bins(report.columns[name]),
            }
            for name, share in ranked[:MOST_FEATURES]
        ],
        "slices": [
            one.to_json()
            for one in slices.find(baseline, window, kinds, weights=weights)
        ],
    }


def contributions(report: DriftReport) -> list[tuple[str, float]]:
    """Return the inputs with their share of the drift, the largest first.

    The share is PSI times importance over its sum; without any drift all are 0.
    """
    found = {}
    for name, column in report.columns.items():
        psi = _psi(column)
        if name not in report.apart and psi is not None:
            found[name] = psi * (column.importance or 0.0)
    total = math.fsum(found.values())
    ranked = sorted(found, key=lambda name: -found[name])
    return [(name, found[name] / total if total > 0 else 0.0) for name in ranked]


def _psi(column: ColumnDrift) -> float | None:
    result = column.algorithms.get("psi")
    return None if result is None else result.score


def moved_bins(column: ColumnDrift) -> list[dict[str, Any]]:
    """Return the bins or categories whose share changed most, with both shares."""
    bins = column.bins
    if bins is None:
        return []
    places: list[dict[str, Any]]
    if bins.categories is not None:
        places = [{"category": name} for name in bins.categories]
    else:
        ends = [None, *(bins.edges or ()), None]
        places = [{"low": low, "high": high} for low, high in pairwise(ends)]
    found = [
        {**place, "baseline": before, "window": after, "change": after - before}
        for place, before, after in zip(places, bins.baseline, bins.window, strict=True)
        if after != before
    ]
    return sorted(found, key=lambda one: -abs(one["change"]))[:MOST_BINS]
