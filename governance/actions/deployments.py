"""Deploying a version: the gate is asked, and what it says is remembered."""

from __future__ import annotations

from typing import NoReturn

from governance.actions.audit import Actor, deed, record
from governance.exceptions import ApprovalRequiredError, PermissionDeniedError
from governance.models import Membership, ModelVersion

Role = Membership.Role
MAY_DEPLOY = {Role.OWNER, Role.MODEL_OWNER}


@deed
def deploy(
    version: ModelVersion,
    *,
    environment: str,
    override: bool,
    dry_run: bool,
    actor: Actor,
) -> NoReturn:
    """Ask the gate whether the version may be deployed; the answer is in the trail.

    No version can be approved yet, so the gate is closed: always raises
    ApprovalRequiredError, which names the rule and what to do next. A person needs the
    role owner or model owner.
    """
    if actor.type == "user" and not MAY_DEPLOY & set(actor.role.split(",")):
        _record_denial(version, environment, "needs the role model owner", actor=actor)
        raise PermissionDeniedError("This needs the role owner or model owner.")
    gate = {
        "result": "DENY",
        "environment": environment,
        "version": version.version,
        "dry_run": dry_run,
        "override": override,
        "rules": [
            {
                "rule": "approval",
                "name": "The version is approved",
                "level": "hard",
                "observed": version.status,
                "limit": ModelVersion.Status.APPROVED.value,
                "passed": False,
            }
        ],
    }
    _record_denial(version, environment, "approval_required", gate=gate, actor=actor)
    detail = f"Version {version.version} is not approved for {environment}."
    if override:
        detail += " There is no active override for it either."
    raise ApprovalRequiredError(
        detail,
        extra={
            "gate": gate,
            "deployment_status": version.status,
            "next": "Have it approved by a compliance officer, then deploy it.",
        },
    )


def _record_denial(
    version: ModelVersion,
    environment: str,
    reason: str,
    *,
    gate: dict[str, object] | None = None,
    actor: Actor,
) -> None:
    record(
        version.organization_id,
        actor=actor,
        action="deployment.requested",
        object=version,
        after=gate or {"environment": environment},
        outcome="denied",
        reason=reason,
    )
