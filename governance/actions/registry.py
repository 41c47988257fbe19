"""The registered models and their versions."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from django.db import IntegrityError, transaction
from django.db.models import Q
from django.utils.text import slugify

from governance.actions import findings, subjects
from governance.actions.audit import Actor, deed, record
from governance.exceptions import (
    AlreadyExistsError,
    ApprovalRequiredError,
    InvalidError,
    PermissionDeniedError,
    fault,
)
from governance.models import (
    Assessment,
    Finding,
    ModelVersion,
    Organization,
    RegisteredModel,
    User,
)
from governance.schema import Schema

Status = ModelVersion.Status

# What may not change behind the back of those who approved a version.
GUARDED_FIELDS = {"risk_tier", "label_horizon_min", "label_horizon_max"}
APPROVED = (Status.APPROVED, Status.DEPLOYED, Status.SUSPENDED)
# What other apps keep of a model, and may be handed over with it: the name of the field
# in the request → what stores it, in the same transaction.
Part = Callable[[ModelVersion, Any, Actor], None]
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
    parts: Mapping[str, Any] = field(default_factory=dict)


@deed
def register(
    organization: Organization, registration: Registration, *, actor: Actor
) -> ModelVersion:
    """Register a version of the model with this name, and the model if it is new.

    For a known model, `model_fields` that differ change it. A version without a schema
    takes over that of the newest version. `parts` go to whoever keeps them. Raises
    AlreadyExistsError if model and version are both known.
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
        PARTS[part](added, value, actor)
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
    values = {**(fields or {}), "created_by_id": author_of(actor), **_edited(actor)}
    known = model.versions.filter(version=version).first()
    if known is not None and known.status != Status.UNREGISTERED:
        raise AlreadyExistsError(
            f"{model.name!r} has a version {version!r} already.",
            extra={"model_id": model.pk, "next": "Register it under a new version."},
        )
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
    actor: Actor | None,
) -> RegisteredModel:
    """Change what differs of a model's own fields.

    Once a version is approved, the fields that its approval rests on change only
    through an approved request: ApprovalRequiredError. A name that another model has:
    AlreadyExistsError.
    """
    subjects.lock(model.pk)
    model = RegisteredModel.objects.select_for_update(of=("self",)).get(pk=model.pk)
    differing = {
        name: value for name, value in changes.items() if getattr(model, name) != value
    }
    if not differing:
        return model
    if guarded := GUARDED_FIELDS & differing.keys():
        _refuse_if_approved(model.versions.filter(status__in=APPROVED), guarded)
    before = {name: _told(getattr(model, name)) for name in differing}
    edited = _edited(actor) if guarded else {}
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
    )
    return model


def _told(value: Any) -> Any:
    return value.email if isinstance(value, User) else value


def _edited(actor: Actor | None) -> dict[str, Any]:
    """Return who is the last editor, for four eyes; what the system does changes none.

    A key counts as its owner and its creator.
    """
    if actor is None or actor.user_id is None:
        return {}
    key = int(actor.id) if actor.type == "api_key" else None
    return {"edited_by_id": actor.user_id, "edited_with_id": key}


@deed
def change_schema(
    version: ModelVersion, *, schema: Schema, actor: Actor | None
) -> ModelVersion:
    """Replace a version's schema; nothing happens if it says the same.

    Raises ApprovalRequiredError once the version is approved.
    """
    subjects.lock(version.model_id)
    version = ModelVersion.objects.select_for_update(of=("self",)).get(pk=version.pk)
    before, after = version.schema.to_json(), schema.to_json()
    changed = {name for name in after if after[name] != before[name]}
    if not changed:
        return version
    _refuse_if_approved(
        ModelVersion.objects.filter(pk=version.pk, status__in=APPROVED), changed
    )
    version.schema_definition = after
    version.__dict__.pop("schema", None)
    edited = _edited(actor)
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
    )
    return version


@deed
def note_baseline(
    version: ModelVersion, *, ref: str, kind: str, actor: Actor | None
) -> ModelVersion:
    """Note which baseline a version is measured against, as monitoring says.

    `ref` is its public id, `kind` given, inherited or provisional; a provisional one
    comes by itself and is no part of an approval. Raises ApprovalRequiredError once
    the version is approved with another one.
    """
    subjects.lock(version.model_id)
    version = ModelVersion.objects.select_for_update(of=("self",)).get(pk=version.pk)
    bound = "" if kind == "provisional" else ref
    if (version.baseline_ref, version.baseline_kind) == (bound, kind):
        return version
    before = {"baseline": version.baseline_ref, "kind": version.baseline_kind}
    changed = {"baseline_ref": bound, "baseline_kind": kind}
    if version.baseline_ref != bound:
        approved = ModelVersion.objects.filter(pk=version.pk, status__in=APPROVED)
        if version.baseline_ref or version.approved_subjects.exists():
            _refuse_if_approved(approved, {"baseline"})
        changed |= _edited(actor)
    for name, value in changed.items():
        setattr(version, name, value)
    version.save(update_fields=list(changed))
    record(
        version.organization_id,
        actor=actor,
        action="version.baseline_changed",
        object=version,
        before=before,
        after={"baseline": bound, "kind": kind},
    )
    return version


def _refuse_if_approved(approved: Any, names: set[str]) -> None:
    version = approved.first()
    if version is None:
        return
    listed = ", ".join(sorted(names))
    raise ApprovalRequiredError(
        f"Version {version.version} is approved; {listed} can be changed only through "
        "an approved change request.",
        extra={"next": "Register the change as a new version."},
    )


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
    versions = ModelVersion.objects.filter(model=version.model_id)
    shown = (
        versions.filter(status=Status.DEPLOYED).first()
        or versions.exclude(last_prediction_at=None).first()
    )
    if shown is not None:
        RegisteredModel.objects.filter(pk=version.model_id).exclude(
            current_version=shown
        ).update(current_version=shown)
