"""Permits: short-lived signed words that a version may serve, checked without us.

A permit is a JWS in compact form (RFC 7515), signed with Ed25519 (RFC 8037). A service
that holds one needs no answer of ours until it ends; one that gets none any more is
stopped, or goes over to its fallback, within the permit's lifetime.
"""

from __future__ import annotations

import base64
import json
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from governance import signing
from governance.actions import deployments, gate
from governance.actions.gate import Asked
from governance.exceptions import PermitRefusedError
from governance.identifiers import uuid7
from governance.models import Deployment, RegisteredModel

LIFETIME = timedelta(minutes=5)
ISSUER = "driftguard"
# Tells a permit from whatever else the same key signs.
TYPE = "driftguard-permit+jwt"


@dataclass(frozen=True, slots=True)
class Permit:
    """A signed permit, and what it says."""

    token: str
    claims: dict[str, Any]
    expires_at: datetime


def issue(model: RegisteredModel, environment: str) -> Permit:
    """Return a permit for what is deployed in an environment now.

    It ends in five minutes, or with the override or break-glass that it rests on.
    Raises PermitRefusedError, with the fallback, for what is suspended, blocked,
    retired or not deployed. Nothing is remembered: services ask all the time.
    """
    claims, ends_at = allow(model, environment)
    return Permit(_signed(claims), claims, ends_at)


def allow(model: RegisteredModel, environment: str) -> tuple[dict[str, Any], datetime]:
    """Return what `issue` would say and until when, unsigned; raises as it does."""
    deployment = (
        Deployment.objects.open()
        .filter(model=model, environment=environment)
        .select_related(
            "version__model", "fallback_version", "override", "approval", "model"
        )
        .first()
    )
    if deployment is None:
        raise _refused(model, environment, None, _why_none(model, environment))
    return consider(deployment)


def consider(deployment: Deployment) -> tuple[dict[str, Any], datetime]:
    """Return what a permit of now would say, and when it would end; sign nothing.

    Raises PermitRefusedError as `issue` does.
    """
    model, environment = deployment.model, deployment.environment
    if deployment.is_suspended:
        detail = f"{deployment} is suspended: {deployment.suspension_reason}"
        raise _refused(model, environment, deployment, detail)
    asked = gate.may_serve(deployment)
    ends_at = min(asked.at + LIFETIME, *_ends(deployment, asked))
    if ends_at <= asked.at:
        detail = f"What let {deployment} through is over."
        raise _refused(model, environment, deployment, detail)
    if not asked.judgement.is_open:
        listed = "; ".join(
            rule.detail for rule in asked.judgement.closing if rule.detail
        )
        detail = f"{deployment} is blocked: {listed or asked.facts.status.value}"
        raise _refused(model, environment, deployment, detail, asked)
    return _claims(deployment, asked, ends_at), ends_at


def _ends(deployment: Deployment, asked: Asked) -> list[datetime]:
    """Return the moments at which what the deployment rests on is over."""
    overrides = (deployment.override, asked.used_override)
    ends = [one.ends_at for one in overrides if one is not None]
    if deployment.until is not None:
        ends.append(deployment.until)
    return ends or [asked.at + LIFETIME]


def _claims(deployment: Deployment, asked: Asked, ends_at: datetime) -> dict[str, Any]:
    version, policy = deployment.version, asked.policy
    used = asked.used_override or deployment.override
    return {
        "iss": ISSUER,
        "sub": f"model:{version.model_id}",
        "jti": uuid7().hex,
        "iat": int(asked.at.timestamp()),
        "nbf": int(asked.at.timestamp()),
        "exp": int(ends_at.timestamp()),
        "organization": deployment.organization_id,
        "model": version.model.slug,
        "model_id": version.model_id,
        "version": version.version,
        "environment": deployment.environment,
        "status": asked.facts.status.value,
        "deployment": deployment.pk,
        "kind": deployment.kind,
        "policy": {
            "id": policy.policy_id,
            "version": policy.number,
            "hash": policy.content_hash,
        },
        "override": used.pk if used else None,
        "artifact_digest": version.artifact_digest or None,
        "fallback": deployments.fallback_json(deployment),
    }


def _signed(claims: dict[str, Any]) -> str:
    header = {"alg": "EdDSA", "kid": signing.public_key().id, "typ": TYPE}
    message = b".".join(
        _encoded(json.dumps(part, separators=(",", ":")).encode())
        for part in (header, claims)
    )
    signature = signing.sign(message)
    if signature.key.id != header["kid"]:
        # The key was replaced between the two: the next one is signed whole.
        return _signed(claims)
    return (message + b"." + _encoded(signature.value)).decode()


def _encoded(data: bytes) -> bytes:
    return base64.urlsafe_b64encode(data).rstrip(b"=")


def key_set() -> dict[str, Any]:
    """Return the public keys that permits can be checked with, as a JWK set."""
    return {
        "keys": [
            {
                "kty": "OKP",
                "crv": "Ed25519",
                "use": "sig",
                "alg": "EdDSA",
                "kid": key.id,
                "x": _encoded(key.raw).decode(),
            }
            for key in signing.public_keys()
        ]
    }


def _why_none(model: RegisteredModel, environment: str) -> str:
    if model.retired_at is not None:
        return f"{model} is retired."
    return f"Nothing of {model} is deployed in {environment}."


def _refused(
    model: RegisteredModel,
    environment: str,
    deployment: Deployment | None,
    detail: str,
    asked: Asked | None = None,
) -> PermitRefusedError:
    last = deployment or (
        Deployment.objects.filter(model=model, environment=environment)
        .select_related("version", "fallback_version")
        .first()
    )
    state = "retired" if model.retired_at is not None else "not_deployed"
    if deployment is not None:
        state = deployment.state if asked is None else "blocked"
    steps = ["Serve the fallback until there is a permit again."] if last else []
    if asked is not None:
        steps += asked.judgement.steps
    return PermitRefusedError(
        detail,
        extra={
            "state": state,
            "environment": environment,
            "version": last.version.version if last else None,
            "deployment_id": deployment.pk if deployment else None,
            "fallback": deployments.fallback_json(last) if last else None,
            "gate": asked.to_json() if asked else None,
            "next": steps or ["Deploy a version."],
        },
    )
