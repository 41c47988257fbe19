"""What the page of one model shows, read from what was measured and decided."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from governance.admin.addresses import changelist
from governance.admin.charts import BarChart, bar_chart
from governance.admin.display import Badge, count, figure, health, measured
from governance.admin.tenancy import Role
from governance.models import (
    Assessment,
    AuditEntry,
    Finding,
    ModelVersion,
    RegisteredModel,
    RiskScore,
)
from monitoring.admin import model_outcomes
from monitoring.admin.model_outcomes import Attribute, Performance, Quality
from monitoring.models import (
    AnalysisRun,
    Baseline,
    DriftResult,
    GroundTruth,
    LiveResult,
    Prediction,
    Receipt,
)

Json = Mapping[str, Any]
# What they fail for is a metric; everywhere else it is a column or a group.
METRIC_RULES = {"R5", "R6"}
SEVERITY = {"alert": 0, "warning": 1, "ok": 2}
ALGORITHMS = {
    "psi": "PSI",
    "ks_test": "KS distance",
    "chi_square": "Cramér's V",
    "jensen_shannon": "Jensen-Shannon",
    "hellinger": "Hellinger",
    "total_variation": "Total variation",
    "l_infinity": "L-infinity",
    "wasserstein": "Wasserstein",
    "wasserstein_normed": "Wasserstein, normed",
    "kl_divergence": "Kullback-Leibler",
    "energy": "Energy distance",
    "cramer_von_mises": "Cramér-von Mises",
    "anderson_darling": "Anderson-Darling",
    "mann_whitney": "Mann-Whitney",
    "welch_t": "Welch's t",
    "pca_reconstruction": "PCA reconstruction",
    "domain_classifier": "Domain classifier",
    "mmd": "MMD",
    "energy_distance": "Energy distance, all columns",
    "realized": "Realized performance",
    "cbpe": "Estimated performance (CBPE)",
    "realized_error": "Realized error",
    "dle": "Estimated error (DLE)",
    "adwin": "ADWIN",
    "kswin": "KSWIN",
    "page_hinkley": "Page-Hinkley",
    "ddm": "DDM",
    "eddm": "EDDM",
    "hddm_a": "HDDM-A",
    "hddm_w": "HDDM-W",
}
RUNS = {
    AnalysisRun.Status.QUEUED: ("calm", "hourglass_empty"),
    AnalysisRun.Status.RUNNING: ("calm", "sync"),
    AnalysisRun.Status.SUCCEEDED: ("good", "check_circle"),
    AnalysisRun.Status.FAILED: ("bad", "error"),
    AnalysisRun.Status.CANCELLED: ("calm", "cancel"),
}
# The score stands among the columns under a reserved name.
SCORE = "The model's score"
# Who may ask for an analysis, and give one up.
ANALYSTS = frozenset({Role.OWNER, Role.MODEL_OWNER})
MOST_BINS = 24
MOST_VERSIONS = 10
MOST_RUNS = 5
MOST_FINDINGS = 10


def run_badge(run: AnalysisRun) -> Badge:
    """Show where an analysis is."""
    tone, icon = RUNS[AnalysisRun.Status(run.status)]
    words = run.get_status_display()
    if run.status == AnalysisRun.Status.RUNNING:
        words = f"{words}, {run.progress:.0%}"
    return Badge(tone, icon, words)


@dataclass(frozen=True, slots=True)
class Term:
    """What one column adds to the drift component, in points of it."""

    name: str
    psi: float
    weight: float
    points: float
    adds: float


@dataclass(frozen=True, slots=True)
class Algorithm:
    name: str
    result: Json
    badge: Badge
    score: str


@dataclass(frozen=True, slots=True)
class Feature:
    """The drift of one column, as a row and as a detail."""

    name: str
    is_input: bool
    kind: str
    badge: Badge
    psi: float | None
    distance: float | None  # KS or Cramér's V, by kind
    p_value: float | None
    direction: str
    missing: float | None
    importance: float | None
    counts: str
    algorithms: tuple[Algorithm, ...]
    spark: BarChart | None
    chart: BarChart | None
    thinned: bool


@dataclass(frozen=True, slots=True)
class Run:
    """An analysis as a row."""

    run: AnalysisRun
    badge: Badge
    result: DriftResult | None
    found: Badge


@dataclass(frozen=True, slots=True)
class ModelPage:
    model: RegisteredModel
    version: ModelVersion | None
    assessment: Assessment | None
    health: Badge
    live: LiveResult | None
    baseline: Baseline | None
    drift: Badge
    features: tuple[Feature, ...]
    risk: Json
    terms: tuple[Term, ...]
    failed: list[Json]
    performance: Performance
    fairness: tuple[Attribute, ...]
    quality: Quality
    runs: tuple[Run, ...]
    versions: list[ModelVersion]
    findings: list[Finding]
    open_findings: int
    links: tuple[tuple[str, str], ...]


def model_page(model: RegisteredModel, *, with_trail: bool) -> ModelPage:
    """Read everything about a model, in a fixed number of queries.

    The link to the audit trail is for those who may read it.
    """
    version = model.current_version
    assessment = _assessment(version)
    live = _live(version)
    verdict: Json = assessment.verdict if assessment else {}
    risk: Json = verdict.get("risk") or {}
    drift: Json = live.drift if live else {}
    findings = Finding.objects.not_closed().of_model(model)
    return ModelPage(
        model=model,
        version=version,
        assessment=assessment,
        health=health(assessment.status if assessment else None),
        live=live,
        baseline=live.baseline if live else None,
        drift=measured(live.status if live else None),
        features=features(drift),
        risk=risk,
        terms=terms(risk),
        failed=failed(verdict),
        performance=model_outcomes.performance(live.performance if live else {}),
        fairness=model_outcomes.fairness(live.fairness if live else {}),
        quality=model_outcomes.quality(
            live.quality if live else {}, dict.fromkeys(drift.get("apart") or (), SCORE)
        ),
        runs=_runs(model),
        versions=list(model.versions.select_related("assessment")[:MOST_VERSIONS]),
        findings=list(findings.select_related("version")[:MOST_FINDINGS]),
        open_findings=findings.count(),
        links=_links(model, with_trail=with_trail),
    )


def _assessment(version: ModelVersion | None) -> Assessment | None:
    if version is None:
        return None
    rows = Assessment.objects.filter(version=version)
    return rows.select_related("policy_version__policy", "evidence").first()


def _runs(model: RegisteredModel) -> tuple[Run, ...]:
    """Return the newest analyses, without what they found in detail."""
    reports = ("algorithms", "drift", "root_cause", "provenance")
    rows = (
        AnalysisRun.objects.filter(model=model)
        .select_related("version", "result")
        .defer("configuration", *(f"result__{name}" for name in reports))
        .order_by("-id")[:MOST_RUNS]
    )
    found = []
    for run in rows:
        result: DriftResult | None = getattr(run, "result", None)
        status = None if result is None else result.status
        found.append(Run(run, run_badge(run), result, measured(status)))
    return tuple(found)


def _live(version: ModelVersion | None) -> LiveResult | None:
    if version is None:
        return None
    heavy = ("features", "labeled", "grid_data", "outcome_data")
    return (
        LiveResult.objects.filter(version=version)
        .select_related("baseline")
        .defer(*(f"baseline__{column}" for column in heavy))
        .first()
    )


def failed(verdict: Json) -> list[Json]:
    """Return the rules that don't hold; those about a metric name it as elsewhere."""
    names = model_outcomes.METRICS
    return [
        {**rule, "subject": names.get(rule["subject"], rule["subject"])}
        if rule["rule"] in METRIC_RULES
        else rule
        for rule in verdict.get("failed") or ()
    ]


