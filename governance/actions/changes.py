"""Changes of what an approval rests on: each takes an approved request.

Other apps add the kinds whose values they keep, such as the active baseline.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from governance.actions import registry
from governance.actions.audit import Actor, deed, record
from governance.exceptions import FieldFault, InvalidError, fault
from governance.models import ApprovalRequest, ModelVersion, RegisteredModel
from governance.schema import Schema
from governance.schema.features import SchemaError

Read = Callable[[RegisteredModel, ModelVersion | None, Any], Any]
Apply = Callable[[ApprovalRequest, Any, Actor | None], None]


@dataclass(frozen=True, slots=True)
class Kind:
    """A thing that may be changed: how its new value is read, and put into force.

    `read` returns the value as plain JSON, in one spelling, or raises InvalidError or
    ValueError. `apply` runs a deed with `under=request`.
    """

    read: Read
    apply: Apply
    needs_version: bool = False


def _tier(model: RegisteredModel, version: ModelVersion | None, value: Any) -> str:
    if value not in RegisteredModel.RiskTier.values:
        raise ValueError(
            f"expected one of {', '.join(RegisteredModel.RiskTier.values)}"
        )
    if value == model.risk_tier:
        raise ValueError(f"it is {value} already")
    return str(value)


def _apply_tier(request: ApprovalRequest, value: Any, actor: Actor | None) -> None:
    _update(request, {"risk_tier": value}, actor)


def _horizon(
    model: RegisteredModel, version: ModelVersion | None, value: Any
) -> dict[str, float | None]:
    """Read {"min", "max"} in seconds; null is no bound."""
    if not isinstance(value, Mapping) or set(value) - {"min", "max"}:
        raise ValueError('expected an object {"min", "max"} in seconds')
    found: dict[str, float | None] = {}
    for name in ("min", "max"):
        seconds = value.get(name)
        is_number = isinstance(seconds, int | float) and not isinstance(seconds, bool)
        if seconds is not None and not (is_number and 0 <= seconds <= 10 * 366 * 86400):
            raise ValueError(f"{name}: expected seconds, at most ten years")
        found[name] = None if seconds is None else float(seconds)
    low, high = found["min"] or 0.0, found["max"]
    if high is not None and high <= low:
        raise ValueError("expected min below max")
    return found


def _apply_horizon(request: ApprovalRequest, value: Any, actor: Actor | None) -> None:
    bounds = {
        f"label_horizon_{name}": None if seconds is None else timedelta(seconds=seconds)
        for name, seconds in value.items()
    }
    _update(request, bounds, actor)


def _update(
    request: ApprovalRequest, values: Mapping[str, Any], actor: Actor | None
) -> None:
    model = RegisteredModel.objects.get(requests=request)
    registry.update(model, changes=values, under=request, actor=actor)


def _schema(
    model: RegisteredModel, version: ModelVersion | None, value: Any
) -> dict[str, Any]:
    try:
        schema = Schema.from_json(value)
    except SchemaError as error:
        raise InvalidError(
            errors=[
                fault("changes", "schema", *one.loc, code=one.code, detail=one.detail)
                for one in error.errors
            ]
        ) from None
    if version is not None and schema.to_json() == version.schema.to_json():
        raise ValueError("the schema says the same already")
    return schema.to_json()


def _apply_schema(request: ApprovalRequest, value: Any, actor: Actor | None) -> None:
    version = ModelVersion.objects.get(requests=request)
    registry.change_schema(
        version, schema=Schema.from_json(value), under=request, actor=actor
    )


KINDS: dict[str, Kind] = {
    "risk_tier": Kind(_tier, _apply_tier),
    "label_horizon": Kind(_horizon, _apply_horizon),
    # Features with their importances, protected attributes, and the schema mode.
    "schema": Kind(_schema, _apply_schema, needs_version=True),
}


def read(
    model: RegisteredModel, version: ModelVersion | None, wanted: Mapping[str, Any]
) -> dict[str, Any]:
    """Return the wanted changes as they will be stored; InvalidError has all faults."""
    errors: list[FieldFault] = []
    found: dict[str, Any] = {}
    for name, value in wanted.items():
        kind = KINDS.get(name)
        if kind is None:
            known = ", ".join(sorted(KINDS))
            errors.append(
                fault("changes", name, code="unknown_field", detail=f"known: {known}")
            )
        elif kind.needs_version and version is None:
            detail = "this is changed for one version; name it"
            errors.append(fault("version", code="missing", detail=detail))
        else:
            try:
                found[name] = kind.read(model, version, value)
            except InvalidError as error:
                errors += error.errors
            except ValueError as error:
                errors.append(fault("changes", name, code="invalid", detail=str(error)))
    if not wanted:
        errors.append(fault("changes", code="missing", detail="name what to change"))
    if errors:
        raise InvalidError(errors=errors)
    return found


@deed
def apply(request: ApprovalRequest, *, actor: Actor | None) -> None:
    """Put the changes of an approved request into force; each does its own checks."""
    for name, value in request.proposal.items():
        KINDS[name].apply(request, value, actor)
    record(
        request.organization_id,
        actor=actor,
        action="approval.change_applied",
        object=request,
        after=request.proposal,
        approval_id=request.pk,
    )
