"""Performance chunk by chunk: estimated, realized, and how far the two lie apart."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from governance.decision import ERROR_METRICS
from governance.schema import PRIMARY_METRICS, Task
from monitoring.reports.clocks import Chunk
from monitoring.stats import drops, performance, trust
from monitoring.stats.drops import Outcomes
from monitoring.stats.estimation import Cbpe, Estimates
from monitoring.stats.losses import Dle
from monitoring.stats.measure import NoDataError, NotMeasurableError
from monitoring.stats.performance import Drop, Metric, Metrics
from monitoring.stats.trust import BackTest, Residual


@dataclass(frozen=True, slots=True)
class Point:
    """The performance of a chunk, or of all rows.

    Attributes
    ----------
    rows, labelled : int
        All of them, and those with a label.
    realized : dict of str to Metric
        Empty without labels.
    estimated : Estimates or None
        Of all rows; None without an estimator.
    residuals : dict of str to Residual
        Realized minus estimated, both of the labelled rows.
    drops : dict of str to Drop
        How much worse than on the reference, realized.
    expected_drops : dict of str to Drop
        The same, estimated.
    """

    rows: int
    labelled: int
    realized: Metrics
    estimated: Estimates | None
    residuals: Mapping[str, Residual]
    drops: Mapping[str, Drop]
    expected_drops: Mapping[str, Drop]

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON."""
        estimated = None if self.estimated is None else self.estimated.to_json()
        return {
            "rows": self.rows,
            "labelled": self.labelled,
            "realized": {name: one.to_json() for name, one in self.realized.items()},
            "estimated": estimated,
            "residuals": {name: one.to_json() for name, one in self.residuals.items()},
            "drops": {name: _drop(one) for name, one in self.drops.items()},
            "expected_drops": {
                name: _drop(one) for name, one in self.expected_drops.items()
            },
        }


def _drop(found: Drop) -> dict[str, float]:
    return {"value": found.value, "low": found.low, "high": found.high}


@dataclass(frozen=True, slots=True)
class Performance:
    """What is known of the model's performance.

    Attributes
    ----------
    task : Task
    metric : str
        The one that is told first.
    reference : dict of str to Metric
        Realized on the reference.
    estimator : str
        `cbpe` or `dle`; empty if there is none, `reason` tells why.
    whole : Point
        All rows of the current file.
    chunks : list of Point
        In the order of the chunks.
    trust : dict of str to BackTest
        How far the estimates of the chunks were off where labels are known.
    calibration : list of dict
        Of the estimator, one for each class.
    """

    task: Task
    metric: str
    reference: Metrics
    estimator: str
    reason: str
    whole: Point
    chunks: Sequence[Point]
    trust: Mapping[str, BackTest]
    calibration: Sequence[Mapping[str, Any]] = field(default_factory=list)

    @property
    def is_error(self) -> bool:
        """Whether less of the metric is better."""
        return self.metric in ERROR_METRICS

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON, the chunks apart."""
        return {
            "task": self.task.value,
            "metric": self.metric,
            "reference": {name: one.to_json() for name, one in self.reference.items()},
            "estimator": self.estimator or None,
            "reason": self.reason,
            "trust": {name: one.to_json() for name, one in self.trust.items()},
            "calibration": list(self.calibration),
            **self.whole.to_json(),
        }


Estimator = Cbpe | Dle


def measure(
    reference: Outcomes, current: Outcomes, chunks: Sequence[Chunk]
) -> Performance:
    """Return the performance of the current rows, whole and chunk by chunk.

    Parameters
    ----------
    reference, current : Outcomes
        Of one model.
    chunks : sequence of Chunk
        Of the current rows.

    """
    estimator, reason = _estimator(reference, chunks)
    before = _realized(reference)
    if estimator is not None:
        before = {**before, **estimator.baseline}
    whole = _point(estimator, before, current)
    points = [
        _point(estimator, before, current.at(np.arange(chunk.first, chunk.stop)))
        for chunk in chunks
    ]
    calibrators = estimator.calibrators if isinstance(estimator, Cbpe) else ()
    return Performance(
        reference.task,
        _metric(reference.task, before, whole),
        before,
        "" if estimator is None else _NAMES[type(estimator)],
        reason,
        whole,
        points,
        _trust(points),
        [one.to_json() for one in calibrators],
    )


_NAMES: Mapping[type, str] = {Cbpe: "cbpe", Dle: "dle"}


def _metric(task: Task, before: Metrics, whole: Point) -> str:
    """Return the primary metric of the task, or another one that is known."""
    names = [*PRIMARY_METRICS[task], "accuracy"]
    known = {
        name for name in names if name in before and before[name].value is not None
    }
    return next((name for name in names if name in known), names[0])


def _estimator(
    reference: Outcomes, chunks: Sequence[Chunk]
) -> tuple[Estimator | None, str]:
    """Return the fitted estimator, or None and the reason."""
    size = int(np.median([len(chunk) for chunk in chunks]))
    try:
        if reference.task is not Task.REGRESSION:
            if reference.codes is None:
                raise NoDataError("REFERENCE has no labels")
            return _cbpe(reference, size), ""
        if reference.values is None:
            raise NoDataError("REFERENCE has no labels")
        return _dle(reference, size), ""
    except NotMeasurableError as error:
        return None, str(error)


def _cbpe(reference: Outcomes, size: int) -> Cbpe:
    codes = reference.codes if reference.codes is not None else np.zeros(0, np.int64)
    known = int(np.count_nonzero(codes >= 0))
    return Cbpe.fit(
        reference.task, reference.answers, codes, chunk_rows=_chunk_rows(size, known)
    )


def _dle(reference: Outcomes, size: int) -> Dle:
    values = reference.values if reference.values is not None else np.zeros(0)
    known = int(np.isfinite(values).sum())
    return Dle.fit(
        reference.columns,
        reference.kinds,
        reference.answers.scores,
        values,
        chunk_rows=_chunk_rows(size, known),
    )


def _chunk_rows(size: int, known: int) -> int | None:
    """Return how large the reference's chunks are, None if that leaves too few."""
    return size if 2 * size <= known else None


