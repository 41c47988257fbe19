"""A regression's error before the labels are in: direct loss estimation (DLE).

A second model learns, on the labelled baseline, how far off the first one is for rows
like these. As with `estimation`, that holds while inputs and outcome hang together as
they did on the baseline.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from monitoring.stats import features, performance
from monitoring.stats.encoding import Columns, Kinds, row_count, take
from monitoring.stats.estimation import CHUNKS, ERRORS, Estimates, Limits
from monitoring.stats.measure import InsufficientDataError, NoDataError
from monitoring.stats.moments import moments
from monitoring.stats.performance import Drop, Metric, Metrics, absent
from monitoring.stats.tally import Floats

MIN_ROWS = 30
# More rows teach the trees no more about a mean.
MAX_ROWS = 50_000
TREES = 100
LEAVES = 15
METRICS = ("mae", "rmse")


@dataclass(frozen=True, slots=True, eq=False)
class Dle:
    """A fitted estimator; `fit` makes one, `estimate` uses it.

    Attributes
    ----------
    baseline : dict of str to Metric
        `mae` and `rmse`, realized on the baseline's labelled rows.
    limits : dict of str to Limits
        Mean and three standard deviations of the metric over chunks of the baseline.
    rows : int
        Labelled baseline rows.
    """

    baseline: Metrics
    limits: Mapping[str, Limits]
    rows: int
    _kinds: Kinds
    _places: Mapping[str, Mapping[str, int]]  # of the categories of each column
    _absolute: _Loss
    _square: _Loss

    @classmethod
    def fit(
        cls,
        columns: Columns,
        kinds: Kinds,
        predictions: Floats,
        labels: Floats,
        *,
        chunk_rows: int | None = None,
        seed: int = 0,
    ) -> Dle:
        """Return the estimator of a baseline.

        Parameters
        ----------
        columns : mapping of str to array, sequence or Codes
            The model's inputs, of the length of the predictions.
        kinds : mapping of str to {"numeric", "categorical"}
            The columns to use.
        predictions, labels : float array, shape (n,)
            NaN where there is none; such a row is left out.
        chunk_rows : int, optional
            Rows of the chunks that `limits` is made of; a tenth of the rows if None.
        seed : int
            Of the trees, and of the draw if there are more than 50,000 rows.

        Raises
        ------
        NoDataError
            No row has both a prediction and a label.
        InsufficientDataError
            Fewer than 30 rows have.
        ValueError
            The columns are of another length.
        """
        mine = {name: columns[name] for name in kinds if name in columns}
        if row_count(mine, kinds) not in {0, len(predictions)}:
            raise ValueError("the columns aren't of the length of the predictions")
        found = _labelled(predictions, labels)
        guesses, truths = predictions[found], labels[found]
        drawn = _drawn(len(found), seed)
        used = {name: take(column, found[drawn]) for name, column in mine.items()}
        places = {
            name: features.ranks([column])
            for name, column in used.items()
            if kinds[name] == "categorical"
        }
        table = _table(used, kinds, places, guesses[drawn])
        is_category = np.array([*(kind == "categorical" for kind in kinds.values()), 0])
        errors = _errors(guesses, truths)
        absolute, square = (
            _Loss.fit(table, is_category == 1, loss, drawn, seed)
            for loss in (errors, errors**2)
        )
        realized = performance.regression(guesses, truths)
        return cls(
            {name: realized[name] for name in METRICS},
            _limits(guesses, truths, chunk_rows or max(len(found) // CHUNKS, 1)),
            len(found),
            dict(kinds),
            places,
            absolute,
            square,
        )

    def estimate(self, columns: Columns, predictions: Floats) -> Estimates:
        """Return the errors that a window of predictions without labels should have.

        A column that is absent counts as missing; a row without a prediction is left
        out. Where none is left every metric is None with the reason.
        """
        return self.told(len(predictions), *self.sums(columns, predictions))

    def sums(self, columns: Columns, predictions: Floats) -> tuple[int, float, float]:
        """Return how many rows can be estimated, and their expected losses.

        Returns
        -------
        used : int
            Rows with a prediction.
        absolute, squares : float
            Sums over them of the expected absolute and squared errors.

        """
        absolute, squares = self.losses(columns, predictions)
        used = int(np.count_nonzero(~np.isnan(absolute)))
        return used, float(np.nansum(absolute)), float(np.nansum(squares))

    def losses(self, columns: Columns, predictions: Floats) -> tuple[Floats, Floats]:
        """Return each row's expected absolute and squared error, NaN if there is none.

        Parameters
        ----------
        columns, predictions
            As for `estimate`.

        Returns
        -------
        tuple of float array, shape (n,)

        """
        found = np.flatnonzero(np.isfinite(predictions))
        absolute, squares = np.full((2, len(predictions)), np.nan)
        if len(found):
            mine = {
                name: take(columns[name], found)
                for name in self._kinds
                if name in columns
            }
            table = _table(mine, self._kinds, self._places, predictions[found])
            absolute[found] = self._absolute.each(table)
            squares[found] = self._square.each(table)
        return absolute, squares

    def told(self, rows: int, used: int, absolute: float, squares: float) -> Estimates:
        """Return the errors that follow from sums over rows, with their intervals."""
        if not used:
            return self.nothing(rows, "no row has a prediction")
        if not math.isfinite(absolute) or not math.isfinite(squares):
            return self.nothing(rows, "the values are too large")
        root = math.sqrt(used)
        means = {
            "mae": _Mean(absolute / used, self._absolute.spread / root),
            "rmse": _Mean(squares / used, self._square.spread / root).root(),
        }
        metrics = {name: mean.metric(used) for name, mean in means.items()}
        return Estimates(rows, used, metrics, self.limits)

    def nothing(self, rows: int, reason: str) -> Estimates:
        """Return that none of a window's errors can be estimated, and why."""
        metrics = {name: absent(0, reason) for name in METRICS}
        return Estimates(rows, 0, metrics, self.limits)

    def fit_error(self, _name: str) -> float | None:
        """Return None: how far the trees are off isn't known."""
        return None

    def drop(self, estimates: Estimates, name: str) -> Drop | None:
        """Return by which share of the baseline's an error is expected to grow."""
        return performance.drop(name, self.baseline[name], estimates.metrics[name])


