"""Realized performance: every metric from counts and sums, and their intervals.

The live view keeps counts, an analysis has rows; both come to the same functions here.
What can't be computed is None with a reason, never a made-up number.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from governance.decision import ERROR_METRICS
from monitoring.stats.tally import Floats, Ints

Z95 = 1.959963984540054  # the 97.5 % point of the normal distribution

# Of these more is worse, or as bad as less: a drop of them says nothing.
UNDIRECTED = frozenset({"log_loss", "brier", "mape", "bias"})

_ALMOST_ZERO = float(np.finfo(np.float64).eps)  # as scikit-learn's MAPE
_ONE_CLASS = "the labels are of one class only"


@dataclass(frozen=True, slots=True)
class Metric:
    """A metric with its 95 % interval, or the reason why it can't be computed."""

    value: float | None
    n: float  # rows with a label, or the number of them that is expected
    low: float | None = None
    high: float | None = None
    reason: str = ""  # empty if there is a value
    # How far the value may be from that of the rows, where counts leave it open.
    blur: float = 0.0

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON; intervals and the reason only where there is one.

        An approximate value says so: that of the rows lies certainly between
        `certain_low` and `certain_high`.
        """
        data: dict[str, Any] = {"value": self.value, "n": self.n}
        if self.low is not None and self.high is not None:
            data |= {"low": self.low, "high": self.high}
        if self.blur and self.value is not None:
            data |= {
                "approximate": True,
                "certain_low": max(self.value - self.blur, 0.0),
                "certain_high": min(self.value + self.blur, 1.0),
            }
        return data | ({"reason": self.reason} if self.reason else {})


Metrics = dict[str, Metric]


@dataclass(frozen=True, slots=True)
class Drop:
    """How much worse a metric is than the baseline's, with its 95 % interval.

    Absolute; relative to the baseline for `ERROR_METRICS`. Negative: better.
    """

    value: float
    low: float
    high: float


def absent(n: float, reason: str) -> Metric:
    """Return a metric that can't be computed."""
    return Metric(None, n, reason=reason)


def share(hits: float, n: float, reason: str = "there are no labels") -> Metric:
    """Return a share with its Wilson score interval; None if `n` is 0.

    Examples
    --------
    >>> metric = share(9, 10)
    >>> round(metric.low, 3), metric.value, round(metric.high, 3)
    (0.596, 0.9, 0.982)

    """
    if n <= 0:
        return absent(0, reason)
    low, high = wilson(hits, n)
    return Metric(hits / n, n, low, high)


def wilson(hits: float, n: float) -> tuple[float, float]:
    """Return the 95 % Wilson score interval of a share (E. B. Wilson, 1927)."""
    p = hits / n
    weight = Z95**2 / n
    middle = (p + weight / 2) / (1 + weight)
    half = Z95 / (1 + weight) * math.sqrt(p * (1 - p) / n + weight / (4 * n))
    return max(0.0, middle - half), min(1.0, middle + half)


# Rows, or the expected number of them where labels are known by their chances alone.
Counts = Ints | Floats


def confusion_metrics(confusion: Counts) -> Metrics:
    """Return the metrics of a confusion matrix, binary or macro-averaged.

    Parameters
    ----------
    confusion : int or float array, shape (k, k)
        Rows are predicted classes, columns labels; of two classes the second one is
        the positive.

    Returns
    -------
    dict of str to Metric
        `accuracy`, `balanced_accuracy`, `precision`, `recall`, `specificity`, `f1`,
        in [0, 1], 1 is good.

    """
    hits = confusion.diagonal()
    predicted, actual = confusion.sum(1), confusion.sum(0)
    if len(confusion) == 2:
        return _binary_metrics(*confusion.ravel().tolist())
    return class_metrics(hits, predicted, actual)


def _binary_metrics(tn: float, fn: float, fp: float, tp: float) -> Metrics:
    n = tn + fn + fp + tp
    recall = share(tp, tp + fn, "no label is of the positive class")
    specificity = share(tn, tn + fp, "no label is of the negative class")
    balanced = absent(n, _ONE_CLASS)
    if recall.value is not None and specificity.value is not None:
        balanced = Metric((recall.value + specificity.value) / 2, n)
    f1 = absent(n, "the positive class occurs in neither labels nor predictions")
    if tp + fn + fp > 0:
        f1 = Metric(2 * tp / (2 * tp + fn + fp), n)
    return {
        "accuracy": share(tp + tn, n),
        "balanced_accuracy": balanced,
        "precision": share(tp, tp + fp, "nothing was predicted as positive"),
        "recall": recall,
        "specificity": specificity,
        "f1": f1,
    }


