"""Analyses, done as a worker does them."""

from typing import Any

from governance.models import ModelVersion
from monitoring.actions import analysis_job, analysis_runs, baselines
from monitoring.actions.periods import Window
from monitoring.models import AnalysisRun, DriftResult
from tests.monitoring import traffic


def request(version: ModelVersion, **fields: Any) -> AnalysisRun:
    """Ask for an analysis of a window, by default that of the live view."""
    version = ModelVersion.objects.select_related("model").get(pk=version.pk)
    window = fields.pop("window", None) or analysis_runs.window_of(version)
    return analysis_runs.request(version, **{"window": window, "actor": None, **fields})


def run(version: ModelVersion, window: Window | None = None) -> AnalysisRun:
    """Ask for an analysis and do it."""
    asked = request(version, window=window)
    assert analysis_job.work()
    return AnalysisRun.objects.get(pk=asked.pk)


def result(version: ModelVersion, window: Window | None = None) -> DriftResult:
    """Ask for an analysis, do it and return what it found."""
    done = run(version, window)
    assert done.status == AnalysisRun.Status.SUCCEEDED, done.error
    return DriftResult.objects.get(run=done)


def give_numbers(version: ModelVersion, count: int = 200) -> None:
    """Give a version of one feature `x` a baseline, and log as many rows."""
    numbers = [float(place % 50) for place in range(count)]
    baselines.create(version, features={"x": numbers}, label="v1", actor=None)
    traffic.log(version, [{"features": {"x": number}} for number in numbers])
    traffic.count_all()
