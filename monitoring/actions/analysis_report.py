"""What an analysis found, as plain JSON with nothing in it that isn't finite."""

from __future__ import annotations

import math
import platform
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import numpy as np
from django.conf import settings as site

from monitoring.actions.windows import Rows
from monitoring.detectors import DETECTORS
from monitoring.laboratory import Finding, Settings
from monitoring.models import AnalysisRun, Baseline
from monitoring.stats.report import DriftReport, Status, plain, worst

Json = dict[str, Any]

_LIBRARIES = ("numpy", "scipy", "scikit-learn", "pyarrow", "pandas")
NOT_APPLICABLE = "no column is of a kind that it applies to"


@dataclass(frozen=True, slots=True)
class Found:
    """Everything that an analysis found."""

    drift: DriftReport
    others: Mapping[str, Finding]  # all but the univariate algorithms

    def status(self) -> Status:
        """Return the worst of the measured voting algorithms."""
        voted = (one.result.status for one in self.others.values() if one.result.votes)
        return worst((self.drift.status, *voted)) or Status.INSUFFICIENT_DATA

    def algorithms(self, settings: Settings) -> Json:
        """Return what each algorithm says, in the order of the registry."""
        found = {}
        for name, detector in DETECTORS.items():
            if name in self.others:
                found[name] = {**self.others[name].to_json(), "features": {}}
            elif detector.family == "univariate" and settings.runs(name):
                found[name] = _univariate(name, self.drift, settings)
        return found


def _univariate(name: str, report: DriftReport, settings: Settings) -> Json:
    parameters = plain(settings.parameters_of(name))
    about = {"family": "univariate", "parameters": parameters}
    results = {
        column: report.columns[column].algorithms[name]
        for column in report.columns
        if column not in report.apart and name in report.columns[column].algorithms
    }
    scores = {column: plain(result.score) for column, result in results.items()}
    failed = {
        column: result.reason
        for column, result in results.items()
        if result.status is Status.FAILED
    }
    if name not in report.algorithms:
        warning, alert = settings.limits(name) or (None, None)
        return {
            **about,
            "status": Status.NO_DATA.value,
            "drift": False,
            "score": None,
            "p_value": None,
            "warning": warning,
            "alert": alert,
            "votes": settings.votes(name),
            "column": None,
            "features": scores,
            "reason": NOT_APPLICABLE,
        }
    summary = report.algorithms[name]
    said = {field: plain(getattr(summary, field)) for field in summary.__slots__}
    if failed and len(failed) == len(results):
        said["status"] = Status.FAILED.value
    reasons = failed or {
        column: result.reason for column, result in results.items() if result.reason
    }
    told = "; ".join(f"{column}: {reason}" for column, reason in reasons.items())
    return {**about, **said, "features": scores, "reason": told[:2_000]}


def without_invalid(report: DriftReport, invalid: Mapping[str, int]) -> DriftReport:
    """Return the report with refused values told apart from missing ones.

    In the rows of an analysis both are missing, so that columns keep their length.
    """
    columns = dict(report.columns)
    for name, count in invalid.items():
        column = columns[name]
        columns[name] = replace(
            column, missing=column.missing - count, invalid=column.invalid + count
        )
    return replace(report, columns=columns)


def provenance(
    run: AnalysisRun, baseline: Baseline, rows: Rows, settings: Settings
) -> Json:
    """Return all that is needed to compute the result again from the stored rows."""
    return {
        "baseline": {
            "id": baseline.public_id,
            "digest": baseline.digest,
            "grid": baseline.grid.digest,
            "kind": run.baseline_kind,
            "rows": baseline.sample_size,
        },
        "window": {
            "start": run.window_start.isoformat(),
            "end": run.window_end.isoformat(),
            "rows": rows.total,
            "analysed": len(rows),
        },
        "rows_digest": rows.digest,
        "labels_digest": rows.labels_digest,
        "configuration": run.configuration,
        "settings": {
            "voting": sorted(n for n in DETECTORS if settings.votes(n)),
            "thresholds": {n: finite(settings.limits(n)) for n in DETECTORS},
            "parameters": {n: finite(settings.parameters_of(n)) for n in DETECTORS},
            "alpha": settings.alpha,
            "min_rows": settings.min_rows,
            "importances": finite(settings.importances),
        },
        "versions": _versions(),
        "attempts": run.attempts,
    }


@cache
def _versions() -> Mapping[str, str]:
    found = {"driftguard": site.VERSION, "python": platform.python_version()}
    for name in _LIBRARIES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            found[name] = "unknown"
    return found


def finite(value: Any) -> Any:
    """Return a value as JSON that every reader takes: None for what isn't finite.

    Examples
    --------
    >>> finite({"a": [np.float64("nan"), np.int64(3), (1.5, "x")]})
    {'a': [None, 3, [1.5, 'x']]}
    """
    if isinstance(value, Mapping):
        return {str(key): finite(one) for key, one in value.items()}
    if isinstance(value, np.ndarray):
        value = value.tolist()
    if isinstance(value, str | bool) or value is None:
        # PostgreSQL has no place for a NUL in a text.
        return value.replace("\0", "\ufffd") if isinstance(value, str) else value
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Iterable):
        return [finite(one) for one in value]
    return value if isinstance(value, int) else str(value)
