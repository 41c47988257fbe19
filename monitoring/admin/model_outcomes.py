"""The tables of a model's page about data quality, performance and fairness."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from governance.admin.display import EMPTY, Badge, decimals, figure, measured, share

Json = Mapping[str, Any]
# In the order in which they are shown.
METRICS = {
    "roc_auc": "ROC-AUC",
    "accuracy": "Accuracy",
    "balanced_accuracy": "Balanced accuracy",
    "precision": "Precision",
    "recall": "Recall",
    "specificity": "Specificity",
    "f1": "F1",
    "log_loss": "Log-loss",
    "brier": "Brier score",
    "mae": "MAE",
    "rmse": "RMSE",
    "mape": "MAPE",
    "r2": "R²",
}
CHECKS = ("missing", "invalid", "out_of_range", "new_category")
NOTHING = share(0.0)


@dataclass(frozen=True, slots=True)
class Period:
    """One column of the performance table."""

    name: str
    labelled: str
    badge: Badge


@dataclass(frozen=True, slots=True)
class MetricRow:
    name: str
    is_primary: bool
    # The baseline's value first, then one per period: value, interval or reason.
    cells: tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class Performance:
    periods: tuple[Period, ...]
    rows: tuple[MetricRow, ...]
    reason: str


@dataclass(frozen=True, slots=True)
class QualityRow:
    """The checks of one column: share now, and in the baseline."""

    name: str
    cells: tuple[tuple[str, str, bool], ...]
    new: str
    vanished: str
    has_finding: bool


@dataclass(frozen=True, slots=True)
class Quality:
    """The columns of which there is anything to say, and how many others there are."""

    rows: tuple[QualityRow, ...]
    others: int


def performance(report: Json) -> Performance:
    """Return the metrics of the baseline and of the periods, the newest first."""
    periods = list(report.get("periods") or ())
    primary = report.get("primary_metric")
    reference: Json = (report.get("baseline") or {}).get("metrics") or {}
    columns: list[Json] = [reference, *(period["metrics"] for period in periods)]
    names = {name for column in columns for name in column}
    places = {name: place for place, name in enumerate(METRICS)}
    ordered = sorted(
        names, key=lambda name: (name != primary, places.get(name, 99), name)
    )
    rows = [
        MetricRow(
            name=METRICS.get(name, name.replace("_", " ").capitalize()),
            is_primary=name == primary,
            cells=tuple(metric_cell(column.get(name)) for column in columns),
        )
        for name in ordered
    ]
    if any(period["drop"] for period in periods):
        # Right below the metric that it is the drop of.
        rows.insert(1, _drops(periods))
    return Performance(
        periods=tuple(_period(period) for period in periods),
        rows=tuple(rows),
        reason=report.get("reason") or "",
    )


def metric_cell(metric: Json | None) -> tuple[str, str]:
    if metric is None or metric.get("value") is None:
        return EMPTY, (metric or {}).get("reason", "")
    return figure(metric["value"]), interval(metric)


def interval(value: Json, shown: Callable[[float], str] = figure) -> str:
    if value.get("low") is None or value.get("high") is None:
        return ""
    return f"{shown(value['low'])} to {shown(value['high'])}"


def _drops(periods: list[Json]) -> MetricRow:
    cells = [
        (figure(drop["value"]), interval(drop)) if drop else (EMPTY, "")
        for drop in (period["drop"] for period in periods)
    ]
    return MetricRow("Drop", False, (("", ""), *cells))


def _period(period: Json) -> Period:
    badge = Badge("calm", "hourglass_empty", "Labels still to come")
    if period["is_mature"]:
        badge = Badge("good", "check_circle", "Mature")
    labelled = f"{share(period['labelled_share'])} of {period['rows']:,} labelled"
    return Period(period["period"], labelled, badge)


@dataclass(frozen=True, slots=True)
class Group:
    name: str
    rows: int
    selection: str
    ratio: str
    ratio_interval: str
    accuracy: str
    true_positive: str
    false_positive: str


@dataclass(frozen=True, slots=True)
class Attribute:
    """One protected attribute: how far its groups lie apart."""

    name: str
    parity: float | None
    badge: Badge
    labels: Badge
    difference: float | None
    odds: float | None
    groups: tuple[Group, ...]


def fairness(report: Json) -> tuple[Attribute, ...]:
    return tuple(
        Attribute(
            name=attribute["attribute"],
            parity=attribute["demographic_parity_ratio"],
            badge=measured(attribute["parity"]),
            labels=measured(attribute["labels"]),
            difference=attribute["demographic_parity_difference"],
            odds=attribute["equalized_odds_difference"],
            groups=tuple(_group(group) for group in attribute["groups"]),
        )
        for attribute in report.get("attributes") or ()
    )


def _group(group: Json) -> Group:
    ends = {"low": group["ratio_low"], "high": group["ratio_high"]}
    return Group(
        name=group["group"],
        rows=group["n"],
        selection=share(group["selection_rate"]),
        ratio=decimals(group["ratio"]),
        ratio_interval=interval(ends, decimals),
        accuracy=share(group["accuracy"]),
        true_positive=share(group["true_positive_rate"]),
        false_positive=share(group["false_positive_rate"]),
    )


def quality(report: Json, names: Mapping[str, str]) -> Quality:
    """Return the columns of which there is anything to say, findings first.

    `names` says how to call a column that has no name of its own.
    """
    rows = [
        _quality_row(column, names.get(column["name"], column["name"]))
        for column in report.get("columns") or ()
    ]
    told = [
        row
        for row in rows
        if row.has_finding or row.new or any(now != NOTHING for now, _, _ in row.cells)
    ]
    told.sort(key=lambda row: not row.has_finding)
    return Quality(tuple(told), len(rows) - len(told))


def _quality_row(column: Json, name: str) -> QualityRow:
    checks: Json = column["checks"]
    new: Json = column["new_categories"]
    return QualityRow(
        name=name,
        cells=tuple(_check(checks.get(name)) for name in CHECKS),
        new=", ".join(
            f"{name} ({count:,} {'row' if count == 1 else 'rows'})"
            for name, count in list(new.items())[:5]
        ),
        vanished=", ".join(column["vanished_categories"][:5]),
        has_finding=bool(column["findings"]),
    )


def _check(check: Json | None) -> tuple[str, str, bool]:
    if check is None:
        return NOTHING, "", False
    return share(check["share"]), share(check["baseline_share"]), check["finding"]
