"""Performance before the labels are in, from counts: no row is read.

A tally has the rows of every cell of the score grid by what was predicted. On a grid
point the calibrated probability is known; between two of them it lies between theirs,
for a calibration rises. So the expected confusion matrix is known but for what a cell
leaves open, which is little (a cell between points holds about a two-thousandth of the
baseline) and is added to the interval.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np

from governance.schema import Task
from monitoring.stats import performance
from monitoring.stats.calibration import Calibrator
from monitoring.stats.estimation import Cbpe, Estimates
from monitoring.stats.expected import Confidence, Scores
from monitoring.stats.outcomes import OutcomeLayout
from monitoring.stats.performance import Counts, Metric, Metrics
from monitoring.stats.tally import Floats, Tally

# Places within a cell at which the calibration is looked up for its mean.
_STEPS = 8
# Beyond every score; infinity times a slope of 0 is no number.
_FAR = 1e300


def can_estimate(estimator: Cbpe) -> bool:
    """Tell whether counts are enough: not where each class has a probability."""
    return isinstance(estimator.knowledge, Scores | Confidence)


def estimate(estimator: Cbpe, layout: OutcomeLayout, tally: Tally) -> Estimates:
    """Return the metrics that the rows of a tally should have.

    Parameters
    ----------
    estimator : Cbpe
        Of the baseline; see `can_estimate`.
    layout : OutcomeLayout
        Under which the tally was counted.
    tally : Tally
        Of any rows.

    Raises
    ------
    ValueError
        The estimator needs the rows.

    """
    if not can_estimate(estimator):
        raise ValueError("the probabilities of several classes aren't counted")
    rows = int(layout.view(tally, "rows")[0])
    cells = _Cells.of(estimator.calibrators[0], layout.points)
    counts = np.maximum(layout.view(tally, "scores"), 0)
    if layout.task is Task.BINARY:
        counts = counts[:, :2]  # the rest has no predicted class
    used = int(counts.sum())
    if not used:
        return estimator.nothing(rows, f"no row has {estimator.knowledge.name}")
    if layout.task is Task.BINARY:
        metrics, blurs = _binary(cells, counts)
    else:
        metrics, blurs = _confidence(estimator, cells, counts[:, 0])
    return _blurred(estimator.told(metrics, rows=rows, used=used), blurs)


@dataclass(frozen=True, slots=True)
class _Cells:
    """The calibrated probability in each cell of a grid: lowest, mean, highest."""

    low: Floats
    mean: Floats
    high: Floats

    @classmethod
    def of(cls, calibrator: Calibrator, points: Floats) -> _Cells:
        size = len(points)
        at = calibrator(points)
        ends = np.concatenate(
            (calibrator(np.array([-_FAR])), at, calibrator(np.array([_FAR])))
        )
        # Below the first point and above the last one scores lie near it.
        means = np.concatenate((at[:1], _between(calibrator, points), at[-1:]))
        one = cls(*(np.empty(2 * size + 1) for _ in range(3)))
        for values, inside in (
            (one.low, np.minimum(ends[:-1], ends[1:])),
            (one.mean, means),
            (one.high, np.maximum(ends[:-1], ends[1:])),
        ):
            values[0::2], values[1::2] = inside, at
        return one


def _between(calibrator: Calibrator, points: Floats) -> Floats:
    """Return the mean of a calibration between neighbouring points."""
    steps = (np.arange(_STEPS) + 0.5) / _STEPS
    places = points[:-1, np.newaxis] + np.diff(points)[:, np.newaxis] * steps
    result: Floats = calibrator(places.ravel()).reshape(places.shape).mean(1)
    return result


_Blurs = dict[str, tuple[float, float]]  # the ends between which a metric lies


def _binary(cells: _Cells, counts: Counts) -> tuple[Metrics, _Blurs]:
    predicted = counts.sum(0)
    metrics = performance.confusion_metrics(_matrix(predicted, cells.mean @ counts))
    # Each metric rises or falls with the positives of either predicted class.
    corners = list(_corners(predicted, cells.low @ counts, cells.high @ counts))
    blurs = {}
    for name in metrics:
        values = [value for one in corners if (value := one[name].value) is not None]
        if values:
            blurs[name] = min(values), max(values)
    rows = counts.sum(1)
    positives = cells.mean * rows
    negatives = rows - positives
    area = performance.roc_auc(positives, np.maximum(negatives, 0.0))
    metrics["roc_auc"] = area
    if area.value is not None:
        # Within a cell nothing is known of the order: half of its pairs.
        pairs = float(positives[0::2] @ negatives[0::2])
        half = pairs / 2 / float(positives.sum()) / float(negatives.sum())
        blurs["roc_auc"] = area.value - half, area.value + half
    return metrics, blurs


def _corners(predicted: Counts, low: Floats, high: Floats) -> Iterator[Metrics]:
    for of_negatives in (low[0], high[0]):
        for of_positives in (low[1], high[1]):
            matrix = _matrix(predicted, np.array([of_negatives, of_positives]))
            yield performance.confusion_metrics(matrix)


def _matrix(predicted: Counts, positives: Floats) -> Floats:
    """Return rows predicted by expected labels."""
    result: Floats = np.maximum(
        np.column_stack((predicted - positives, positives)), 0.0
    )
    return result


def _confidence(
    estimator: Cbpe, cells: _Cells, counts: Counts
) -> tuple[Metrics, _Blurs]:
    rows = int(counts.sum())
    reason = "the probability of each class isn't known"
    metrics = {name: performance.absent(rows, reason) for name in estimator.baseline}
    metrics["accuracy"] = performance.share(float(cells.mean @ counts), rows)
    ends = float(cells.low @ counts) / rows, float(cells.high @ counts) / rows
    return metrics, {"accuracy": ends}


def _blurred(estimates: Estimates, blurs: _Blurs) -> Estimates:
    """Widen the intervals by what the cells leave open."""
    metrics = {}
    for name, metric in estimates.metrics.items():
        metrics[name] = metric
        if name in blurs:
            metrics[name] = _widened(metric, *blurs[name])
    return replace(estimates, metrics=metrics)


def _widened(metric: Metric, low: float, high: float) -> Metric:
    if metric.value is None or metric.low is None or metric.high is None:
        return metric
    return replace(
        metric,
        low=max(metric.low - max(metric.value - low, 0.0), 0.0),
        high=min(metric.high + max(high - metric.value, 0.0), 1.0),
    )
