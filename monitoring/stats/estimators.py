"""What a baseline lets estimate without labels, or why it lets nothing."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal, Self

import numpy as np
import pyarrow as pa

from governance.schema import Task
from monitoring.stats import counted, rows, summed
from monitoring.stats.answers import Answers
from monitoring.stats.columns import Kind
from monitoring.stats.drops import Outcomes
from monitoring.stats.estimation import Cbpe, Estimates
from monitoring.stats.gauges import answers_of
from monitoring.stats.losses import Dle
from monitoring.stats.measure import NotMeasurableError
from monitoring.stats.outcomes import OutcomeLayout
from monitoring.stats.performance import Drop, Metrics
from monitoring.stats.summed import ClassSums, LossSums, Sums
from monitoring.stats.tally import Tally

Method = Literal["cbpe", "dle"]

NO_LABELS = (
    "The baseline has no labelled predictions; send them with it, as "
    "`labeledPredictions`."
)
NO_SCORES = "The baseline's predictions are labels without probabilities."


@dataclass(frozen=True, eq=False)
class Estimator:
    """The estimates of one baseline.

    Attributes
    ----------
    layout : OutcomeLayout
        Of the baseline.
    method : {"cbpe", "dle"}
        How performance is estimated.
    of_counts : Cbpe or None
        Where counts are enough.
    of_rows : ClassSums, LossSums or None
        Where the rows are needed.
    """

    layout: OutcomeLayout
    method: Method
    of_counts: Cbpe | None
    of_rows: ClassSums | LossSums | None
    is_ordered: bool
    kinds: Mapping[str, Kind]

    @classmethod
    def fit(
        cls,
        layout: OutcomeLayout,
        outcomes: Outcomes | None,
        kinds: Mapping[str, Kind],
        *,
        is_ordered: bool,
    ) -> Self:
        """Return the estimator of a baseline's labelled predictions.

        Raises
        ------
        NotMeasurableError
            Nothing can be estimated; the message is a sentence that tells why.
        """
        if outcomes is None:
            raise NotMeasurableError(NO_LABELS)
        method: Method = "cbpe"
        of_counts: Cbpe | None = None
        of_rows: ClassSums | LossSums | None = None
        try:
            if outcomes.task is Task.REGRESSION:
                method, of_rows = "dle", LossSums.fit(outcomes)
            elif summed.needs_rows(outcomes):
                of_rows = ClassSums.fit(outcomes)
            else:
                of_counts = _counted(outcomes)
        except NotMeasurableError as error:
            raise NotMeasurableError(_sentence(str(error))) from error
        return cls(layout, method, of_counts, of_rows, is_ordered, dict(kinds))

    @property
    def needs_rows(self) -> bool:
        """Whether estimates are made of sums over rows."""
        return self.of_rows is not None

    @property
    def features(self) -> tuple[str, ...]:
        """The inputs that an estimate looks at."""
        return tuple(self.kinds) if self.method == "dle" else ()

    @property
    def _fitted(self) -> Cbpe | Dle:
        if self.of_counts is not None:
            return self.of_counts
        assert self.of_rows is not None  # noqa: S101 - one of the two is there
        return self.of_rows.estimator

    @property
    def baseline(self) -> Metrics:
        """The metrics realized on the baseline's labelled rows."""
        return self._fitted.baseline

    def counted(self, tally: Tally) -> Estimates:
        """Return the metrics that the rows of a tally should have."""
        assert self.of_counts is not None  # noqa: S101 - see `needs_rows`
        return counted.estimate(self.of_counts, self.layout, tally)

    def sums_by_hour(self, table: pa.Table) -> dict[datetime, Sums]:
        """Return what logged rows contribute to an estimate that needs rows."""
        hours = list(rows.by_hour(table))
        if isinstance(self.of_rows, ClassSums):
            return {hour: self.of_rows.of(self._answers(part)) for hour, part in hours}
        assert self.of_rows is not None  # noqa: S101 - see `needs_rows`
        if not hours:
            return {}
        whole = pa.concat_tables([part for _, part in hours])
        found = self.of_rows.of_parts(
            rows.whole_columns(whole, self.kinds),
            self._answers(whole).scores,
            [part.num_rows for _, part in hours],
        )
        return dict(zip((hour for hour, _ in hours), found, strict=True))

    def _answers(self, table: pa.Table) -> Answers:
        return answers_of(self.layout, table, is_ordered=self.is_ordered)

    def summed(self, sums: Sums | None) -> Estimates:
        """Return the metrics that the rows of some sums should have.

        None: no row has been read yet; then there are none that the answer is about.
        """
        assert self.of_rows is not None  # noqa: S101 - see `needs_rows`
        if sums is None:
            return self._fitted.nothing(0, "its rows haven't been read yet")
        return self.of_rows.estimates(sums)

    def drop(self, estimates: Estimates, name: str) -> Drop | None:
        """Return how much worse than on the baseline a metric is expected to be."""
        if name not in self.baseline or name not in estimates.metrics:
            return None
        return self._fitted.drop(estimates, name)

    def fit_error(self, name: str) -> float | None:
        """Return the standard error that the baseline's own size gives an estimate."""
        return self._fitted.fit_error(name)

    def to_json(self) -> dict[str, Any]:
        """Return what a reader needs to judge the estimates, as plain JSON."""
        fitted = self._fitted
        calibrations = []
        if isinstance(fitted, Cbpe):
            calibrations = [one.to_json() for one in fitted.calibrators]
        return {
            "method": self.method,
            "rows": fitted.rows,
            "baseline": {name: one.to_json() for name, one in self.baseline.items()},
            "calibration": calibrations,
        }


def _counted(outcomes: Outcomes) -> Cbpe:
    """Return the estimator of scores; hard labels are none, though they are numbers."""
    scores = outcomes.answers.scores
    known = scores[np.isfinite(scores)]
    if outcomes.task is Task.BINARY and np.isin(known, (0.0, 1.0)).all():
        raise NotMeasurableError(NO_SCORES)
    if outcomes.codes is None:
        raise NotMeasurableError(NO_LABELS)
    return Cbpe.fit(outcomes.task, outcomes.answers, outcomes.codes)


def _sentence(text: str) -> str:
    return f"{text[:1].upper()}{text[1:].rstrip('.')}."
