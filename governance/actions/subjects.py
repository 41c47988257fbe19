"""What an approval binds: the subject as JSON, its hash, and what has changed since."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import rfc8785
from django.db import connection

from governance.actions import policies
from governance.actions.audit import plain
from governance.models import (
    ApprovalRequest,
    Evidence,
    ModelVersion,
    PolicyVersion,
    RegisteredModel,
)

# Changes of these read better as a whole than as a hash.
_WORDS = {
    "policy.content": "the rules and stages of the policy",
    "version.artifact_digest": "the artifact",
    "baseline.id": "the baseline",
    "evidence.digest": "the evidence",
}


_LOCK_CLASS = 0x44474131


@dataclass(frozen=True, slots=True)
class Difference:
    """One thing that isn't any more as it was when the approval was asked for."""

    path: str  # such as model.risk_tier
    before: Any
    after: Any

    def to_json(self) -> dict[str, Any]:
        """Return the difference as stored requests and answers have it."""
        return {"path": self.path, "before": self.before, "after": self.after}

    def __str__(self) -> str:
        if self.path in _WORDS:
            return f"{_WORDS[self.path]} changed"
        return f"{self.path} changed from {_shown(self.before)} to {_shown(self.after)}"


def lock(model_id: int) -> None:
    """Wait until nobody else decides about this model or changes what that rests on.

    Held until the transaction ends, and always its first lock: before those of
    monitoring and before any row's. (No row's lock: predictions go on meanwhile.)
    """
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(%s, %s)", (_LOCK_CLASS, model_id))


def of_version(
    version: ModelVersion,
    evidence: Evidence | None = None,
    policy: PolicyVersion | None = None,
) -> dict[str, Any]:
    """Return what the approval of a version rests on.

    The version's fields and schema, what of its model an approval rests on, the
    baseline, the content of the policy that applies, and the evidence that was chosen.
    A policy version with the same rules and stages has the same content here.

    Note: this reads version.model, and the policy unless it is given.
    """
    policy = policy or policies.in_force_for(version.model)
    subject: dict[str, Any] = plain(
        {
            "model": _model_part(version.model),
            "version": {
                "id": version.pk,
                "version": version.version,
                "description": version.description,
                "training_accuracy": version.training_accuracy,
                "fairness_baseline": version.fairness_baseline,
                "artifact_digest": version.artifact_digest,
            },
            "schema": version.schema.to_json(),
            # A provisional baseline comes by itself and never is enough.
            "baseline": {"id": version.baseline_ref},
            "policy": {"content": policies.binding_hash(policy)},
            "evidence": None
            if evidence is None
            else {"id": evidence.pk, "digest": evidence.digest},
        }
    )
    return subject


def of_change(
    model: RegisteredModel, version: ModelVersion | None, proposal: Mapping[str, Any]
) -> dict[str, Any]:
    """Return what the approval of a change rests on: what is there, and what shall be.

    Note: this reads the policy that applies to the model.
    """
    subject: dict[str, Any] = plain(
        {
            "proposal": dict(proposal),
            "model": _model_part(model),
            "version": None if version is None else of_version(version),
        }
    )
    return subject


def of_retirement(model: RegisteredModel) -> dict[str, Any]:
    """Return what the retirement of a model rests on: that it is this model."""
    return {"model": {"id": model.pk, "name": model.name}}


def of_publication(draft: PolicyVersion, proposal: Mapping[str, Any]) -> dict[str, Any]:
    """Return what publishing a draft rests on: its content, and what it replaces."""
    active = PolicyVersion.objects.active().filter(policy=draft.policy_id).first()
    subject: dict[str, Any] = plain(
        {
            "draft": {"id": draft.pk, "content": draft.content_hash},
            "replaces": active and {"id": active.pk, "content": active.content_hash},
            "effective_at": proposal.get("effective_at"),
            # The result itself is part of the request, which never changes.
            "backtest": proposal.get("backtest_digest"),
        }
    )
    return subject


def of_request(request: ApprovalRequest) -> dict[str, Any]:
    """Return what a request is about as it is now; compare it with `request.subject`.

    Rows are read anew: what the request carries along may be old.
    """
    kind = ApprovalRequest.Kind(request.kind)
    if kind == ApprovalRequest.Kind.POLICY:
        drafts = PolicyVersion.objects.select_related("policy")
        return of_publication(drafts.get(requests=request), request.proposal)
    model = RegisteredModel.objects.get(requests=request)
    version = None
    if request.version_id is not None:
        versions = ModelVersion.objects.select_related("model")
        version = versions.get(requests=request)
    if kind == ApprovalRequest.Kind.RETIRE:
        return of_retirement(model)
    if kind == ApprovalRequest.Kind.CHANGE or version is None:
        return of_change(model, version, request.proposal)
    return of_version(version, request.evidence)


def _model_part(model: RegisteredModel) -> dict[str, Any]:
    low, high = model.label_horizon_min, model.label_horizon_max
    return {
        "id": model.pk,
        "risk_tier": model.risk_tier,
        "label_horizon_min": low and low.total_seconds(),
        "label_horizon_max": high and high.total_seconds(),
    }


def digest_of(subject: Mapping[str, Any]) -> str:
    """Return the SHA-256, in hex, of a subject's canonical JSON."""
    return hashlib.sha256(rfc8785.dumps(subject)).hexdigest()


def differences(
    before: Mapping[str, Any], after: Mapping[str, Any]
) -> list[Difference]:
    """Return what differs, by the way to each value."""
    return list(_walk((), before, after))


def _walk(path: tuple[str, ...], before: Any, after: Any) -> Iterator[Difference]:
    if before == after and type(before) is type(after):
        return
    if isinstance(before, Mapping) and isinstance(after, Mapping):
        for name in sorted(before.keys() | after.keys()):
            yield from _walk((*path, name), before.get(name), after.get(name))
    elif _has_names(before) and _has_names(after):
        yield from _walk(path, _by_name(before), _by_name(after))
    else:
        yield Difference(".".join(path), before, after)


def _has_names(value: Any) -> bool:
    """Tell whether a list is one of things with different names, such as features."""
    if not isinstance(value, list) or not value:
        return False
    names = [one.get("name") for one in value if isinstance(one, Mapping)]
    return len(names) == len(value) == len(set(map(str, names))) and all(names)


def _by_name(value: list[dict[str, Any]]) -> dict[str, Any]:
    """Turn a list of named things around; their order counts as well."""
    named: dict[str, Any] = {one["name"]: one for one in value}
    return {**named, "(order)": [one["name"] for one in value]}


def _shown(value: Any) -> str:
    text = "nothing" if value in (None, "", [], {}) else str(value)
    return text if len(text) <= 80 else f"{text[:77]}..."
