"""Deployments: approved by the quorum, and through the gate only."""

from __future__ import annotations

from typing import Any

from django.utils import timezone

from driftguard.selftest.cast import WHY, Cast
from driftguard.selftest.scenarios import Scenario, Trial, sql
from governance.actions import (
    break_glass,
    deployments,
    intakes,
    policies,
    submissions,
)
from governance.models import Deployment, ModelVersion

Kind = Deployment.Kind


def path_of(version: ModelVersion, deed: str) -> str:
    return f"/api/models/{version.model_id}/{deed}"


def is_live(version: ModelVersion) -> bool:
    return Deployment.objects.live().filter(version=version).exists()


def deployed_by_sql(cast: Cast, version: ModelVersion, **fields: Any) -> None:
    """Write a deployment past every deed."""
    Deployment.objects.create(
        **{
            "organization_id": version.organization_id,
            "model_id": version.model_id,
            "version": version,
            "environment": "production",
            "kind": Kind.DEPLOY,
            "reason": WHY,
            "requested_by": cast.alice.user,
            "requested_label": "x",
            "mode": "prevent",
            "policy_version": policies.default_of(version.organization_id),
            "fallback": Deployment.Fallback.MANUAL_REVIEW,
            **fields,
        }
    )


def _without_quorum(cast: Cast) -> Trial:
    version = cast.version()
    request = submissions.submit_version(version, actor=cast.alice.actor)
    path = path_of(version, "deploy")
    other = cast.approved()
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
            "API with token, with an override": lambda: cast.alice.token.post(
                path, {"override": True}
            ),
            "API with token, as a rollback": lambda: cast.alice.token.post(
                path_of(version, "rollback"),
                {"version": version.version, "reason": WHY},
            ),
            "API with token, resumed": lambda: cast.alice.token.post(
                path_of(version, "resume"), {}
            ),
            "SQL, without an approval": lambda: deployed_by_sql(cast, version),
            "SQL, with one that waits": lambda: deployed_by_sql(
                cast, version, approval=request
            ),
            "SQL, with another version's": lambda: deployed_by_sql(
                cast, version, approval=other.requests.get()
            ),
            "SQL, as a break-glass": lambda: deployed_by_sql(
                cast,
                version,
                kind=Kind.BREAK_GLASS,
                until=timezone.now(),
                ratify_by=timezone.now(),
            ),
            "SQL, in another mode": lambda: deployed_by_sql(
                cast, version, mode="observe"
            ),
            "SQL, called approved": sql(
                "UPDATE governance_modelversion SET status = 'approved' WHERE id = %s",
                version.pk,
            ),
        },
        lambda: (
            is_live(version)
            or ModelVersion.objects.get(pk=version.pk).status == "approved"
        ),
    )


def _past_the_gate(cast: Cast) -> Trial:
    version = cast.measured(psi=0.6)
    path = path_of(version, "deploy")
    glass = {"reason": WHY, "password": cast.alice.password}
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
            "API with key, with an override": lambda: cast.with_key.post(
                path, {"override": True}
            ),
            "deed, by break-glass": lambda: break_glass.open_gate(
                version, environment="production", reason=WHY, actor=cast.alice.actor
            ),
            "API with token, by break-glass": lambda: cast.alice.token.post(
                path_of(version, "break-glass"), glass
            ),
            "deed, from another organization": lambda: deployments.deploy(
                version, environment="production", actor=cast.charlie.actor
            ),
        },
        lambda: is_live(version),
    )


def _adopted_twice(cast: Cast) -> Trial:
    """Try to bring in what has been deployed as if it had always been there."""
    first = cast.approved()
    deployments.deploy(first, environment="production", actor=cast.alice.actor)
    adoption = intakes.Adoption(first, "production")
    rows = Deployment.objects.filter(model=first.model_id)
    return Trial(
        {
            "deed": lambda: intakes.adopt(
                [adoption], reason=WHY, actor=cast.alice.actor
            ),
            "SQL": lambda: deployed_by_sql(
                cast, first, kind=Kind.INTAKE, due_at=timezone.now()
            ),
            "SQL, deleted": sql(
                "DELETE FROM governance_deployment WHERE model_id = %s", first.model_id
            ),
            "SQL, rewritten": sql(
                "UPDATE governance_deployment SET kind = 'intake', due_at = now() "
                "WHERE model_id = %s",
                first.model_id,
            ),
        },
        lambda: rows.count() != 1 or rows.get().kind != Kind.DEPLOY,
    )


def _once_approved(cast: Cast) -> Trial:
    """Make what was approved something else, written so past every deed."""
    version = cast.approved()
    ModelVersion.objects.filter(pk=version.pk).update(artifact_digest="0" * 64)
    version.refresh_from_db()
    path = path_of(version, "deploy")
    return Trial(
        {
            "deed": lambda: deployments.deploy(
                version, environment="production", actor=cast.alice.actor
            ),
            "API with token": lambda: cast.alice.token.post(path, {}),
            "API with key": lambda: cast.with_key.post(path, {}),
        },
        lambda: is_live(version),
    )


def _as_it_should(cast: Cast) -> Trial:
    """Try nothing: it shows that the gate opens at all."""
    version = cast.approved()
    return Trial(
        {},
        lambda: is_live(version),
        meant=lambda: deployments.deploy(
            version, environment="production", actor=cast.alice.actor
        ),
    )


SCENARIOS = (
    Scenario("an approved version is deployed", _as_it_should),
    Scenario("deployed without a quorum", _without_quorum),
    Scenario("deployed past the gate", _past_the_gate),
    Scenario("deployed after its subject changed", _once_approved),
    Scenario("a deployment made out to be an intake", _adopted_twice),
)
