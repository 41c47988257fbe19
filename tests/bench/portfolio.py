"""``python -m tests.bench.portfolio``: the portfolio of 10,000 models."""

import datetime as dt
import sys
import time

from tests.bench import database
from tests.bench.kernels import Lines

MODELS, SCORES = 10_000, 30
REQUESTS = 60
ADDRESSES = (
    "/dashboard",
    "/dashboard?page=150",
    "/dashboard?health=BLOCKED&order=-risk",
    "/dashboard?search=model+99&order=seen",
    "/dashboard?tier=high&order=-findings",
)


def fill(person) -> None:
    from django.db import connection
    from django.utils import timezone

    from governance.models import (
        Assessment,
        Evidence,
        ModelVersion,
        PolicyVersion,
        RegisteredModel,
        RiskScore,
    )

    organization, user, now = person.organization, person.user, timezone.now()
    owned = {"organization": organization}
    policy = PolicyVersion.objects.for_organization(organization).in_force().get()
    models = RegisteredModel.objects.bulk_create(
        RegisteredModel(
            **owned,
            name=f"Model {number}",
            slug=f"model-{number}",
            owner=user,
            created_by=user,
            risk_tier=("", "low", "high")[number % 3],
        )
        for number in range(MODELS)
    )
    versions = ModelVersion.objects.bulk_create(
        ModelVersion(
            **owned,
            model=model,
            version="1",
            created_by=user,
            last_prediction_at=now - dt.timedelta(minutes=model.pk % 20_000),
        )
        for model in models
    )
    for model, version in zip(models, versions, strict=True):
        model.current_version = version
    RegisteredModel.objects.bulk_update(models, ["current_version"], batch_size=1000)
    statuses = ("APPROVED", "AT_RISK", "BLOCKED", "NOT_ASSESSED")
    Assessment.objects.bulk_create(
        Assessment(
            **owned,
            version=version,
            status=statuses[version.pk % 4],
            score=version.pk % 100,
            reasons=["All rules hold."],
        )
        for version in versions
    )
    evidence = Evidence.objects.create(
        **owned, version=versions[0], facts={}, digest=""
    )
    RiskScore.objects.bulk_create(
        (
            RiskScore(
                **owned,
                model_id=version.model_id,
                version=version,
                score=(version.pk + step) % 100,
                governance_status=statuses[version.pk % 4],
                policy_version=policy,
                evidence=evidence,
                computed_at=now - dt.timedelta(hours=step),
            )
            for version in versions
            for step in range(SCORES)
        ),
        batch_size=10_000,
    )
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE")


def main() -> int:
    lines = Lines()
    with database.fresh():
        from django.conf import settings
        from django.test import Client

        from tests import factories

        settings.ALLOWED_HOSTS = ["testserver"]
        person = factories.make_alice()
        fill(person)
        client = Client()
        backend = "django.contrib.auth.backends.ModelBackend"
        client.force_login(person.user, backend=backend)
        spent = []
        for number in range(REQUESTS):
            begun = time.perf_counter()
            answer = client.get(ADDRESSES[number % len(ADDRESSES)])
            spent.append(time.perf_counter() - begun)
            assert answer.status_code == 200
        longest = sorted(spent[len(ADDRESSES) :])[int(0.95 * (REQUESTS - 5))] * 1e3
    lines.add("the portfolio of 10,000 models, p95", longest, most=300, unit="ms")
    return int(lines.missed)


if __name__ == "__main__":
    sys.exit(main())