def terms(risk: Json) -> tuple[Term, ...]:
    """Return the columns' parts of the drift component, the largest first."""
    found = [
        Term(
            name=column["name"],
            psi=column["psi"],
            weight=column["weight"],
            points=column["points"],
            adds=column["weight"] * column["points"],
        )
        for column in risk.get("columns") or ()
    ]
    return tuple(sorted(found, key=lambda term: -term.adds))


def features(drift: Json) -> tuple[Feature, ...]:
    """Return the measured columns, those in trouble first."""
    apart = set(drift.get("apart") or ())
    columns = sorted(
        drift.get("columns") or (),
        key=lambda column: (
            SEVERITY.get(column["status"], 3),
            -(_score(column, "psi") or 0.0),
            column["name"],
        ),
    )
    return tuple(_feature(column, column["name"] not in apart) for column in columns)


def shown_name(drift: Json, name: str) -> str:
    """Return how a measured column is called; the score has no name of its own."""
    return SCORE if name in (drift.get("apart") or ()) else name


def _feature(column: Json, is_input: bool) -> Feature:
    results: Json = column.get("algorithms") or {}
    main = "chi_square" if column["kind"] == "categorical" else "ks_test"
    corrected = (results.get(main) or {}).get("p_value_corrected")
    labels, before, now = bins(column.get("bins"))
    rows = column["n"] + column["missing"] + column["invalid"]
    return Feature(
        name=column["name"] if is_input else SCORE,
        is_input=is_input,
        kind=column["kind"],
        badge=measured(column["status"]),
        psi=_score(column, "psi"),
        distance=_score(column, main),
        p_value=corrected,
        direction=column.get("direction") or "",
        missing=column["missing"] / rows if rows else None,
        importance=column.get("importance"),
        counts=f"{count(column['n'])} values, baseline {count(column['n_baseline'])}",
        algorithms=tuple(
            Algorithm(
                name=ALGORITHMS.get(name, name),
                result=result,
                badge=measured(result["status"]),
                score=_shown(result),
            )
            for name, result in results.items()
        ),
        spark=bar_chart(labels, before, now),
        chart=bar_chart(labels, before, now, width=480, height=120),
        thinned=bool(column.get("thinned")),
    )


