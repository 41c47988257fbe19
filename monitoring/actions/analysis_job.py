"""The analysis job: the whole registry over the rows of a window."""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from django.db import InterfaceError, OperationalError

from governance.models import ModelVersion
from monitoring import laboratory
from monitoring.actions import (
    alarms,
    analysis_queue,
    analysis_report,
    configuration,
    profiles,
    standards,
    streams,
    windows,
)
from monitoring.actions.analysis_queue import Claim, LostError
from monitoring.actions.analysis_report import Found
from monitoring.actions.periods import Window
from monitoring.actions.windows import Rows
from monitoring.detectors import Family
from monitoring.laboratory import Finding, Settings, Side
from monitoring.models import (
    AnalysisRun,
    Baseline,
    DriftResult,
    Receipt,
    SegmentedReceipt,
    StreamState,
)
from monitoring.stats import labelled, root_cause
from monitoring.stats.answers import numbers
from monitoring.stats.columns import Values
from monitoring.stats.drops import Outcomes
from monitoring.stats.gauges import SCORE, Gauge
from monitoring.stats.report import AlgorithmResult, DriftReport, Status
from monitoring.stats.rows import decode, one_array
from monitoring.stats.samples import values_of

logger = logging.getLogger(__name__)

# An analysis that takes longer is given up between two steps.
MOST_SECONDS = 25 * 60
# So long it waits for predictions that were logged before it was requested.
COUNTED_WITHIN_SECONDS = 120
# Shares of the progress at which the parts begin.
READING, MEASURING, FEEDING, EXPLAINING = 0.02, 0.2, 0.7, 0.95
INTERNAL = "An internal error: the server's log says more."


class _OverdueError(Exception):
    """The analysis takes too long."""


def work() -> bool:
    """Claim a run and do it; false if there is none.

    1. Wait until the predictions that were logged before the request are in segments.
    2. Read the window's rows once.
    3. Run the univariate, multivariate and performance algorithms, then the streams.
    4. Explain the drift.
    5. Store the result and the streams' memories, and take the alarms; the run has
       succeeded.

    A run that was cancelled or taken over leaves nothing. Whatever else goes wrong, the
    run fails with a reason; only if the database is away it stays, for the next worker.
    """
    claim = analysis_queue.claim()
    if claim is None:
        return False
    with claim.held():
        try:
            _do(claim)
        except LostError:
            logger.info("%s was cancelled or taken over.", claim.run.public_id)
        except (OperationalError, InterfaceError):
            raise
        except Exception as error:
            logger.exception("%s failed.", claim.run.public_id)
            _fail(claim, error)
    return True


def _fail(claim: Claim, error: Exception) -> None:
    reason = INTERNAL
    if isinstance(error, _OverdueError):
        reason = f"It took longer than {MOST_SECONDS // 60} minutes."
    elif isinstance(error, MemoryError):
        reason = "The window takes too much memory; choose a shorter one."
    try:
        analysis_queue.fail(claim, reason=reason, actor=None)
    except LostError:
        logger.info("%s was cancelled or taken over.", claim.run.public_id)


def _do(claim: Claim) -> None:
    analysis = _Analysis(claim)
    found = analysis.analysed()

    def keep(result: DriftResult) -> None:
        streams.store(analysis.states)
        alarms.take_analysis(result, actor=None)

    analysis_queue.finish(claim, found=found, and_then=keep, actor=None)


