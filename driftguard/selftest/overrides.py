"""Overrides: granted by another, no longer than the policy says, and then over."""

from __future__ import annotations

import time
from datetime import timedelta

from django.utils import timezone

from driftguard.selftest.cast import WHY, Cast
from driftguard.selftest.deployments import deployed_by_sql, is_live, path_of
from driftguard.selftest.scenarios import Scenario, Trial, page, sql
from governance.actions import deployments, overrides
from governance.actions.override_checks import Terms
from governance.models import ModelVersion, Override

RULE = "R7"  # soft in the default policy
LONG = timedelta(days=400)
SHORT = timedelta(milliseconds=400)


def _proposed(cast: Cast, term: timedelta = timedelta(hours=2)) -> Override:
    return _of(cast, cast.measured(ratio=0.5), term)


def _granted_by_who_asked(cast: Cast) -> Trial:
    override, alice = _proposed(cast), cast.alice
    path = f"/api/overrides/{override.pk}/approve"
    grant = {"reason": WHY, "password": alice.password}
    return Trial(
        {
            "deed": lambda: overrides.approve(override, reason=WHY, actor=alice.actor),
            "deed, by the key": lambda: overrides.approve(
                override, reason=WHY, actor=cast.key_actor
            ),
            "API with token": lambda: alice.token.post(path, grant),
            "API with key": lambda: cast.with_key.post(path, grant),
            "admin button": lambda: alice.browser.submit(
                page(override, "approve"), {"sent": "on", **grant}
            ),
            "SQL": sql(
                "UPDATE governance_override SET status = 'under_review' WHERE id = %s; "
                "UPDATE governance_override SET status = 'approved', decision = 'yes', "
                "decided_by_id = %s, decided_at = now() WHERE id = %s",
                override.pk,
                alice.user.pk,
                override.pk,
            ),
            "SQL, by nobody": sql(
                "UPDATE governance_override SET status = 'under_review' WHERE id = %s; "
                "UPDATE governance_override SET status = 'approved' WHERE id = %s",
                override.pk,
                override.pk,
            ),
            "SQL, at once": sql(
                "UPDATE governance_override SET status = 'active', "
                "activated_at = now() WHERE id = %s",
                override.pk,
            ),
        },
        lambda: Override.objects.get(pk=override.pk).status in {"approved", "active"},
        meant=lambda: overrides.approve(override, reason=WHY, actor=cast.bob.actor),
    )


def _for_too_long(cast: Cast) -> Trial:
    version = cast.measured(ratio=0.5)
    end = timezone.now() + LONG
    body = {
        "model_id": version.model_id,
        "version": version.version,
        "rules": [RULE],
        "justification": WHY,
        "expires_at": end.isoformat(),
    }

    def prolonged() -> None:
        """Let another one grant what was made longer past every deed."""
        override = _of(cast, version, timedelta(hours=2))
        Override.objects.filter(pk=override.pk).update(expires_at=end, longest=LONG)
        overrides.approve(override, reason=WHY, actor=cast.bob.actor)

    def prolonged_later() -> None:
        override = _of(cast, version, timedelta(hours=2))
        overrides.approve(override, reason=WHY, actor=cast.bob.actor)
        Override.objects.filter(pk=override.pk).update(expires_at=end)

    return Trial(
        {
            "deed": lambda: _of(cast, version, LONG),
            "API with token": lambda: cast.alice.token.post("/api/overrides", body),
            "API with key": lambda: cast.with_key.post("/api/overrides", body),
            "SQL, before it is granted": prolonged,
            "SQL, once it is granted": prolonged_later,
        },
        lambda: (
            Override.objects.filter(
                version=version, expires_at__gt=timezone.now() + timedelta(days=300)
            )
            .exclude(status="proposed", longest=LONG)
            .exists()
        ),
    )


def _of(cast: Cast, version: ModelVersion, term: timedelta) -> Override:
    return overrides.propose(
        version,
        environment="production",
        terms=Terms([RULE], WHY, timezone.now() + term),
        actor=cast.alice.actor,
    )


def _after_its_time(cast: Cast) -> Trial:
    override = _proposed(cast, SHORT)
    version = override.version
    override = overrides.approve(override, reason=WHY, actor=cast.bob.actor)
    before = override.activated_at
    time.sleep(max(0.0, (override.expires_at - timezone.now()).total_seconds()) + 0.01)
    path = path_of(version, "deploy")
    under = {"override_id": override.pk, "approval_id": version.requests.get().pk}

    def prolonged() -> None:
        Override.objects.filter(pk=override.pk).update(
            expires_at=timezone.now() + timedelta(hours=1)
        )
        deployments.deploy(version, environment="production", actor=cast.alice.actor)

    return Trial(
        {
            "deed": lambda: deployments.deploy(
                version, environment="production", actor=cast.alice.actor
            ),
            "deed, by the key": lambda: deployments.deploy(
                version, environment="production", actor=cast.key_actor
            ),
            "API with token": lambda: cast.alice.token.post(path, {}),
            "API with key": lambda: cast.with_key.post(path, {}),
            "SQL": lambda: deployed_by_sql(cast, version, **under),
            "SQL, dated back": lambda: deployed_by_sql(
                cast, version, started_at=before, **under
            ),
            "SQL, put off": prolonged,
        },
        lambda: is_live(version),
    )


SCENARIOS = (
    Scenario("who asked for an override grants it", _granted_by_who_asked),
    Scenario("an override for longer than the policy allows", _for_too_long),
    Scenario("deployed under an override that is over", _after_its_time),
)
