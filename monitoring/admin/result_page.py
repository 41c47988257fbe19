"""What the page of an analysis' result shows."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from governance.admin.display import Badge, count, figure, measured
from monitoring.admin.model_page import ALGORITHMS, SCORE, SEVERITY, Feature, features
from monitoring.models import DriftResult

Json = Mapping[str, Any]

FAMILIES = {
    "univariate": "Column by column",
    "multivariate": "All columns at once",
    "performance": "Performance",
    "streaming": "Streams",
    "custom": "Your own detectors",
}
SERIES = {"errors": "the errors", "scores": "the scores"}
MOST_CHANGES = 3


@dataclass(frozen=True, slots=True)
class Algorithm:
    """One algorithm as a row."""

    name: str
    badge: Badge
    score: str
    limits: str
    p_value: float | None
    votes: bool
    says: str  # about what, or why nothing


@dataclass(frozen=True, slots=True)
class Family:
    name: str
    algorithms: tuple[Algorithm, ...]


@dataclass(frozen=True, slots=True)
class Cause:
    """A column's part of the drift, and the bins that moved."""

    name: str
    contribution: float
    psi: float | None
    importance: float | None
    bins: tuple[tuple[str, float, float], ...]  # words, share before, share now


@dataclass(frozen=True, slots=True)
class Slice:
    """Rows without which the drift falls."""

    words: str
    window_share: float
    baseline_share: float
    before: float
    after: float
    fall_share: float | None


@dataclass(frozen=True, slots=True)
class ResultPage:
    result: DriftResult
    badge: Badge
    reason: str
    families: tuple[Family, ...]
    features: tuple[Feature, ...]
    causes: tuple[Cause, ...]
    slices: tuple[Slice, ...]
    rows: str
    versions: tuple[tuple[str, str], ...]


def result_page(result: DriftResult) -> ResultPage:
    """Return what a result says, in words."""
    cause: Json = result.root_cause
    window: Json = result.provenance.get("window") or {}
    return ResultPage(
        result=result,
        badge=measured(result.status),
        reason=result.drift.get("reason") or "",
        families=_families(result.algorithms),
        features=features(result.drift),
        causes=tuple(_cause(one) for one in cause.get("features") or ()),
        slices=tuple(_slice(one) for one in cause.get("slices") or ()),
        rows=_rows(result.predictions, window.get("analysed")),
        versions=tuple(sorted((result.provenance.get("versions") or {}).items())),
    )


def _rows(total: int, analysed: int | None) -> str:
    if analysed is None or analysed == total:
        return count(total)
    return f"{count(total)}, of which {count(analysed)} were drawn"


def _families(algorithms: Json) -> tuple[Family, ...]:
    """Return the algorithms by family, those in trouble first."""
    found = []
    for family, words in FAMILIES.items():
        rows = sorted(
            (
                (name, told)
                for name, told in algorithms.items()
                if told.get("family") == family
            ),
            key=lambda row: (SEVERITY.get(row[1]["status"], 3), _place(row[0])),
        )
        if rows:
            algorithms_of = tuple(_algorithm(name, told) for name, told in rows)
            found.append(Family(words, algorithms_of))
    return tuple(found)


def _place(name: str) -> int:
    # The store of JSON keeps no order; the list of names does.
    names = list(ALGORITHMS)
    return names.index(name) if name in ALGORITHMS else len(names)


def _algorithm(name: str, told: Json) -> Algorithm:
    limits = ""
    if told.get("warning") is not None:
        limits = f"{figure(told['warning'])} / {figure(told['alert'])}"
    return Algorithm(
        name=ALGORITHMS.get(name, name),
        badge=measured(told["status"]),
        score=figure(told.get("score")),
        limits=limits,
        p_value=told.get("p_value"),
        votes=bool(told.get("votes")),
        says=_says(told),
    )


def _says(told: Json) -> str:
    """Tell what a score is about: a column, a metric, the changes of a stream."""
    if told.get("reason"):
        return str(told["reason"])
    detail: Json = told.get("detail") or {}
    if told.get("column"):
        return f"most in {told['column']}"
    if "metric" in detail:
        now, before = figure(told.get("statistic")), figure(detail.get("baseline"))
        return f"{detail['metric']} {now}, on the baseline {before}"
    if "error" in detail:
        now, before = figure(detail["error"]), figure(detail.get("baseline_error"))
        return f"error {now}, on the baseline {before}"
    return _changes(detail.get("series") or {})


def _changes(series: Json) -> str:
    told = []
    for name, one in series.items():
        moments = [str(change["at"])[:16] for change in one.get("changes") or ()]
        if moments:
            shown = ", ".join(
                moment.replace("T", " ") for moment in moments[-MOST_CHANGES:]
            )
            more = "…, " if len(moments) > MOST_CHANGES else ""
            told.append(f"{SERIES.get(name, name)} changed by {more}{shown}")
    return "; ".join(told)


def _cause(one: Json) -> Cause:
    return Cause(
        name=SCORE if one["feature"] == "__score__" else str(one["feature"]),
        contribution=one["contribution"],
        psi=one["psi"],
        importance=one["importance"],
        bins=tuple(
            (_place_of(found), found["baseline"], found["window"])
            for found in one["bins"]
        ),
    )


def _slice(one: Json) -> Slice:
    return Slice(
        words=f"{one['feature']}: {_place_of(one)}",
        window_share=one["window_share"],
        baseline_share=one["baseline_share"],
        before=one["before"],
        after=one["after"],
        fall_share=one.get("fall_share"),
    )


def _place_of(one: Json) -> str:
    """Name a bin, a category or the missing values."""
    if one.get("is_missing"):
        return "missing"
    if one.get("category") is not None:
        return str(one["category"])
    low, high = one.get("low"), one.get("high")
    if low is None and high is None:
        return "all values"
    if low is None:
        return f"≤ {figure(high, 4)}"
    return (
        f"> {figure(low, 4)}"
        if high is None
        else f"{figure(low, 4)} to {figure(high, 4)}"
    )
