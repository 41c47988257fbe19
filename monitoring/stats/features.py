"""Columns as a table that trees can be grown on: codes for categories, NaN for gaps."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from governance.labels import canonical
from monitoring.stats.answers import numbers
from monitoring.stats.columns import Codes, Values, by_category
from monitoring.stats.tally import Floats, Ints

# scikit-learn takes 255 categories; the rarest share the last code.
MOST_CATEGORIES = 250
# Halves of sums of two values stay finite.
LARGEST = 1e300


def values(column: Values) -> Floats:
    """Return a numeric column, NaN where it is missing."""
    found = numbers(column)
    result: Floats = np.clip(found, -LARGEST, LARGEST, out=found)
    return result


def ranks(sides: Sequence[Values]) -> dict[str, int]:
    """Return each category's rank, the most frequent first; the rarest share one."""
    counts: dict[str, int] = {}
    for side in sides:
        for name, count in by_category(side)[0].items():
            counts[name] = counts.get(name, 0) + count
    ranked = sorted(counts, key=lambda name: (-counts[name], name))
    return {name: min(at, MOST_CATEGORIES) for at, name in enumerate(ranked)}


def codes(column: Values, places: Mapping[str, int]) -> Floats:
    """Return each row's rank, NaN where it is missing or has none."""

    def of(value: object) -> float:
        text = canonical(value)
        return np.nan if text is None else places.get(text, np.nan)

    if isinstance(column, Codes):
        used: Ints = np.unique(column.codes[column.codes >= 0])
        by_code = np.full(len(column.categories) + 1, np.nan)
        by_code[used] = [of(column.categories[code]) for code in used.tolist()]
        return np.take(by_code, column.codes)
    listed = column.tolist() if isinstance(column, np.ndarray) else column
    known = {value: of(value) for value in set(listed)}
    return np.array([known[value] for value in listed], np.float64)