def _score(column: Json, algorithm: str) -> float | None:
    result = (column.get("algorithms") or {}).get(algorithm) or {}
    score: float | None = result.get("score")
    return score


def _shown(result: Json) -> str:
    interval = result.get("interval")
    if interval and interval[0] != interval[1]:
        return f"{figure(interval[0])} to {figure(interval[1])}"
    return figure(result.get("score"))


def bins(found: Json | None) -> tuple[list[str], list[float], list[float]]:
    """Name the bins of a chart; the rarest categories beyond 24 are taken together."""
    if not found:
        return [], [], []
    before, now = list(found["baseline"]), list(found["window"])
    if found.get("categories") is not None:
        labels = [str(name) for name in found["categories"]]
    else:
        labels = _intervals(list(found.get("edges") or ()))
    if len(labels) <= MOST_BINS:
        return labels, before, now
    by_size = sorted(
        range(len(labels)), key=lambda position: -(before[position] + now[position])
    )
    kept, rest = sorted(by_size[: MOST_BINS - 1]), by_size[MOST_BINS - 1 :]
    return (
        [labels[position] for position in kept] + [f"{len(rest)} others"],
        [before[position] for position in kept] + [sum(before[p] for p in rest)],
        [now[position] for position in kept] + [sum(now[p] for p in rest)],
    )


def _intervals(edges: list[float]) -> list[str]:
    if not edges:
        return ["all values"]
    names = [f"≤ {figure(edges[0], 4)}"]
    names += [f"{figure(low, 4)} to {figure(high, 4)}" for low, high in pairwise(edges)]
    return [*names, f"> {figure(edges[-1], 4)}"]


def _links(model: RegisteredModel, *, with_trail: bool) -> tuple[tuple[str, str], ...]:
    """Name the lists behind the page."""
    pk = model.pk
    about = {"object_type__exact": "registeredmodel", "object_id__exact": pk}
    trail = ("Audit trail", changelist(AuditEntry, **about))
    return (
        ("Predictions", changelist(Prediction, model=pk)),
        ("Ground truth", changelist(GroundTruth, model=pk)),
        ("Receipts", changelist(Receipt, model=pk)),
        ("Baselines", changelist(Baseline, model=pk)),
        ("Analyses", changelist(AnalysisRun, model=pk)),
        ("Versions", changelist(ModelVersion, model=pk)),
        ("Risk history", changelist(RiskScore, model=pk)),
        ("Findings", changelist(Finding, version__model=pk)),
        *((trail,) if with_trail else ()),
    )