def class_metrics(hits: Counts, predicted: Counts, actual: Counts) -> Metrics:
    """Return accuracy and the macro averages over the classes that occur.

    As in scikit-learn (``average="macro", zero_division=0``): a class that is predicted
    and never right, or right and never predicted, counts as 0. Balanced accuracy
    averages the recall over the classes that occur among the labels.

    Parameters
    ----------
    hits, predicted, actual : int or float arrays, shape (k,)
        Per class: rows rightly predicted, predicted, and labelled.

    """
    n = actual.sum().item()
    if n <= 0:
        return {name: absent(0, "there are no labels") for name in MACRO}
    occurring = (predicted > 0) | (actual > 0)
    tp, guessed, true = hits[occurring], predicted[occurring], actual[occurring]
    recalls = _shares(tp, true)
    negatives = n - true
    specificities = _shares(n - true - guessed + tp, negatives)
    return {
        "accuracy": share(tp.sum().item(), n),
        "balanced_accuracy": Metric(float(recalls[true > 0].mean()), n),
        "precision": Metric(float(_shares(tp, guessed).mean()), n),
        "recall": Metric(float(recalls.mean()), n),
        "specificity": Metric(float(specificities.mean()), n),
        "f1": Metric(float(_shares(2 * tp, guessed + true).mean()), n),
    }


MACRO = (
    "accuracy",
    "balanced_accuracy",
    "precision",
    "recall",
    "specificity",
    "f1",
)


def _shares(part: Counts, whole: Counts) -> Floats:
    return np.divide(part, whole, out=np.zeros(len(part)), where=whole > 0)


def roc_auc(
    positives: Counts, negatives: Counts, blurred: Ints | None = None
) -> Metric:
    """Return the area under the ROC curve with its DeLong interval.

    Parameters
    ----------
    positives, negatives : int or float arrays, shape (m,)
        Labelled rows per cell, the cells in rising order of the score. Scores within a
        cell count as ties.
    blurred : int array or None
        The cells that hold several scores. Half of the pairs within them is how far
        the area may be off from scikit-learn's, which is met where there is no such
        pair; the interval is widened by that.

    References
    ----------
    DeLong, DeLong and Clarke-Pearson, Biometrics 44 (1988), section 2.

    """
    p, q = positives.sum().item(), negatives.sum().item()
    if p <= 0 or q <= 0:
        return absent(p + q, _ONE_CLASS if p + q > 0 else "there are no labels")
    # Placements: the share of the other class below a row, ties by half.
    of_positives = (np.cumsum(negatives) - negatives / 2) / q
    of_negatives = (np.cumsum(positives) - positives / 2) / p
    area = float(positives @ of_positives) / p
    variance = 0.0
    if p > 1:
        variance += float(positives @ (of_positives - area) ** 2) / (p - 1) / p
    if q > 1:
        variance += float(negatives @ (of_negatives - (1 - area)) ** 2) / (q - 1) / q
    half = Z95 * math.sqrt(variance)
    low, high = area - half, area + half
    if variance == 0 or min(p, q) == 1:
        # Without an overlap DeLong's variance is 0, as if the area were known.
        low, high = wilson(area * min(p, q), min(p, q))
    blur = 0.0
    if blurred is not None:
        blur = float(positives[blurred] @ negatives[blurred]) / (2 * p * q)
    interval = max(low - blur, 0.0), min(high + blur, 1.0)
    return Metric(area, p + q, *interval, blur=blur)


def cells_of(scores: Floats, labels: NDArray[np.bool_]) -> tuple[Ints, Ints]:
    """Return positives and negatives for each distinct score, rising.

    Examples
    --------
    >>> cells_of(np.array([0.2, 0.9, 0.2]), np.array([True, True, False]))
    (array([1, 1]), array([1, 0]))

    """
    distinct, position = np.unique(scores, return_inverse=True)
    size = len(distinct)
    return (
        np.bincount(position[labels], minlength=size),
        np.bincount(position[~labels], minlength=size),
    )


def log_losses(chances: Floats) -> Floats:
    """Return -ln of the probability given to what happened, clipped as scikit-learn."""
    return -np.log(np.clip(chances, _ALMOST_ZERO, 1 - _ALMOST_ZERO))


