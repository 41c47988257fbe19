"""By what an analysis judges: the policy's limits and the model's alert settings."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import TYPE_CHECKING, Any

from governance.models import ModelVersion
from monitoring.actions import alerts

if TYPE_CHECKING:
    # A web process asks for an analysis; only workers load the algorithms.
    from monitoring.laboratory import Settings

Json = Mapping[str, Any]
Limits = tuple[float, float]


def of(
    version: ModelVersion, algorithms: Collection[str] | None = None
) -> dict[str, Any]:
    """Return what holds for the version now, as plain JSON: kept with the run.

    `algorithms` names those that are to run, all if None. Addresses of people are left
    out: a result may be read by more people than they.
    """
    policy = alerts.policy_of(version.model)
    settings = alerts.in_force(version, policy).to_json()
    wanted = (
        "algorithms",
        "accuracyDropWarning",
        "accuracyDropAlert",
        "performanceDropRelative",
        "minBaselineSampleSize",
    )
    return {
        "algorithms": None if algorithms is None else sorted(algorithms),
        "policy": {
            "thresholds": {
                name: [limit.mild, limit.serious]
                for name, limit in policy.algorithms.items()
            },
            "min_rows": policy.minimum_sample,
            "label_maturity": policy.label_maturity,
        },
        "alerts": {name: settings[name] for name in wanted},
    }


def settings(
    kept: Json, *, importances: Mapping[str, float] | None, apart: Collection[str]
) -> Settings:
    """Return how the laboratory works under what `of` kept.

    The whole registry runs, unless the request named some; the enabled algorithms make
    the status. A threshold is the model's own one, else the policy's, else the
    registry's.
    """
    from monitoring.laboratory import Settings

    algorithms = kept["alerts"]["algorithms"]
    overrides: Json = algorithms["overrides"]
    return Settings(
        enabled=kept["algorithms"],
        voting=tuple(algorithms["enabled"]),
        thresholds=_thresholds(kept, overrides),
        parameters={
            name: one["params"] for name, one in overrides.items() if one.get("params")
        },
        min_rows=kept["policy"]["min_rows"],
        importances=importances,
        apart=apart,
    )


def _thresholds(kept: Json, overrides: Json) -> dict[str, Limits]:
    from monitoring.detectors import DETECTORS

    found = {
        name: (float(warning), float(alert))
        for name, (warning, alert) in kept["policy"]["thresholds"].items()
    }
    given = kept["alerts"]
    drop = (given["accuracyDropWarning"], given["accuracyDropAlert"])
    relative = given["performanceDropRelative"]
    found |= dict.fromkeys(("realized", "cbpe"), drop)
    # As the default of 0.15 has an alert at 0.30.
    found |= dict.fromkeys(("realized_error", "dle"), (relative, 2 * relative))
    for name, one in overrides.items():
        known = found.get(name) or (
            DETECTORS[name].thresholds if name in DETECTORS else None
        )
        warning = one.get("warningThreshold", known and known[0])
        alert = one.get("alertThreshold", known and known[1])
        if warning is not None and alert is not None:
            found[name] = (float(warning), float(alert))
    return found
