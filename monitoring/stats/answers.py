"""What a model answered, as codes and numbers."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from governance.labels import canonical, number
from monitoring.stats.columns import Codes, Values
from monitoring.stats.tally import Floats, Ints


@dataclass(frozen=True, slots=True)
class Answers:
    """What a model answered, row by row."""

    # Binary: score of the positive class; multiclass: confidence; regression: the
    # prediction itself. NaN: none.
    scores: Floats
    # Position of the predicted class, -1: none; binary: 1 is the positive class.
    predicted: Ints
    probabilities: Floats | None = None  # shape (n, k), multiclass only

    def __len__(self) -> int:
        return len(self.scores)

    def at(self, rows: NDArray[Any]) -> Answers:
        """Return the answers of some rows."""
        chances = self.probabilities
        return Answers(
            self.scores[rows],
            self.predicted[rows],
            None if chances is None else chances[rows],
        )


def positions(values: Values, names: Sequence[str]) -> Ints:
    """Return each value's place among the names, -1 if missing, their number if none.

    Parameters
    ----------
    values : array, sequence or Codes, length n
        Labels in any spelling; they are compared by value.
    names : sequence of str
        Canonical texts.

    Returns
    -------
    int array, shape (n,)

    Examples
    --------
    >>> positions([1, "0", None, "b"], ("0", "1")).tolist()
    [1, 0, -1, 2]
    >>> positions(np.array([1.0, 0.5, np.nan]), ("0", "1")).tolist()
    [1, 2, -1]

    """
    place = {name: at for at, name in enumerate(names)}

    def of(value: object) -> int:
        text = canonical(value)
        return -1 if text is None else place.get(text, len(names))

    if isinstance(values, Codes):
        # The last entry is where the code -1 of a missing value points.
        by_code: Ints = np.array([*map(of, values.categories), -1], np.int64)
        return np.take(by_code, values.codes)
    if isinstance(values, np.ndarray) and values.dtype.kind == "f":
        return _float_positions(values, names)
    listed = values.tolist() if isinstance(values, np.ndarray) else values
    known = {value: of(value) for value in set(listed)}
    return np.array([known[value] for value in listed], np.int64)


def _float_positions(values: NDArray[Any], names: Sequence[str]) -> Ints:
    """Look many different numbers up without spelling each of them."""
    found = np.full(len(values), len(names), np.int64)
    found[np.isnan(values)] = -1
    spelled = sorted(
        (value, at)
        for at, name in enumerate(names)
        if (value := number(name)) is not None and canonical(value) == name
    )
    if spelled:
        numbers_of, places = zip(*spelled, strict=True)
        ascending = np.array(numbers_of)
        index = np.minimum(np.searchsorted(ascending, values), len(spelled) - 1)
        hits = ascending[index] == values
        found[hits] = np.array(places)[index[hits]]
    return found


def numbers(values: Values) -> Floats:
    """Return values as numbers; what is missing, or no finite number, is NaN.

    Examples
    --------
    >>> numbers(["1.5", 2, None, "n/a"]).tolist()
    [1.5, 2.0, nan, nan]

    """
    if isinstance(values, Codes):
        by_code = _numbers_of([*values.categories, None])
        return np.take(by_code, values.codes)
    if isinstance(values, np.ndarray) and values.dtype.kind in "fiub":
        found = values.astype(np.float64)
        found[~np.isfinite(found)] = np.nan
        return found
    return _numbers_of(values.tolist() if isinstance(values, np.ndarray) else values)


def _numbers_of(values: Iterable[object]) -> Floats:
    texts = map(canonical, values)
    found = [None if text is None else number(text) for text in texts]
    return np.array([math.nan if one is None else one for one in found], np.float64)


def is_given(values: Values) -> NDArray[np.bool_]:
    """Tell which values are there, whatever they are."""
    return positions(values, ()) >= 0
