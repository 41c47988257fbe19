"""From a model's scores to probabilities that mean what they say.

Fitted on labelled baseline rows, applied to rows without labels. Nothing here draws
random numbers: rows are put in the order of a hash of their values, so that the same
rows give the same calibration in whatever order they come.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from monitoring.stats.measure import InsufficientDataError
from monitoring.stats.moments import moments, standardised
from monitoring.stats.performance import roc_auc
from monitoring.stats.tally import Floats, Ints

Method = Literal["isotonic", "platt", "none"]
Labels = NDArray[np.bool_]

FOLDS = 10
BINS = 10
# Isotonic regression follows every chance of fewer rows.
MIN_ISOTONIC_ROWS = 300
MIN_ROWS = 30
# Scores that part the classes this well leave nothing to calibrate.
PERFECT_AUC = 0.999


@dataclass(frozen=True, slots=True, eq=False)
class Calibrator:
    """A function from scores to probabilities.

    Attributes
    ----------
    method : {"isotonic", "platt", "none"}
        None: the scores are probabilities already, and stay.
    points, heights : float array, shape (m,)
        Isotonic: the function is linear between these, and constant outside.
    slope, intercept : float
        Platt: the probability is 1 / (1 + exp(-(slope * score + intercept))).
    error_before, error_after : float
        Expected calibration error on rows that the function wasn't fitted on, without
        and with it, in [0, 1], 0 is good.
    rows : int
        Labelled rows it was fitted on.

    """

    method: Method
    points: Floats
    heights: Floats
    slope: float = 1.0
    intercept: float = 0.0
    error_before: float | None = None
    error_after: float | None = None
    rows: int = 0

    def __call__(self, scores: Floats) -> Floats:
        """Return the probability of each score, NaN where the score is."""
        if self.method == "none":
            return np.clip(scores, 0.0, 1.0)
        if self.method == "platt":
            with np.errstate(over="ignore"):
                return _logistic(self.slope * scores + self.intercept)
        result: Floats = np.interp(scores, self.points, self.heights)
        # of a single point numpy returns the height, whatever is asked
        return np.where(np.isnan(scores), np.nan, result)

    def to_json(self) -> dict[str, float | int | str | None]:
        """Return what a reader needs to judge the calibration, as plain JSON."""
        return {
            "method": self.method,
            "rows": self.rows,
            "error_before": self.error_before,
            "error_after": self.error_after,
        }


_RESOLUTION = float(np.finfo(np.float64).resolution)
_NO_POINTS = np.zeros(0)
_GOLDEN = np.uint64(0x9E3779B97F4A7C15)


def fit(scores: Floats, labels: Labels) -> Calibrator:
    """Return the calibration of scores, the identity where none helps.

    1. Fit on nine tenths of the rows and calibrate the last tenth, ten times, so that
       every row is calibrated once by a function that hasn't seen it.
    2. Compare the expected calibration error over all rows, before and after.
    3. If it is lower after, fit on all rows. Scores outside of [0, 1] are calibrated
       whatever the comparison says.

    Parameters
    ----------
    scores : float array, shape (n,)
        Finite; the higher, the likelier is the label.
    labels : bool array, shape (n,)

    Raises
    ------
    InsufficientDataError
        Fewer than 30 rows, or all labels are the same.

    References
    ----------
    Zadrozny and Elkan, KDD 2002, section 3.2 (isotonic regression).
    Platt, Advances in Large Margin Classifiers (1999), section 2.2.

    Examples
    --------
    >>> scores = np.linspace(0, 1, 1000)
    >>> labels = np.arange(1000) % 10 < 10 * scores**2
    >>> calibrator = fit(scores, labels)
    >>> calibrator.method, bool(calibrator(np.array([0.5]))[0] < 0.35)
    ('isotonic', True)

    """
    rows = len(labels)
    if rows < MIN_ROWS:
        msg = f"{rows} labelled rows with a score, {MIN_ROWS} are needed"
        raise InsufficientDataError(msg)
    if labels.all() or not labels.any():
        raise InsufficientDataError("the labels of the baseline are of one class only")
    table = _Table.of(scores, labels)
    are_chances = bool(table.points[0] >= 0 and table.points[-1] <= 1)
    counts, hits = table.counts()
    area = roc_auc(hits, counts - hits).value or 0.0
    if are_chances and area > PERFECT_AUC:
        return Calibrator("none", _NO_POINTS, _NO_POINTS, rows=rows)
    method: Method = "isotonic" if rows >= MIN_ISOTONIC_ROWS else "platt"
    after = calibration_error(table.out_of_fold(method), table.labels)
    before = None
    if are_chances:
        before = calibration_error(table.scores, table.labels)
        method = method if after < before else "none"
    function = _fitted(method, table.points, counts, hits)
    return Calibrator(method, *function, before, after, rows)


def calibration_error(chances: Floats, labels: Labels) -> float:
    """Return the expected calibration error over ten bins of equal counts.

    Parameters
    ----------
    chances : float array, shape (n,), n > 0
        Equal ones stay in the order in which they come.
    labels : bool array, shape (n,)

    Returns
    -------
    float
        In [0, 1], 0 is good: the mean distance of a bin's mean probability from its
        share of positive labels, weighted by rows.

    References
    ----------
    Naeini, Cooper and Hauskrecht, AAAI 2015, section 4.

    Examples
    --------
    >>> calibration_error(np.full(20, 0.5), np.arange(20) % 2 == 0)
    0.0

    """
    order = np.argsort(chances, kind="stable")
    starts = np.arange(BINS) * (len(order) // BINS) if len(order) > BINS else [0]
    gaps = np.add.reduceat(chances[order] - labels[order], starts)
    return float(np.abs(gaps).sum()) / len(order)


@dataclass(frozen=True, slots=True, eq=False)
class _Table:
    """Labelled rows in the order of their hash, and counted by distinct score."""

    scores: Floats
    labels: Labels
    folds: Ints  # of each row
    points: Floats  # the distinct scores, rising
    places: Ints  # of each row's score among them

    @classmethod
    def of(cls, scores: Floats, labels: Labels) -> _Table:
        # Rows of one hash are alike, so it doesn't matter how they are ordered.
        order = np.argsort(_hashes(scores, labels))
        scores, labels = scores[order], labels[order]
        # Each class is dealt out by itself, so that the folds are stratified.
        folds = np.empty(len(labels), np.int64)
        for side in (labels, ~labels):
            folds[side] = np.arange(np.count_nonzero(side)) % FOLDS
        points, places = np.unique(scores, return_inverse=True)
        # Scores that differ by rounding alone are one, as in scikit-learn.
        starts = np.diff(points, prepend=-np.inf) >= _RESOLUTION
        places = (np.cumsum(starts) - 1)[places]
        return cls(scores, labels, folds, points[starts], places)

    def counts(self, chosen: NDArray[np.bool_] | None = None) -> tuple[Ints, Ints]:
        """Return the rows and the hits of each point, of some rows or of all."""
        places, labels = self.places, self.labels
        if chosen is not None:
            places, labels = places[chosen], labels[chosen]
        size = len(self.points)
        rows = np.bincount(places, minlength=size)
        return rows, np.bincount(places[labels], minlength=size)

    def out_of_fold(self, method: Method) -> Floats:
        """Return each row's probability by a function fitted without its fold."""
        chances = np.empty(len(self.scores))
        rows, hits = self.counts()
        for fold in range(FOLDS):
            mine = self.folds == fold
            mine_rows, mine_hits = self.counts(mine)
            function = _fitted(method, self.points, rows - mine_rows, hits - mine_hits)
            chances[mine] = Calibrator(method, *function)(self.scores[mine])
        return chances


