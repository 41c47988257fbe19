"""Performance before the labels are in: confidence-based estimation (CBPE).

A calibrated probability is the share of rows like this one that turn out positive. So
the confusion matrix of rows without labels is known in expectation, and with it every
metric. That holds while the relation of inputs and outcome is that of the baseline: it
is right when only the inputs move, and blind to concept drift (see `trust`).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from governance.schema import Task
from monitoring.stats import performance
from monitoring.stats.answers import Answers
from monitoring.stats.expected import (
    Calibrators,
    Confidence,
    Knowledge,
    Probabilities,
    Scores,
)
from monitoring.stats.measure import NoDataError
from monitoring.stats.performance import Drop, Metric, Metrics, absent
from monitoring.stats.spreads import Spreads
from monitoring.stats.tally import Floats, Ints

# An estimate's interval, and how far baseline chunks may lie from their mean.
ERRORS = 3.0
CHUNKS = 10


@dataclass(frozen=True, slots=True)
class Limits:
    """Between which the metric of a baseline chunk lies, nearly always."""

    low: float
    high: float


@dataclass(frozen=True, slots=True)
class Estimates:
    """The metrics that a window is expected to have, each with its interval."""

    rows: int
    used: int  # rows with all that is needed
    metrics: Metrics
    limits: Mapping[str, Limits]

    def is_outside(self, name: str) -> bool:
        """Whether an estimate leaves the limits of the baseline's chunks."""
        value, limits = self.metrics[name].value, self.limits.get(name)
        if value is None or limits is None:
            return False
        return not limits.low <= value <= limits.high

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON."""
        found = {}
        for name, metric in self.metrics.items():
            found[name] = metric.to_json() | {"outside": self.is_outside(name)}
            if name in self.limits:
                limits = self.limits[name]
                found[name] |= {"lower_limit": limits.low, "upper_limit": limits.high}
        return {"rows": self.rows, "used": self.used, "metrics": found}


@dataclass(frozen=True, slots=True, eq=False)
class Cbpe:
    """A fitted estimator; `fit` makes one, `estimate` uses it.

    Attributes
    ----------
    knowledge : Scores, Probabilities or Confidence
        What is known of an answer.
    calibrators : tuple of Calibrator
        One for each class, or a single one (see `expected`).
    baseline : dict of str to Metric
        Realized on the baseline's labelled rows.
    limits : dict of str to Limits
        Mean and three standard deviations of the metric over chunks of the baseline.
    rows : int
        Labelled baseline rows.

    Examples
    --------
    >>> scores = np.linspace(0, 1, 2000)
    >>> labels = np.arange(2000) % 10 < 10 * scores
    >>> answers = Answers(scores, (scores >= 0.5).astype(int))
    >>> estimator = Cbpe.fit(Task.BINARY, answers, labels.astype(int))
    >>> window = Answers(scores[1500:], np.ones(500, int))
    >>> round(estimator.estimate(window).metrics["accuracy"].value, 2)
    0.92

    """

    knowledge: Knowledge
    calibrators: Calibrators
    baseline: Metrics
    limits: Mapping[str, Limits]
    rows: int
    _spreads: Spreads

    @classmethod
    def fit(
        cls,
        task: Task,
        answers: Answers,
        labels: Ints,
        *,
        chunk_rows: int | None = None,
    ) -> Cbpe:
        """Return the estimator of a baseline.

        Parameters
        ----------
        task : Task
            Not regression: see `losses`.
        answers : Answers
            What the model answered on the baseline.
        labels : int array, shape (n,)
            Position of each row's true class, -1 if unknown.
        chunk_rows : int, optional
            Rows of the chunks that `limits` is made of; a tenth of the rows if None.

        Raises
        ------
        NoDataError
            No row has both a label and a score.
        InsufficientDataError
            Too few of them, or the labels are of one class only.
        ValueError
            The task is regression.

        """
        knowledge = _knowledge(task, answers)
        known = knowledge.is_usable(answers) & (labels >= 0)
        if not known.any():
            raise NoDataError("no row of the baseline has both a label and a score")
        mine, truth = answers.at(known), labels[known]
        rows = len(truth)
        calibrators = knowledge.calibrate(mine, truth)
        certain = knowledge.certain(mine, truth)
        spreads = knowledge.spreads(mine, certain)
        realized = with_intervals(knowledge.metrics(mine, certain), spreads, rows)
        size = chunk_rows or max(rows // CHUNKS, 1)
        limits = _limits(knowledge, mine, certain, size)
        return cls(knowledge, calibrators, realized, limits, rows, spreads)

    def estimate(self, answers: Answers) -> Estimates:
        """Return the metrics that a window of answers without labels should have.

        A row without a score, or without a probability of each class, is left out.
        Where none is left every metric is None with the reason.
        """
        if not self._is_alike(answers):
            reason = f"the baseline knew {self.knowledge.name}"
            return self.nothing(len(answers), reason)
        known = self.knowledge.is_usable(answers)
        used = int(np.count_nonzero(known))
        if not used:
            return self.nothing(len(answers), f"no row has {self.knowledge.name}")
        places = np.flatnonzero(known)
        # Rising scores are looked up in a calibration several times faster.
        mine = answers.at(places[np.argsort(answers.scores[places])])
        chances = self.knowledge.chances(mine, self.calibrators)
        metrics = self.knowledge.metrics(mine, chances)
        return self.told(metrics, rows=len(answers), used=used)

    def told(self, metrics: Metrics, *, rows: int, used: int) -> Estimates:
        """Return metrics of so many rows with the sampling error that they have.

        Parameters
        ----------
        metrics : dict of str to Metric
            Expected from chances, by whatever way: their intervals are replaced.
        rows, used : int
            Of the window, and those of them that the metrics are about.

        """
        found = {
            name: self._with_error(name, metric, used)
            for name, metric in metrics.items()
        }
        return Estimates(rows, used, found, self.limits)

    def nothing(self, rows: int, reason: str) -> Estimates:
        """Return that none of a window's metrics can be estimated, and why."""
        metrics = {name: absent(0, reason) for name in self.baseline}
        return Estimates(rows, 0, metrics, self.limits)

    def drop(self, estimates: Estimates, name: str) -> Drop | None:
        """Return how much worse than on the baseline a metric is expected to be."""
        return performance.drop(name, self.baseline[name], estimates.metrics[name])

    def fit_error(self, name: str) -> float | None:
        """Return the standard error that the baseline's own size gives an estimate."""
        spread = self._spreads.get(name)
        return None if spread is None else spread / math.sqrt(self.rows)

    def _is_alike(self, answers: Answers) -> bool:
        """Whether the answers have the probabilities that the baseline had."""
        if not isinstance(self.knowledge, Probabilities):
            return True
        table = answers.probabilities
        return table is not None and table.shape[1] == self.knowledge.size

    def _with_error(self, name: str, metric: Metric, used: int) -> Metric:
        spread = self._spreads.get(name)
        if metric.value is None or spread is None:
            return replace(metric, n=used, low=None, high=None)
        return _around(metric.value, ERRORS * spread / math.sqrt(used), used)