def _realized(side: Outcomes) -> Metrics:
    try:
        return drops.metrics(side)
    except NotMeasurableError:
        return {}


def _labelled(side: Outcomes) -> np.ndarray[Any, np.dtype[np.bool_]]:
    if side.task is Task.REGRESSION:
        values = np.zeros(0) if side.values is None else side.values
        return np.isfinite(values)
    return np.zeros(0, bool) if side.codes is None else side.codes >= 0


def _point(estimator: Estimator | None, before: Metrics, side: Outcomes) -> Point:
    known = _labelled(side)
    labelled = int(np.count_nonzero(known))
    realized = _realized(side)
    estimated = alike = None
    if estimator is not None:
        estimated = alike = _estimate(estimator, side)
        if 0 < labelled < len(side.answers):
            # A residual compares estimate and truth of the same rows.
            alike = _estimate(estimator, side.at(np.flatnonzero(known)))
    return Point(
        len(side.answers),
        labelled,
        realized,
        estimated,
        _residuals(estimator, realized, alike) if labelled else {},
        _drops(before, realized),
        _drops(before, {} if estimated is None else estimated.metrics),
    )


def _estimate(estimator: Estimator, side: Outcomes) -> Estimates:
    if isinstance(estimator, Cbpe):
        return estimator.estimate(side.answers)
    return estimator.estimate(side.columns, side.answers.scores)


def _residuals(
    estimator: Estimator | None, realized: Metrics, alike: Estimates | None
) -> dict[str, Residual]:
    found = {}
    for name, estimate in ({} if alike is None else alike.metrics).items():
        fit_error = estimator.fit_error(name) if isinstance(estimator, Cbpe) else None
        if name not in realized:
            continue
        residual = trust.residual(realized[name], estimate, fit_error)
        if residual is not None:
            found[name] = residual
    return found


def _drops(before: Metrics, after: Metrics) -> dict[str, Drop]:
    found = {}
    for name, metric in after.items():
        # A bias is no better the lower it is.
        if name in before and name != "bias":
            drop = performance.drop(name, before[name], metric)
            if drop is not None:
                found[name] = drop
    return found


def _trust(points: Sequence[Point]) -> dict[str, BackTest]:
    pairs: dict[str, list[tuple[Metric, Metric]]] = {}
    for point in points:
        if point.estimated is None:
            continue
        for name, estimate in point.estimated.metrics.items():
            if name in point.realized:
                pairs.setdefault(name, []).append((point.realized[name], estimate))
    tested = {name: trust.back_test(pair) for name, pair in pairs.items()}
    return {name: test for name, test in tested.items() if test is not None}
