"""The tables of a model's page that are drawn as they are, for whoever takes them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django.utils.translation import gettext as _

from driftguard.portal.charts import Chart, Row
from governance.decision import Thresholds
from governance.models import ModelVersion
from monitoring.admin.model_outcomes import CHECKS
from monitoring.admin.model_page import bins, shown_name
from monitoring.models import LiveResult

Json = Mapping[str, Any]


def report(version: ModelVersion, name: str) -> Json:
    """Return one of the version's newest live reports; empty if there is none."""
    rows = LiveResult.objects.for_organization(version.organization_id)
    found: Json | None = (
        rows.filter(version=version).values_list(name, flat=True).first()
    )
    return found or {}


def features_table(version: ModelVersion, _policy: Thresholds) -> Chart:
    """Show the two distributions of each feature, bin by bin."""
    drift = report(version, "drift")
    rows = [
        Row((shown_name(drift, column["name"]), label, before, now, now - before))
        for column in drift.get("columns") or ()
        for label, before, now in zip(*bins(column.get("bins")), strict=True)
    ]
    return Chart(
        name="features",
        kind="table",
        words=_("Shares of each feature's bins in the baseline and in the window"),
        columns=(
            _("Feature"),
            _("Bin"),
            _("Baseline, share"),
            _("Window, share"),
            _("Change"),
        ),
        rows=tuple(rows),
    )


def quality_table(version: ModelVersion, _policy: Thresholds) -> Chart:
    """Show what is wrong with the values of each feature, now and in the baseline."""
    drift, quality = report(version, "drift"), report(version, "quality")
    rows = [
        Row(
            (
                shown_name(drift, column["name"]),
                *_shares(column["checks"]),
                ", ".join(column["new_categories"]),
                ", ".join(column["vanished_categories"]),
            )
        )
        for column in quality.get("columns") or ()
    ]
    named = (_("Missing"), _("Invalid"), _("Out of range"), _("New categories"))
    before = _("%(check)s, baseline")
    return Chart(
        name="quality",
        kind="table",
        words=_("Shares of values that something is wrong with"),
        columns=(
            _("Feature"),
            *(words for one in named for words in (one, before % {"check": one})),
            _("Which are new"),
            _("Vanished"),
        ),
        rows=tuple(rows),
    )


def _shares(checks: Json) -> list[float | None]:
    return [
        (checks.get(name) or {}).get(share)
        for name in CHECKS
        for share in ("share", "baseline_share")
    ]
