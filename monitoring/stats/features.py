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


def names_of(column: Values) -> tuple[list[str], Ints]:
    """Return a column's categories by name, and each row's place among them.

    A missing value has the place -1. Categories of equal text are one.

    Examples
    --------
    >>> names, places = names_of(["b", None, "a", "b"])
    >>> names, places.tolist()
    (['b', 'a'], [0, -1, 1, 0])
    """
    if isinstance(column, Codes):
        known: dict[object, str | None] = {
            code: canonical(name) for code, name in enumerate(column.categories)
        }
        listed = column.codes
    else:
        values = column.tolist() if isinstance(column, np.ndarray) else list(column)
        known = {value: canonical(value) for value in dict.fromkeys(values)}
        places = {value: place for place, value in enumerate(known)}
        listed = np.array([places[value] for value in values], np.int64)
    names = list(dict.fromkeys(name for name in known.values() if name is not None))
    at = {name: place for place, name in enumerate(names)}
    # The last entry is where the code -1 of a missing value points.
    table = [-1 if name is None else at[name] for name in known.values()]
    return names, np.take(np.array([*table, -1], np.int64), listed)
