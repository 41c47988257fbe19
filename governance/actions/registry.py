"""The registered models and their versions."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any, NamedTuple

from django.db import IntegrityError, models, transaction
from django.db.models import Q
from django.utils import timezone
from django.utils.text import slugify

from governance.actions import (
    audit,
    authority,
    endings,
    findings,
    lifecycles,
    subjects,
)
from governance.actions.audit import Actor, deed, record
from governance.exceptions import (
    AlreadyExistsError,
    ApprovalRequiredError,
    ConflictError,
    InvalidError,
    PermissionDeniedError,
    fault,
)
from governance.models import (
    ApprovalRequest,
    Assessment,
    Finding,
    ModelVersion,
    Organization,
    RegisteredModel,
    User,
)
from governance.schema import Schema

Status = ModelVersion.Status

APPROVED = (Status.APPROVED, Status.DEPLOYED, Status.SUSPENDED)


class Part(NamedTuple):
    """What another app keeps of a version, and may be handed over with it.

    `prepare` takes the version's schema, its name and what was sent, and may take long;
    `keep` stores what came of it, in the transaction in which the version is made.
    """

    prepare: Callable[[Schema, str, Any], Any]
    keep: Callable[[ModelVersion, Any, Actor], None]


# By the name of the field in the request.
PARTS: dict[str, Part] = {}
# Traffic can name anything; a client with a bug must not fill the registry.
MOST_UNREGISTERED = 100


@dataclass(frozen=True, slots=True)
class Registration:
    """What is said of a model and one version of it when they are registered."""

    name: str
    version: str
    schema: Schema | None = None
    model_fields: Mapping[str, Any] = field(default_factory=dict)
    version_fields: Mapping[str, Any] = field(default_factory=dict)
    # As `prepare` leaves them.
    parts: Mapping[str, Any] = field(default_factory=dict)


def prepare(organization: Organization, registration: Registration) -> Registration:
    """Do what takes long about the parts, which belongs outside of any transaction.

    Raises AlreadyExistsError where `register` would, and whatever is wrong with a part.
    """
    if not registration.parts:
        return registration
    model, schema = _named(organization, registration.name), registration.schema
    if model is not None:
        _refuse_known(model, registration.version)
        newest = model.versions.first()
        schema = schema or (newest.schema if newest else None)
    prepared = {
        name: PARTS[name].prepare(schema or Schema(), registration.version, value)
        for name, value in registration.parts.items()
    }
    return replace(registration, parts=prepared)


@deed
def register(
    organization: Organization, registration: Registration, *, actor: Actor
) -> ModelVersion:
    """Register a version of the model with this name, and the model if it is new.

    For a known model, `model_fields` that differ change it. A version without a schema
    takes over that of the newest version. `parts`, as `prepare` left them, go to
    whoever keeps them. Raises AlreadyExistsError if model and version are both known.
    """
    name, changes = registration.name, dict(registration.model_fields)
    model = _named(organization, name)
    if model is None:
        model = _insert_model(organization, name, changes, actor=actor)
    if model is None:  # another request made it in between
        model = RegisteredModel.objects.for_organization(organization).get(name=name)
    changes.pop("description", None)
    update(model, changes=changes, actor=actor)
    added = add_version(
        model,
        version=registration.version,
        schema=registration.schema,
        fields=registration.version_fields,
        actor=actor,
    )
    for part, value in registration.parts.items():
        PARTS[part].keep(added, value, actor)
    return added


def _named(organization: Organization, name: str) -> RegisteredModel | None:
    return (
        RegisteredModel.objects.for_organization(organization).filter(name=name).first()
    )


def _insert_model(
    organization: Organization, name: str, fields: dict[str, Any], *, actor: Actor
) -> RegisteredModel | None:
    """Return the new model under the first free slug, or None if the name is taken."""
    base = slug_of(name)
    slug = base
    author = author_of(actor)
    owner = fields.pop("owner", None) or User.objects.get(pk=author)
    while True:
        try:
            with transaction.atomic():
                model = RegisteredModel.objects.create(
                    organization=organization,
                    name=name,
                    slug=slug,
                    owner=owner,
                    created_by_id=author,
                    **fields,
                )
        except IntegrityError:
            if _named(organization, name) is not None:
                return None
            slug = f"{base}-{secrets.token_hex(3)}"
        else:
            break
    record(
        organization,
        actor=actor,
        action="model.registered",
        object=model,
        after={"name": name, "slug": slug, "owner": owner.email, **fields},
    )
    return model


def author_of(actor: Actor) -> int:
    """Return the person behind an actor: what is registered has an author."""
    if actor.user_id is None:
        raise PermissionDeniedError(
            "A model is registered by a person or by their key."
        )
    return actor.user_id


def slug_of(name: str) -> str:
    """Return a slug with at least one letter, so that it never looks like an id."""
    slug = slugify(name)[:100].strip("-")
    if any(character.isalpha() for character in slug):
        return slug
    return f"model-{slug}".rstrip("-")


@deed
def add_version(
    model: RegisteredModel,
    *,
    version: str,
    schema: Schema | None = None,
    fields: Mapping[str, Any] | None = None,
    actor: Actor,
) -> ModelVersion:
    """Add a version as a draft, not assessed yet. Raises AlreadyExistsError.

    One that traffic named before anybody registered it becomes a draft.
    """
    model = RegisteredModel.objects.select_for_update(of=("self",)).get(pk=model.pk)
    values = {
        **(fields or {}),
        "created_by_id": author_of(actor),
        **authority.editor(actor),
    }
    known = _refuse_known(model, version)
    if schema is None:
        newest = model.versions.first()
        schema = newest.schema if newest else Schema()
    if known is None:
        made = _insert_version(model, version, Status.DRAFT, schema, **values)
    else:
        made = known
        for name, value in values.items():
            setattr(made, name, value)
        made.status, made.schema_definition = Status.DRAFT, schema.to_json()
        made.__dict__.pop("schema", None)
        made.save()
    record(
        model.organization_id,
        actor=actor,
        action="version.registered",
        object=made,
        after={"version": version, "schema": schema.to_json(), **(fields or {})},
    )
    return made


def _refuse_known(model: RegisteredModel, version: str) -> ModelVersion | None:
    """Return the version if only traffic has named it yet, None if it is new."""
    known = model.versions.filter(version=version).first()
    if known is not None and known.status != Status.UNREGISTERED:
        raise AlreadyExistsError(
            f"{model.name!r} has a version {version!r} already.",
            extra={"model_id": model.pk, "next": "Register it under a new version."},
        )
    return known


def _insert_version(
    model: RegisteredModel, name: str, status: str, schema: Schema, **fields: Any
) -> ModelVersion:
    before = model.versions.exclude(baseline_ref="").order_by("-pk").first()
    version = ModelVersion.objects.create(
        organization_id=model.organization_id,
        model=model,
        version=name,
        status=status,
        schema_definition=schema.to_json(),
        # Until it is given one of its own.
        baseline_ref=before.baseline_ref if before else "",
        baseline_kind="inherited" if before else "",
        baseline_labelled=before.baseline_labelled if before else False,
        **fields,
    )
    Assessment.objects.create(organization_id=model.organization_id, version=version)
    if model.current_version_id is None:
        model.current_version = version
        model.save(update_fields=["current_version"])
    return version


@deed
def update(
    model: RegisteredModel,
    *,
    changes: Mapping[str, Any],
    under: ApprovalRequest | None = None,
    actor: Actor | None,
) -> RegisteredModel:
    """Change what differs of a model's own fields.

    Once a version is approved, the fields that its approval rests on change only under
    an approved request: else ApprovalRequiredError. A name that another model has:
    AlreadyExistsError.
    """
    subjects.lock(model.pk)
    model = RegisteredModel.objects.select_for_update(of=("self",)).get(pk=model.pk)
    differing = {
        name: value for name, value in changes.items() if getattr(model, name) != value
    }
    if not differing:
        return model
    guarded = _guarded(model, differing)
    if guarded:
        require_change(model.versions.all(), guarded, under)
    before = {name: _told(getattr(model, name)) for name in differing}
    edited = authority.editor(actor, under) if guarded else {}
    for name, value in {**differing, **edited}.items():
        setattr(model, name, value)
    try:
        with transaction.atomic():
            model.save(update_fields=[*differing, *edited])
    except IntegrityError:
        raise AlreadyExistsError("Another model has this name.") from None
    record(
        model.organization_id,
        actor=actor,
        action="model.changed",
        object=model,
        before=before,
        after={name: _told(value) for name, value in differing.items()},
        approval_id=under.pk if under else None,
    )
    if guarded:
        endings.void_stale(
            model.organization_id, model_id=model.pk, sparing=under, actor=None
        )
    return model


def _guarded(model: RegisteredModel, differing: Mapping[str, Any]) -> dict[str, Any]:
    """Return what of a change an approval rests on, as `changes` spells it."""
    found: dict[str, Any] = {}
    if "risk_tier" in differing:
        found["risk_tier"] = differing["risk_tier"]
    if differing.keys() & {"label_horizon_min", "label_horizon_max"}:
        bounds = {
            name: differing.get(f"label_horizon_{name}", before)
            for name, before in (
                ("min", model.label_horizon_min),
                ("max", model.label_horizon_max),
            )
        }
        found["label_horizon"] = {
            name: None if bound is None else bound.total_seconds()
            for name, bound in bounds.items()
        }
    return found


def _told(value: Any) -> Any:
    return value.email if isinstance(value, User) else value


@deed
def change_schema(
    version: ModelVersion,
    *,
    schema: Schema,
    under: ApprovalRequest | None = None,
    actor: Actor | None,
) -> ModelVersion:
    """Replace a version's schema; nothing happens if it says the same.

    Once the version is approved, that takes an approved request: ApprovalRequiredError.
    """
    subjects.lock(version.model_id)
    version = ModelVersion.objects.select_for_update(of=("self",)).get(pk=version.pk)
    before, after = version.schema.to_json(), schema.to_json()
    changed = {name for name in after if after[name] != before[name]}
    if not changed:
        return version
    require_change(ModelVersion.objects.filter(pk=version.pk), {"schema": after}, under)
    version.schema_definition = after
    version.__dict__.pop("schema", None)
    edited = authority.editor(actor, under)
    for name, value in edited.items():
        setattr(version, name, value)
    version.save(update_fields=["schema_definition", *edited])
    record(
        version.organization_id,
        actor=actor,
        action="version.schema_changed",
        object=version,
        before={name: before[name] for name in changed},
        after={name: after[name] for name in changed},
        approval_id=under.pk if under else None,
    )
    endings.void_stale(
        version.organization_id, model_id=version.model_id, sparing=under, actor=None
    )
    return version


@deed
def note_baseline(
    version: ModelVersion,
    *,
    ref: str,
    kind: str,
    is_labelled: bool = False,
    under: ApprovalRequest | None = None,
    actor: Actor | None,
) -> ModelVersion:
    """Note which baseline a version is measured against, as monitoring says.

    `ref` is its public id, `kind` given, inherited or provisional; a provisional one
    comes by itself and is no part of an approval. One that `is_labelled` has
    predictions with their outcomes. Once the version is approved with another one,
    that takes an approved request: ApprovalRequiredError.
    """
    subjects.lock(version.model_id)
    version = ModelVersion.objects.select_for_update(of=("self",)).get(pk=version.pk)
    bound = "" if kind == "provisional" else ref
    known = version.baseline_ref, version.baseline_kind, version.baseline_labelled
    if known == (bound, kind, is_labelled):
        return version
    before = {"baseline": version.baseline_ref, "kind": version.baseline_kind}
    changed: dict[str, Any] = {
        "baseline_ref": bound,
        "baseline_kind": kind,
        "baseline_labelled": is_labelled,
    }
    if version.baseline_ref != bound:
        if version.baseline_ref or version.approved_subjects.exists():
            own = ModelVersion.objects.filter(pk=version.pk)
            require_change(own, {"baseline": bound}, under)
        changed |= authority.editor(actor, under)
    for name, value in changed.items():
        setattr(version, name, value)
    version.save(update_fields=list(changed))
    record(
        version.organization_id,
        actor=actor,
        action="version.baseline_changed",
        object=version,
        before=before,
        after={"baseline": bound, "kind": kind, "labelled": is_labelled},
        approval_id=under.pk if under else None,
    )
    endings.void_stale(
        version.organization_id, model_id=version.model_id, sparing=under, actor=None
    )
    return version


def require_change(
    versions: models.QuerySet[ModelVersion],
    wanted: Mapping[str, Any],
    under: ApprovalRequest | None,
) -> None:
    """Refuse a change of what an approval rests on, unless a request for it is applied.

    `wanted` has the new values under the names of `changes.KINDS`. Raises
    ApprovalRequiredError, which says how to ask for the change, if one of the versions
    is approved.
    """
    version = versions.filter(status__in=APPROVED).select_related("model").first()
    if version is None or (under is not None and _covers(under, version, wanted)):
        return
    listed = ", ".join(sorted(wanted))
    raise ApprovalRequiredError(
        f"Version {version.version} is approved; {listed} can be changed only through "
        "an approved change request.",
        extra={
            "next": "Ask for it with POST /api/approvals, or register the change as a "
            "new version.",
            "change_request": {
                "kind": ApprovalRequest.Kind.CHANGE.value,
                "model_id": version.model.slug,
                "version": version.version,
                "changes": audit.plain(wanted),
            },
        },
    )


def _covers(
    request: ApprovalRequest, version: ModelVersion, wanted: Mapping[str, Any]
) -> bool:
    """Tell whether an approved request, not applied before, is for just this."""
    approved = ApprovalRequest.objects.filter(
        pk=request.pk,
        kind=ApprovalRequest.Kind.CHANGE,
        status=ApprovalRequest.Status.APPROVED,
        model=version.model_id,
    ).first()
    return approved is not None and all(
        name in approved.proposal and approved.proposal[name] == value
        for name, value in audit.plain(wanted).items()
    )


@deed
def note_approval(version: ModelVersion, *, actor: Actor | None) -> None:
    """Note that a version is approved: it may be deployed from now on.

    One that is in production, or suspended there, stays so. The database wants an
    applied request behind it.
    """
    before = version.status
    if before in {Status.DEPLOYED, Status.SUSPENDED}:
        return
    version.status = Status.APPROVED
    version.save(update_fields=["status"])
    record(
        version.organization_id,
        actor=actor,
        action="version.approved",
        object=version,
        before={"status": before},
        after={"status": version.status},
    )


@deed
def retire(
    model: RegisteredModel, *, under: ApprovalRequest, actor: Actor | None
) -> RegisteredModel:
    """Retire a model for good, under a request that is being applied."""
    is_granted = (
        under.kind == ApprovalRequest.Kind.RETIRE
        and under.status == ApprovalRequest.Status.APPROVED
        and under.model_id == model.pk
    )
    if not is_granted:
        raise ConflictError("A model is retired by an approved request only.")
    model.versions.filter(status__in=APPROVED).update(status=Status.RETIRED)
    model.retired_at = timezone.now()
    model.save(update_fields=["retired_at"])
    record(
        model.organization_id,
        actor=actor,
        action="model.retired",
        object=model,
        reason=under.reason,
        approval_id=under.pk,
    )
    return model


@deed
def unregistered_version(model: RegisteredModel, name: str) -> ModelVersion:
    """Return the version that traffic named, making it `unregistered` if it is unknown.

    It has the schema of the newest version, and a finding that asks for it to be
    registered. Raises InvalidError if too many came up already.
    """
    known = model.versions.filter(version=name).first()
    if known is not None:
        return known
    model = RegisteredModel.objects.select_for_update(of=("self",)).get(pk=model.pk)
    known = model.versions.filter(version=name).first()
    if known is not None:
        return known
    unregistered = model.versions.filter(status=Status.UNREGISTERED)
    is_name = 0 < len(name) <= 100 and name.isprintable() and not name.isspace()
    if not is_name or unregistered.count() >= MOST_UNREGISTERED:
        raise InvalidError(
            "This version is not registered.",
            errors=[fault("model_version", code="unknown_version", detail=name[:100])],
        )
    newest = model.versions.exclude(status=Status.UNREGISTERED).first()
    version = _insert_version(
        model,
        name,
        Status.UNREGISTERED,
        newest.schema if newest else Schema(),
        created_by_id=model.owner_id,
    )
    record(
        model.organization_id,
        actor=None,
        action="version.appeared",
        object=version,
        after={"version": name},
        reason="Predictions named a version that nobody had registered.",
    )
    findings.open_finding(
        version,
        cause="unregistered_version",
        severity=Finding.Severity.MEDIUM,
        title=f"Predictions of version {name}, which is not registered",
        detail={"version": name},
        actor=None,
    )
    return version


def note_traffic(version: ModelVersion, at: datetime) -> None:
    """Note that predictions of this version arrived, the newest of this time.

    The model shows its deployed version, otherwise the newest one with traffic. Rows,
    not a decision: the trail isn't told.
    """
    is_newer = Q(last_prediction_at=None) | Q(last_prediction_at__lt=at)
    ModelVersion.objects.filter(is_newer, pk=version.pk).update(last_prediction_at=at)
    lifecycles.show(version.model_id)