@dataclass(frozen=True, slots=True)
class ErrorSums:
    """What the metrics of a regression are functions of, e = prediction - label."""

    n: int
    e: float
    absolute: float
    squares: float
    fourths: float
    # Of the labels, minus a constant of the caller's choice.
    y: float
    y_squares: float
    relative: float  # sum of |e / y| where |y| is above `_ALMOST_ZERO`
    n_relative: int

    @classmethod
    def of(cls, predictions: Floats, labels: Floats, centre: float) -> ErrorSums:
        """Return the sums over rows; both arrays are finite."""
        with np.errstate(over="ignore", invalid="ignore"):
            e = predictions - labels
            shifted = labels - centre
            nonzero = np.abs(labels) > _ALMOST_ZERO
            relative = np.abs(e[nonzero] / labels[nonzero])
            return cls(
                n=len(e),
                e=float(e.sum()),
                absolute=float(np.abs(e).sum()),
                squares=float(e @ e),
                fourths=float(e**2 @ e**2),
                y=float(shifted.sum()),
                y_squares=float(shifted @ shifted),
                relative=float(relative.sum()),
                n_relative=int(nonzero.sum()),
            )


_REGRESSION = ("mae", "rmse", "mape", "r2", "bias")


def regression_metrics(sums: ErrorSums) -> Metrics:
    """Return `mae`, `rmse`, `mape`, `r2` and `bias` from sums.

    MAPE is over the rows whose label isn't 0, a ratio (0.1 is ten percent). R² needs
    labels that differ. Intervals: normal for the means, by the delta method for RMSE.
    """
    n = sums.n
    if n <= 0:
        reason = "there are no labels"
        return {name: absent(0, reason) for name in _REGRESSION}
    spread = sums.y_squares - sums.y * sums.y / n
    # What is left of rounding after the centre was taken away is no spread.
    flat = spread <= 1e-12 * sums.y_squares or n < 2
    r2 = absent(n, "the labels are all equal")
    if not flat:
        r2 = _finite(Metric(1 - sums.squares / spread, n))
    mape = absent(n, "all labels are 0")
    if sums.n_relative > 0:
        mape = _finite(Metric(sums.relative / sums.n_relative, sums.n_relative))
    return {
        "mae": _finite(_mean(sums.absolute, sums.squares, n)),
        "rmse": _finite(_root(_mean(sums.squares, sums.fourths, n))),
        "mape": mape,
        "r2": r2,
        "bias": _finite(_mean(sums.e, sums.squares, n, floor=-math.inf)),
    }


def _mean(total: float, squares: float, n: int, floor: float = 0.0) -> Metric:
    mean = total / n
    variance = max(squares / n - mean * mean, 0.0)
    half = Z95 * math.sqrt(variance / max(n - 1, 1))
    if n == 1:  # one row says nothing about the spread
        return Metric(mean, n)
    return Metric(mean, n, max(mean - half, floor), mean + half)


def _root(metric: Metric) -> Metric:
    value, low, high = metric.value or 0.0, metric.low, metric.high
    root = math.sqrt(max(value, 0.0))
    if low is None or high is None:
        return Metric(root, metric.n)
    return Metric(root, metric.n, math.sqrt(max(low, 0.0)), math.sqrt(max(high, 0.0)))


def _finite(metric: Metric) -> Metric:
    """Refuse what left the range of float64 on its way."""
    numbers = [
        one for one in (metric.value, metric.low, metric.high) if one is not None
    ]
    if all(math.isfinite(one) for one in numbers):
        return metric
    return absent(metric.n, "the values are too large")


def drop(name: str, baseline: Metric, current: Metric) -> Drop | None:
    """Return how much worse `current` is than `baseline`; None if that isn't known.

    The interval combines those of the two metrics by the method of variance estimates
    recovery (for two shares it is Newcombe's hybrid score interval); relative drops are
    combined on the logarithmic scale.

    References
    ----------
    Newcombe, Statistics in Medicine 17 (1998) 873-890, method 10.
    Zou and Donner, Statistics in Medicine 27 (2008) 1693-1702.

    Examples
    --------
    >>> worse = drop("accuracy", share(930, 1000), share(800, 1000))
    >>> round(worse.low, 3), round(worse.value, 3), round(worse.high, 3)
    (0.101, 0.13, 0.16)

    """
    before, after = _bounds(baseline), _bounds(current)
    if before is None or after is None:
        return None
    if name not in ERROR_METRICS:
        return Drop(*_difference(before, after))
    if before[1] <= 0:
        return None
    if after[1] <= 0:
        return Drop(-1.0, -1.0, after[2] / before[1] - 1)
    value, low, high = _difference(_logs(after), _logs(before))
    return Drop(math.expm1(value), math.expm1(low), math.expm1(high))


_Bounds = tuple[float, float, float]  # low, value, high


def _bounds(metric: Metric) -> _Bounds | None:
    if metric.value is None or metric.low is None or metric.high is None:
        return None
    return metric.low, metric.value, metric.high