@dataclass(frozen=True, slots=True)
class _Mean:
    value: float
    error: float  # standard error

    def root(self) -> _Mean:
        """Return the root, its error to first order."""
        root = math.sqrt(self.value)
        return _Mean(root, self.error / 2 / root if root else 0.0)

    def metric(self, n: int) -> Metric:
        """Return the metric of so many rows, with its interval."""
        half = ERRORS * self.error
        return Metric(self.value, n, max(self.value - half, 0.0), self.value + half)


@dataclass(frozen=True, slots=True, eq=False)
class _Loss:
    """Trees that know the loss of a row, in units of its mean."""

    trees: Any
    unit: float
    spread: float  # standard deviation of a row's loss

    @classmethod
    def fit(
        cls,
        table: Floats,
        is_category: NDArray[np.bool_],
        losses: Floats,
        drawn: NDArray[np.intp],
        seed: int,
    ) -> _Loss:
        from sklearn.ensemble import HistGradientBoostingRegressor

        unit, spread = moments(losses)
        trees = HistGradientBoostingRegressor(
            max_iter=TREES,
            max_leaf_nodes=LEAVES,
            early_stopping=False,
            categorical_features=is_category,
            random_state=seed,
        )
        # The trees compute in float32, which ends at 1e38.
        trees.fit(table, losses[drawn] / (unit or 1.0))
        return cls(trees, unit, spread)

    def each(self, table: Floats) -> Floats:
        """Return the expected loss of each row."""
        losses: Floats = np.maximum(self.trees.predict(table), 0.0) * self.unit
        return losses


def _labelled(predictions: Floats, labels: Floats) -> NDArray[np.intp]:
    found = np.flatnonzero(np.isfinite(predictions) & np.isfinite(labels))
    if not len(found):
        raise NoDataError("no row of the baseline has a prediction and a label")
    if len(found) < MIN_ROWS:
        msg = f"{len(found)} labelled rows, {MIN_ROWS} are needed"
        raise InsufficientDataError(msg)
    return found


def _drawn(rows: int, seed: int) -> NDArray[np.intp]:
    if rows <= MAX_ROWS:
        return np.arange(rows)
    chosen = np.random.default_rng(seed).choice(rows, MAX_ROWS, replace=False)
    return np.sort(chosen)


def _errors(predictions: Floats, labels: Floats) -> Floats:
    with np.errstate(over="ignore"):
        errors = np.abs(predictions - labels)
    # The square of what is larger is beyond float64.
    return np.minimum(errors, 1e150)


def _table(
    columns: Columns,
    kinds: Kinds,
    places: Mapping[str, Mapping[str, int]],
    predictions: Floats,
) -> Floats:
    """Return the inputs and the prediction, side by side."""
    found = []
    for name, kind in kinds.items():
        if name not in columns or (kind == "categorical" and name not in places):
            found.append(np.full(len(predictions), np.nan))
        elif kind == "categorical":
            found.append(features.codes(columns[name], places[name]))
        else:
            found.append(features.values(columns[name]))
    found.append(features.values(predictions))
    return np.column_stack(found)


def _limits(predictions: Floats, labels: Floats, size: int) -> dict[str, Limits]:
    """Return mean and three standard deviations over chunks; of one chunk, nothing."""
    values: dict[str, list[float]] = {name: [] for name in METRICS}
    for start in range(0, len(labels) - size + 1, size):
        chunk = slice(start, start + size)
        metrics = performance.regression(predictions[chunk], labels[chunk])
        for name, found in values.items():
            if (value := metrics[name].value) is not None:
                found.append(value)
    limits = {}
    for name, found in values.items():
        if len(found) > 1:
            mean, deviation = moments(np.array(found))
            low = max(mean - ERRORS * deviation, 0.0)
            limits[name] = Limits(low, mean + ERRORS * deviation)
    return limits