@dataclass(eq=False)
class _Analysis:
    """One analysis at work."""

    claim: Claim
    states: list[StreamState] = field(default_factory=list)
    began: float = field(default_factory=time.monotonic)

    @cached_property
    def run(self) -> AnalysisRun:
        return AnalysisRun.objects.select_related("version__model").get(
            pk=self.claim.run.pk
        )

    @cached_property
    def version(self) -> ModelVersion:
        return self.run.version

    @cached_property
    def window(self) -> Window:
        return Window(self.run.window_start, self.run.window_end)

    @cached_property
    def baseline(self) -> Baseline:
        return Baseline.objects.get(pk=self.run.baseline_id)

    @cached_property
    def gauge(self) -> Gauge:
        return standards.gauge(self.run.baseline_id)

    @cached_property
    def settings(self) -> Settings:
        schema = self.version.schema
        return configuration.settings(
            self.run.configuration,
            importances=schema.importances if schema.features else None,
            apart=(SCORE,),
        )

    def tell(self, step: str, progress: float) -> None:
        """Say what comes next; raises LostError, or _OverdueError."""
        if time.monotonic() - self.began > MOST_SECONDS:
            raise _OverdueError
        self.claim.tell(step, progress)

    def analysed(self) -> dict[str, Any]:
        """Return the fields of the result."""
        self.tell("counting", 0.0)
        self._wait_for_rows()
        self.tell("reading", READING)
        rows = windows.read(self.version, self.gauge, self.window)
        before, now = self._before(), self._now(rows)
        self.tell("measuring", MEASURING)
        findings = laboratory.run(
            before, now, self.gauge.grid, self.settings, on_step=self._measuring
        )
        drift = analysis_report.without_invalid(findings.drift, rows.invalid)
        others = {
            **findings.algorithms,
            **self._unanswered(findings.algorithms),
            **self._streamed(rows, before, now),
        }
        self.tell("explaining", EXPLAINING)
        kinds = self.gauge.kinds
        cause = root_cause.explain(drift, before.columns, now.columns, kinds)
        return self._fields(rows, Found(drift, others), cause)

    def _measuring(self, step: str, share: float) -> None:
        self.tell(step, MEASURING + (FEEDING - MEASURING) * share)

    def _wait_for_rows(self) -> None:
        """Help counting until the predictions logged before the request are in."""
        pending = Receipt.objects.pending().filter(
            version=self.version,
            kind=Receipt.Kind.PREDICTIONS,
            received_at__lte=self.run.requested_at,
        )
        done = SegmentedReceipt.objects.filter(receipt__version=self.version)
        while pending.exclude(pk__in=done.values("pk")).exists():
            if time.monotonic() - self.began > COUNTED_WITHIN_SECONDS:
                return
            if not profiles.profile_pending():
                # Another worker has claimed them.
                time.sleep(0.2)
            self.tell("counting", 0.0)

    def _before(self) -> Side:
        """Return the baseline's rows."""
        table = decode(bytes(self.baseline.features))
        columns: dict[str, Values] = {
            name: values_of(one_array(table[name]), kind)
            for name, kind in self.gauge.kinds.items()
            if name in table.column_names
        }
        layout = self.gauge.layout
        if layout is None:
            return Side(columns)
        labeled = self.baseline.labeled
        kept = None if labeled is None else bytes(labeled)
        is_ordered = self.gauge.is_ordered
        answers = labelled.answers(layout, kept, is_ordered=is_ordered)
        if answers is not None and SCORE in self.gauge.grid.columns:
            columns[SCORE] = self.gauge.watched(answers)
        outcomes = labelled.outcomes(
            layout,
            kept,
            bytes(self.baseline.features),
            self.gauge.kinds,
            is_ordered=is_ordered,
        )
        if outcomes is None and answers is not None:
            outcomes = Outcomes(layout.task, answers)
        return Side(columns, outcomes)

    def _now(self, rows: Rows) -> Side:
        """Return the window's rows."""
        layout = self.gauge.layout
        if layout is None or rows.answers is None:
            return Side(rows.columns)
        codes = values = None
        if rows.labels is not None and not self._is_regression:
            codes = layout.label_codes(rows.labels)
        elif rows.labels is not None:
            values = numbers(rows.labels)
        inputs = {name: rows.columns[name] for name in self.gauge.kinds}
        outcomes = Outcomes(
            layout.task,
            rows.answers,
            codes=codes,
            values=values,
            columns=inputs,
            kinds=self.gauge.kinds,
        )
        return Side(rows.columns, outcomes)

    @property
    def _is_regression(self) -> bool:
        layout = self.gauge.layout
        return layout is not None and layout.task.value == "regression"

    def _unanswered(self, found: Mapping[str, Finding]) -> dict[str, Finding]:
        """Return why performance algorithms have nothing to compare with."""
        layout = self.gauge.layout
        reason = "the task of the model isn't known"
        if layout is not None:
            reason = "the baseline has no labelled predictions"
        return {
            one.name: _nothing(one.name, "performance", reason, self.settings)
            for one in self.settings.wanted("performance")
            if one.name not in found
            and (layout is None or layout.task.value in one.kinds)
        }

    def _streamed(self, rows: Rows, before: Side, now: Side) -> Mapping[str, Finding]:
        def tell(name: str) -> None:
            self.tell(name, FEEDING)

        feeding = streams.Feeding(
            self.version,
            self.window,
            rows,
            self.settings,
            self.run.configuration["policy"]["label_maturity"],
            tell,
        )
        fed = feeding.feed(now.outcomes, before.outcomes)
        self.states = list(fed.states)
        return fed.findings

    def _fields(
        self, rows: Rows, found: Found, cause: Mapping[str, Any]
    ) -> dict[str, Any]:
        status, reason = found.status(), ""
        least = self.run.configuration["alerts"]["minBaselineSampleSize"]
        if self.baseline.sample_size < least:
            status = Status.INSUFFICIENT_DATA
            reason = f"The baseline has {self.baseline.sample_size} rows, not {least}."
        finite = analysis_report.finite
        return {
            "status": status.value,
            "predictions": rows.total,
            "labels": rows.labelled,
            "algorithms": finite(found.algorithms(self.settings)),
            "drift": finite({**_shown(found.drift), "reason": reason}),
            "root_cause": finite(cause),
            "provenance": finite(
                analysis_report.provenance(self.run, self.baseline, rows, self.settings)
            ),
        }


def _shown(report: DriftReport) -> dict[str, Any]:
    """Return the report but for its summaries, which stand among the algorithms."""
    shown = report.to_json()
    del shown["algorithms"]
    return shown


def _nothing(name: str, family: Family, reason: str, settings: Settings) -> Finding:
    votes = settings.votes(name)
    result = AlgorithmResult(Status.NO_DATA, None, votes=votes, reason=reason)
    return Finding(name, family, result, None, settings.parameters_of(name))