def _difference(one: _Bounds, other: _Bounds) -> tuple[float, float, float]:
    """Return value, low and high of `one` - `other`."""
    value = one[1] - other[1]
    down = math.hypot(one[1] - one[0], other[2] - other[1])
    up = math.hypot(one[2] - one[1], other[1] - other[0])
    return value, value - down, value + up


def _logs(bounds: _Bounds) -> _Bounds:
    low, value, high = bounds
    # An interval down to 0 has no logarithm; a thousandth is as good as nothing.
    return math.log(max(low, value / 1000)), math.log(value), math.log(high)


def chance_metrics(n: int, losses: float, squares: float) -> Metrics:
    """Return `log_loss` and `brier` from sums over `n` rows with probabilities."""
    if n <= 0:
        reason = "there are no labels with a probability"
        return {"log_loss": absent(0, reason), "brier": absent(0, reason)}
    return {"log_loss": Metric(losses / n, n), "brier": Metric(squares / n, n)}


def binary(scores: ArrayLike, predicted: ArrayLike, labels: ArrayLike) -> Metrics:
    """Return every metric of a binary model from rows.

    Parameters
    ----------
    scores : array, shape (n,)
        Score or probability of the positive class; NaN where there is none.
    predicted, labels : array, shape (n,)
        1 positive, 0 negative, NaN unknown. A row counts where both it needs are known.

    """
    scores, predicted, labels = (
        np.asarray(one, np.float64) for one in (scores, predicted, labels)
    )
    known = ~np.isnan(predicted) & ~np.isnan(labels)
    confusion = np.bincount(
        (2 * predicted[known] + labels[known]).astype(np.int64), minlength=4
    ).reshape(2, 2)
    scored = ~np.isnan(scores) & ~np.isnan(labels)
    chances, truths = scores[scored], labels[scored] == 1
    metrics = confusion_metrics(confusion)
    metrics["roc_auc"] = roc_auc(*cells_of(chances, truths))
    return metrics | chance_metrics(*chance_sums(chances, truths))


def chance_sums(chances: Floats, labels: NDArray[np.bool_]) -> tuple[int, float, float]:
    """Return n, Σ log loss and Σ squared error of the scores that are probabilities."""
    fits = (chances >= 0) & (chances <= 1)
    p, y = chances[fits], labels[fits]
    squares = float(((p - y) ** 2).sum())
    return len(p), float(log_losses(np.where(y, p, 1 - p)).sum()), squares


def multiclass(
    predicted: ArrayLike, labels: ArrayLike, probabilities: Floats | None, classes: int
) -> Metrics:
    """Return every metric of a multiclass model from rows.

    `roc_auc` is the mean over the classes of each against the rest.

    Parameters
    ----------
    predicted, labels : int array, shape (n,)
        Positions of classes, -1 if unknown.
    probabilities : float array, shape (n, classes), or None
        NaN where there are none.
    classes : int
        How many classes there are.

    """
    predicted, labels = (np.asarray(one, np.int64) for one in (predicted, labels))
    known = (predicted >= 0) & (labels >= 0)
    metrics = confusion_metrics(
        np.bincount(
            predicted[known] * classes + labels[known], minlength=classes**2
        ).reshape(classes, classes)
    )
    if probabilities is None:
        return metrics | chance_metrics(0, 0, 0)
    rows = (labels >= 0) & ~np.isnan(probabilities).any(1)
    chances, truths = probabilities[rows], labels[rows]
    areas = [
        roc_auc(*cells_of(chances[:, one], truths == one)).value
        for one in range(classes)
    ]
    metrics["roc_auc"] = absent(len(truths), "not every class occurs in the labels")
    if areas and None not in areas:
        mean = math.fsum(area for area in areas if area is not None) / classes
        metrics["roc_auc"] = Metric(mean, len(truths))
    return metrics | chance_metrics(*class_chance_sums(chances, truths))


def class_chance_sums(chances: Floats, labels: Ints) -> tuple[int, float, float]:
    """Return n, Σ log loss and Σ squared error over rows of class probabilities."""
    given = chances[np.arange(len(labels)), labels]
    squares = float((chances**2).sum() - 2 * given.sum() + len(given))
    return len(given), float(log_losses(given).sum()), squares


def regression(predictions: ArrayLike, labels: ArrayLike) -> Metrics:
    """Return every metric of a regression from rows; NaN where there is no value."""
    predictions = np.asarray(predictions, np.float64)
    labels = np.asarray(labels, np.float64)
    known = ~np.isnan(predictions) & ~np.isnan(labels)
    truths = labels[known]
    centre = float(np.median(truths)) if len(truths) else 0.0
    return regression_metrics(ErrorSums.of(predictions[known], truths, centre))