def _knowledge(task: Task, answers: Answers) -> Knowledge:
    if task is Task.REGRESSION:
        raise ValueError("a regression has no classes: estimate its losses")
    if task is Task.BINARY:
        return Scores()
    if answers.probabilities is None:
        return Confidence()
    return Probabilities(answers.probabilities.shape[1])


def with_intervals(metrics: Metrics, spreads: Spreads, rows: int) -> Metrics:
    """Return the realized metrics, each with a 95 % interval where there is one."""
    found = {}
    for name, metric in metrics.items():
        found[name] = replace(metric, n=round(metric.n))
        if metric.value is not None and metric.low is None and name in spreads:
            half = performance.Z95 * spreads[name] / math.sqrt(rows)
            found[name] = _around(metric.value, half, round(metric.n))
    return found


def _around(value: float, half: float, n: int) -> Metric:
    return Metric(value, n, max(value - half, 0.0), min(value + half, 1.0))


def _limits(
    knowledge: Knowledge, answers: Answers, certain: Floats, size: int
) -> dict[str, Limits]:
    """Return mean and three standard deviations over chunks; of one chunk, nothing."""
    values: dict[str, list[float]] = {}
    for start in range(0, len(certain) - size + 1, size):
        rows = np.arange(start, start + size)
        metrics = knowledge.metrics(answers.at(rows), certain[rows])
        for name, metric in metrics.items():
            if metric.value is not None:
                values.setdefault(name, []).append(metric.value)
    limits = {}
    for name, found in values.items():
        if len(found) > 1:
            mean, half = float(np.mean(found)), ERRORS * float(np.std(found))
            limits[name] = Limits(max(mean - half, 0.0), min(mean + half, 1.0))
    return limits
