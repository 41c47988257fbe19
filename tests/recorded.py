"""What is recorded of a measured model over time, for the charts of its page."""

from datetime import timedelta

from governance.models import ModelVersion
from monitoring.models import DayView, LiveResult, PerformanceResult
from tests.measured import NOW

MIDNIGHT = NOW.replace(hour=0)


def record_days(version: ModelVersion, *days: dict[str, float]) -> None:
    """Record views of consecutive days, each with the PSI of its features."""
    for number, psi in enumerate(days):
        at = NOW + timedelta(days=number)
        DayView.objects.create(
            organization_id=version.organization_id,
            version=version,
            baseline=LiveResult.objects.get(version=version).baseline,
            day=at.date(),
            window_start=at - timedelta(days=7),
            window_end=at,
            rows=400,
            revision=1,
            readings={
                name: {"psi": [value, True, 0.01, False], "ks_test": [9.0]}
                for name, value in psi.items()
            },
        )


def record_performance(
    version: ModelVersion,
    *,
    labels: int,
    realized: float | None,
    estimated: float | None,
    day: int = 0,
) -> None:
    """Record a day of 1,000 predictions, of which so many are labelled."""

    def metrics(value: float | None) -> dict[str, object]:
        if value is None:
            return {"metrics": {"accuracy": {"value": None, "reason": "no labels"}}}
        ends = {"low": value - 0.01, "high": value + 0.01}
        return {"metrics": {"accuracy": {"value": value, "n": labels, **ends}}}

    start = MIDNIGHT + timedelta(days=day)
    PerformanceResult.objects.create(
        organization_id=version.organization_id,
        version=version,
        baseline=LiveResult.objects.get(version=version).baseline,
        period="day",
        start=start,
        rows=1000,
        labels=labels,
        last_end=start + timedelta(days=1),
        revision=1,
        realized=metrics(realized),
        estimated=metrics(estimated),
    )
