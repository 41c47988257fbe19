"""What the live result of a model says, as the interfaces tell it."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from governance.exceptions import NotFoundError
from governance.models import ModelVersion, RegisteredModel
from monitoring.actions import standards
from monitoring.models import Baseline, LiveResult

Json = dict[str, Any]
# The column of the model's own output; the name is `monitoring.stats.gauges.SCORE`,
# which would bring numpy along.
SCORE = "__score__"
NO_BASELINE = (
    "The version has no baseline yet. Send one to POST /api/v1/drift/baselines; "
    "without one its first 1,000 predictions become a provisional baseline."
)
NOT_YET = "Nothing has been measured against the baseline yet; ask again in a moment."
_HEAVY = ("features", "labeled", "grid_data", "outcome_data", "performance")


def shown_version(model: RegisteredModel, name: str | None) -> ModelVersion:
    """Return the version of this name, or the one whose state the model shows."""
    versions = ModelVersion.objects.filter(model=model).select_related("model")
    if name is not None:
        found = versions.filter(version=name).first()
    else:
        found = model.current_version or versions.first()
    if found is None:
        raise NotFoundError
    return found


def result_of(version: ModelVersion) -> LiveResult | None:
    """Return what was measured last, None if nothing was."""
    return (
        LiveResult.objects.filter(version=version)
        .select_related("baseline")
        .defer(*(f"baseline__{name}" for name in _HEAVY))
        .first()
    )


def model_id(reference: str) -> int | str:
    """Return a model's id in the form that the caller used."""
    return int(reference) if reference.isascii() and reference.isdigit() else reference


def moment(at: datetime | None) -> str | None:
    """Return a time stamp in UTC, with Z."""
    if at is None:
        return None
    return at.astimezone(UTC).isoformat().replace("+00:00", "Z")


def drift_of(reference: str, version: ModelVersion, result: LiveResult | None) -> Json:
    """Return the Platform's account of a version's drift."""
    report: Mapping[str, Any] = result.drift if result is not None else {}
    columns = {column["name"]: _column(column) for column in report.get("columns", ())}
    score = columns.pop(SCORE, None)
    status = LiveResult.Status.NO_BASELINE.value
    if result is not None:
        status = result.status
    answer: Json = {
        "model_id": model_id(reference),
        "version": version.version,
        "drift_detected": status == LiveResult.Status.ALERT,
        "status": status,
        "psi": report.get("max_psi"),
        "ks": report.get("max_ks"),
        "drift_metrics": list(columns.values()),
        "score": score,
        **_standard(result),
        **_window(result),
        "computed_at": moment(result.computed_at) if result is not None else None,
    }
    if "recent" in report:
        answer["last_24_hours"] = _recent(report["recent"])
    if status == LiveResult.Status.NO_BASELINE:
        answer |= _unmeasured(version)
    return answer


def _unmeasured(version: ModelVersion) -> Json:
    """Tell whether a baseline is missing, or only its first measurement."""
    standard = standards.wanted(version)
    if standard is None:
        return {"detail": NO_BASELINE}
    return {
        "status": LiveResult.Status.INSUFFICIENT_DATA.value,
        "baseline_id": standard.baseline.public_id,
        "baseline_kind": standard.kind,
        "detail": NOT_YET,
    }


def _column(column: Mapping[str, Any]) -> Json:
    results = column["algorithms"]
    ks = results.get("ks_test") or {}
    return {
        "feature": column["name"],
        "kind": column["kind"],
        "status": column["status"],
        "drift_detected": column["status"] == "alert",
        "psi": (results.get("psi") or {}).get("score"),
        "ks": ks.get("score"),
        "ks_p_value": ks.get("p_value"),
        "importance": column["importance"],
        "n": column["n"],
        "n_baseline": column["n_baseline"],
        "missing": column["missing"],
        "invalid": column["invalid"],
        "direction": column["direction"],
        "algorithms": results,
    }


def _standard(result: LiveResult | None) -> Json:
    baseline: Baseline | None = result.baseline if result is not None else None
    return {
        "baseline_id": baseline.public_id if baseline is not None else None,
        "baseline_kind": (result.baseline_kind or None) if result is not None else None,
    }


def _window(result: LiveResult | None) -> Json:
    if result is None:
        return {"window": {"start": None, "end": None, "predictions": 0, "later": None}}
    later = result.drift.get("later")
    return {
        "window": {
            "start": moment(result.window_start),
            "end": moment(result.window_end),
            "predictions": result.predictions,
            # A newer period with too few rows to be judged is told, not shown.
            "later": later
            and {**later, "start": moment(datetime.fromisoformat(later["start"]))},
        }
    }


def _recent(report: Mapping[str, Any]) -> Json:
    return {
        "start": moment(datetime.fromisoformat(report["start"])),
        "end": moment(datetime.fromisoformat(report["end"])),
        "predictions": report["predictions"],
        "status": report["status"],
        "psi": report["max_psi"],
        "ks": report["max_ks"],
    }


def performance_of(
    reference: str, version: ModelVersion, result: LiveResult | None
) -> Json:
    """Return realized performance by period, the newest first."""
    measured: Mapping[str, Any] = result.performance if result is not None else {}
    return {
        "model_id": model_id(reference),
        "version": version.version,
        "task": measured.get("task"),
        "primary_metric": measured.get("primary_metric"),
        "baseline": measured.get("baseline"),
        "periods": list(measured.get("periods", ())),
        "detail": measured.get("reason") or None,
        **_standard(result),
        "computed_at": moment(result.computed_at) if result is not None else None,
    }


def fairness_of(
    reference: str, version: ModelVersion, result: LiveResult | None
) -> Json:
    """Return the fairness of the live window by protected attribute."""
    measured: Mapping[str, Any] = result.fairness if result is not None else {}
    return {
        "model_id": model_id(reference),
        "version": version.version,
        "fairness_score": measured.get("score"),
        "favourable_outcome": measured.get("favourable_outcome"),
        "attributes": list(measured.get("attributes", ())),
        "detail": measured.get("reason") or None,
        **_window(result),
        "computed_at": moment(result.computed_at) if result is not None else None,
    }
