"""Performance as detectors say it: how much worse than on the baseline.

Each takes the baseline and the window as `Outcomes` and gives one `Measure`. Its score
is the drop of a metric, negative if the window is better: absolute, or relative to the
baseline for an error. The interval is that of the drop; a drop counts where it lies
above 0.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from governance.schema import Task
from monitoring.stats import performance
from monitoring.stats.answers import Answers
from monitoring.stats.columns import Kind, Values
from monitoring.stats.encoding import take
from monitoring.stats.estimation import Cbpe, with_intervals
from monitoring.stats.losses import Dle
from monitoring.stats.measure import InsufficientDataError, Measure, NoDataError
from monitoring.stats.performance import Metric, Metrics
from monitoring.stats.spreads import class_spreads, positive_spreads
from monitoring.stats.tally import Floats, Ints


@dataclass(frozen=True, slots=True, eq=False)
class Outcomes:
    """What a model answered on some rows, and what was true if it is known.

    Attributes
    ----------
    task : Task
        Of the model.
    answers : Answers
        Of each row.
    codes : int array, shape (n,), or None
        Classification: position of the true class, -1 if unknown.
    values : float array, shape (n,), or None
        Regression: the true value, NaN if unknown.
    columns, kinds : mappings
        The model's inputs, for `dle`.
    """

    task: Task
    answers: Answers
    codes: Ints | None = None
    values: Floats | None = None
    columns: Mapping[str, Values] = field(default_factory=dict)
    kinds: Mapping[str, Kind] = field(default_factory=dict)

    def at(self, rows: NDArray[np.intp]) -> Outcomes:
        """Return the outcomes of some rows."""
        return replace(
            self,
            answers=self.answers.at(rows),
            codes=None if self.codes is None else self.codes[rows],
            values=None if self.values is None else self.values[rows],
            columns={name: take(one, rows) for name, one in self.columns.items()},
        )

    @property
    def default_metric(self) -> str:
        """The metric that a drop is told of by default."""
        return "mae" if self.task is Task.REGRESSION else "accuracy"


def realized(
    baseline: Outcomes, window: Outcomes, *, metric: str | None = None
) -> Measure:
    """Return the drop of a metric by the labels of both sides.

    Parameters
    ----------
    baseline, window : Outcomes
        Of one model.
    metric : str, optional
        Accuracy if None, the mean absolute error of a regression.

    Raises
    ------
    NoDataError
        A side has no label.
    InsufficientDataError
        A side's labels don't give the metric.
    ValueError
        The task has no such metric.
    """
    name = metric or baseline.default_metric
    before, after = (metrics(side) for side in (baseline, window))
    return _measure(name, before, after, {})


def cbpe(baseline: Outcomes, window: Outcomes, *, metric: str | None = None) -> Measure:
    """Return the drop of a metric that the window's scores let expect.

    Parameters and errors are those of `realized`; the window needs no labels.
    """
    if baseline.codes is None:
        raise NoDataError("the baseline has no labels")
    estimator = Cbpe.fit(baseline.task, baseline.answers, baseline.codes)
    estimates = estimator.estimate(window.answers)
    name = metric or baseline.default_metric
    calibrations = [one.to_json() for one in estimator.calibrators]
    detail = estimates.to_json() | {"calibration": calibrations}
    return _measure(name, estimator.baseline, estimates.metrics, detail)


def dle(baseline: Outcomes, window: Outcomes, *, metric: str | None = None) -> Measure:
    """Return the growth of an error that the window's rows let expect.

    Parameters and errors are those of `realized`; the window needs no labels.
    """
    if baseline.values is None:
        raise NoDataError("the baseline has no labels")
    estimator = Dle.fit(
        baseline.columns, baseline.kinds, baseline.answers.scores, baseline.values
    )
    estimates = estimator.estimate(window.columns, window.answers.scores)
    name = metric or baseline.default_metric
    return _measure(name, estimator.baseline, estimates.metrics, estimates.to_json())


def metrics(side: Outcomes) -> Metrics:
    """Return every metric that the labels give, or raise NoDataError without any."""
    if side.task is Task.REGRESSION:
        if side.values is None or not np.isfinite(side.values).any():
            raise NoDataError("a side has no labels")
        if not (np.isfinite(side.values) & np.isfinite(side.answers.scores)).any():
            raise NoDataError("no row of a side has both an answer and a label")
        return performance.regression(side.answers.scores, side.values)
    if side.codes is None or not (side.codes >= 0).any():
        raise NoDataError("a side has no labels")
    answers, codes = side.answers, side.codes
    known = (answers.predicted >= 0) & (codes >= 0)
    if not known.any():
        raise NoDataError("no row of a side has both an answer and a label")
    mine, truth = answers.at(known), codes[known]
    if side.task is Task.BINARY:
        found = performance.binary(mine.scores, mine.predicted, truth)
        varied = positive_spreads(mine.predicted == 1, truth == 1, mine.scores)
        return with_intervals(found, varied, len(truth))
    # A class that the model doesn't know stands behind the others.
    size = 1 + int(max(truth.max(initial=0), mine.predicted.max(initial=0)))
    table = mine.probabilities
    if table is not None:
        size = max(size, table.shape[1])
        table = np.pad(table, ((0, 0), (0, size - table.shape[1])))
    found = performance.multiclass(mine.predicted, truth, table, size)
    is_class = np.equal(truth[:, None], np.arange(size))
    blank = np.zeros(is_class.shape)
    varied = class_spreads(mine.predicted, is_class, blank if table is None else table)
    return with_intervals(found, varied, len(truth))


def _measure(
    name: str, before: Metrics, after: Metrics, detail: Mapping[str, Any]
) -> Measure:
    if name not in before or name not in after:
        raise ValueError(f"{name!r} is none of {', '.join(sorted(before))}")
    drop = performance.drop(name, before[name], after[name])
    if drop is None:
        raise InsufficientDataError(_reason(name, before[name], after[name]))
    return Measure(
        drop.value,
        int(before[name].n),
        int(after[name].n),
        statistic=after[name].value,
        interval=(drop.low, drop.high),
        detail={"metric": name, "baseline": before[name].value, **detail},
    )


def _reason(name: str, before: Metric, after: Metric) -> str:
    for side, metric in (("baseline", before), ("window", after)):
        if metric.value is None:
            return f"{name} of the {side}: {metric.reason}"
    return f"the interval of {name} isn't known"