_Function = tuple[Floats, Floats, float, float]


def _fitted(method: Method, points: Floats, rows: Ints, hits: Ints) -> _Function:
    if method == "none":
        return _NO_POINTS, _NO_POINTS, 1.0, 0.0
    seen = rows > 0
    points, rows, hits = points[seen], rows[seen], hits[seen]
    if method == "platt":
        return _NO_POINTS, _NO_POINTS, *_platt(points, rows, hits)
    return *_isotonic(points, rows, hits), 1.0, 0.0


def _isotonic(points: Floats, rows: Ints, hits: Ints) -> tuple[Floats, Floats]:
    """Return the points of the isotonic fit, without those inside of a flat stretch."""
    from scipy.optimize import isotonic_regression

    heights = isotonic_regression(hits / rows, weights=rows).x
    kept = np.ones(len(points), np.bool_)
    kept[1:-1] = (heights[1:-1] != heights[:-2]) | (heights[1:-1] != heights[2:])
    return points[kept], heights[kept]


def _platt(points: Floats, rows: Ints, hits: Ints) -> tuple[float, float]:
    """Return slope and intercept of Platt's logistic fit, by Newton's method.

    The targets are Platt's: 1 and 0 drawn in by one row of either class, which keeps
    the slope finite where the scores part the classes.
    """
    n_hits, n = int(hits.sum()), int(rows.sum())
    high, low = (n_hits + 1) / (n_hits + 2), 1 / (n - n_hits + 2)
    targets = (hits * high + (rows - hits) * low) / rows
    centre, scale = moments(points)
    places = standardised(points, centre, scale)
    design = np.column_stack([places, np.ones(len(points))])
    weights = np.array([0.0, np.log((n_hits + 1) / (n - n_hits + 1))])
    loss = _log_loss(design @ weights, targets, rows)
    for _ in range(100):
        chances = _logistic(design @ weights)
        slopes = design.T @ (rows * (chances - targets))
        curvature = (design.T * (rows * chances * (1 - chances))) @ design
        step = np.linalg.solve(curvature + 1e-12 * np.eye(2), slopes)
        # Newton's step may lead too far: halve it until the loss falls.
        for _ in range(50):
            found = _log_loss(design @ (weights - step), targets, rows)
            if found <= loss:
                break
            step /= 2
        weights = weights - step
        if loss - found <= 1e-12 * abs(loss):
            break
        loss = found
    slope = float(weights[0]) / (scale or 1.0)
    return slope, float(weights[1]) - slope * centre


def _log_loss(margins: Floats, targets: Floats, rows: Ints) -> float:
    return float(rows @ (np.logaddexp(0, margins) - targets * margins))


def _logistic(margins: Floats) -> Floats:
    result: Floats = 0.5 * (1 + np.tanh(0.5 * margins))
    return result


def _hashes(scores: Floats, labels: Labels) -> NDArray[np.uint64]:
    """Return a hash of each row: the finaliser of splitmix64 over score and label."""
    bits = (scores + 0.0).view(np.uint64) ^ np.where(labels, _GOLDEN, np.uint64(0))
    for shift, factor in ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB)):
        bits = (bits ^ (bits >> np.uint64(shift))) * np.uint64(factor)
    return bits ^ (bits >> np.uint64(31))
