"""A model with everything that the pages show, judged by the real decision."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from functools import cache

import numpy as np

from governance.actions import registry, risk
from governance.decision import ColumnFacts, Facts, GroupFacts, Measured
from governance.identifiers import uuid7
from governance.models import ModelVersion
from governance.schema import Schema
from monitoring.models import (
    AnalysisRun,
    Baseline,
    DriftResult,
    GroundTruth,
    LiveResult,
    Prediction,
    Receipt,
)
from monitoring.stats import drift, quality, root_cause
from monitoring.stats.fairness import GroupCounts, report
from monitoring.stats.grid import Grid
from tests.factories import Person

NOW = datetime(2026, 3, 31, 12, tzinfo=UTC)
THRESHOLDS = {"psi": (0.1, 0.25), "ks_test": (0.1, 0.2), "chi_square": (0.1, 0.2)}


def make_measured_model(
    person: Person, name: str = "Credit default", features: Sequence[str] = ("income",)
) -> ModelVersion:
    """Make a blocked model: all numeric features have moved, the group SEX has not."""
    version = registry.register(
        person.organization,
        registry.Registration(
            name, "2.1.0", schema=Schema.from_json({"features": list(features)})
        ),
        actor=person.actor,
    )
    grid, found, checked = measure(tuple(features))
    baseline = make_baseline(version, grid)
    LiveResult.objects.create(
        organization=person.organization,
        model=version.model,
        version=version,
        baseline=baseline,
        baseline_kind="given",
        status=found.status,
        window_start=NOW - timedelta(days=7),
        window_end=NOW,
        predictions=400,
        drift=found.to_json(),
        quality=checked,
        fairness=report(
            {"SEX": [GroupCounts("1", 200, 150), GroupCounts("2", 200, 148)]}
        ).to_json(),
    )
    make_analysis(version, baseline, found)
    risk.assess(
        version,
        facts=facts_of(found),
        source={"baseline": baseline.public_id},
        window=(NOW - timedelta(days=7), NOW),
        is_evaluation=True,
    )
    return version


def make_analysis(
    version: ModelVersion, baseline: Baseline, found: drift.DriftReport
) -> DriftResult:
    """Keep what an analysis of the same window found."""
    told = found.to_json()
    run = AnalysisRun.objects.create(
        organization_id=version.organization_id,
        model_id=version.model_id,
        version=version,
        baseline=baseline,
        baseline_kind="given",
        window_start=NOW - timedelta(days=7),
        window_end=NOW,
        trigger="request",
        status="succeeded",
        progress=1.0,
        started_at=NOW,
        completed_at=NOW,
    )
    about = {"family": "univariate", "features": {}, "reason": ""}
    return DriftResult.objects.create(
        organization_id=version.organization_id,
        run=run,
        model_id=version.model_id,
        version=version,
        baseline=baseline,
        baseline_kind="given",
        window_start=run.window_start,
        window_end=run.window_end,
        predictions=400,
        labels=300,
        status=found.status,
        algorithms={n: {**one, **about} for n, one in told["algorithms"].items()},
        drift=told,
        root_cause={
            "features": [
                {
                    "feature": found.alerts[0],
                    "contribution": 0.9,
                    "psi": found.max_psi,
                    "importance": 0.5,
                    "status": "alert",
                    "bins": root_cause.moved_bins(found.columns[found.alerts[0]]),
                }
            ],
            "slices": [],
        },
        provenance={"rows_digest": "0" * 64, "window": {"analysed": 400}},
    )


@cache
def measure(
    features: tuple[str, ...],
) -> tuple[Grid, drift.DriftReport, dict[str, object]]:
    """Measure 400 rows, two standard deviations away, against 500 before."""
    random = np.random.default_rng(0)
    kinds = dict.fromkeys(features, "numeric") | {"region": "categorical"}
    then = {feature: random.normal(0, 1, 500) for feature in features}
    now = {feature: random.normal(2, 1, 400) for feature in features}
    grid = Grid.fit(then | {"region": ["north", "south"] * 250}, kinds)
    window = grid.count(now | {"region": ["north", "south"] * 200})
    found = drift.evaluate(grid, window, thresholds=THRESHOLDS)
    return grid, found, quality.assess(grid, window).to_json()


def facts_of(found: drift.DriftReport) -> Facts:
    columns = tuple(
        ColumnFacts(
            name=column.name,
            status=column.status.value,
            psi=column.algorithms["psi"].score,
            importance=column.importance,
            measured=tuple(
                Measured(name, result.score, result.significant)
                for name, result in column.algorithms.items()
                if result.score is not None
            ),
        )
        for column in found.columns.values()
    )
    return Facts(
        n=400,
        n_baseline=500,
        baseline_kind="given",
        evidence_age_hours=1.0,
        columns=columns,
        groups=(GroupFacts("SEX", "2", 200, 0.987, 0.9, 1.0),),
    )


def make_baseline(version: ModelVersion, grid: Grid) -> Baseline:
    return Baseline.objects.create(
        organization_id=version.organization_id,
        model_id=version.model_id,
        version=version,
        label="v1",
        active=True,
        sample_size=500,
        features=b"columns",
        grid_data=grid.to_bytes(),
        digest=grid.digest,
    )


def make_prediction(
    version: ModelVersion,
    entity: str = "client-1",
    label: str | None = None,
    verdict: str = "BLOCKED",
    at: datetime = NOW,
) -> Prediction:
    """Store a prediction under a receipt of its own, and its label if there is one."""
    pk = uuid7()
    receipt = Receipt.objects.create(
        organization_id=version.organization_id,
        kind=Receipt.Kind.PREDICTIONS,
        channel=Receipt.Channel.HTTP,
        model_id=version.model_id,
        version=version,
        rows=1,
        first_id=pk,
        last_id=pk,
        first_event=at,
        last_event=at,
        digest=bytes(32),
        merkle_root=bytes(32),
    )
    prediction = Prediction.objects.create(
        id=pk,
        organization_id=version.organization_id,
        model_id=version.model_id,
        version=version,
        receipt=receipt,
        timestamp=at,
        entity_id=entity,
        features='{"income": 1.5}',
        prediction="1",
        probabilities=[0.25, 0.75],
        probability_of_prediction=0.75,
        verdict=verdict,
    )
    if label is not None:
        GroundTruth.objects.create(
            organization_id=version.organization_id,
            model_id=version.model_id,
            receipt=receipt,
            entity_id=entity,
            outcome_timestamp=at + timedelta(days=30),
            outcome=label,
            match=GroundTruth.Match.MATCHED,
            prediction_id=pk,
        )
    return prediction
