"""Alert settings: what holds for a model, and how it is changed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from django.utils import timezone

from governance.actions import policies, registry, subjects
from governance.actions.audit import Actor, deed, record
from governance.decision import Thresholds
from governance.exceptions import ApprovalRequiredError, InvalidError, fault
from governance.models import ApprovalRequest, ModelVersion, RegisteredModel
from monitoring.alerting.settings import AlertSettings
from monitoring.models import AlertConfig

if TYPE_CHECKING:
    # A web process loads the algorithms only to read settings.
    from monitoring.alerting.strictness import Looser


def of(model: RegisteredModel) -> AlertSettings:
    """Return the alert settings of a model, the defaults if none were ever set."""
    config = config_of(model)
    return AlertSettings() if config is None else config.settings


def in_force(version: ModelVersion, policy: Thresholds) -> AlertSettings:
    """Return the settings that hold for a version.

    They are the model's; once it is approved, nothing in them is looser than the policy
    and they can't be switched off, whatever was set before.
    """
    from monitoring.alerting import strictness

    own = of(version.model)
    if version.status not in registry.APPROVED:
        return own
    return replace(strictness.in_force(own, policy), enabled=True)


def config_of(model: RegisteredModel) -> AlertConfig | None:
    """Return the row of a model's settings, None if none were ever set."""
    return AlertConfig.objects.filter(model=model).first()


def policy_of(model: RegisteredModel) -> Thresholds:
    """Return the limits of the policy that holds for a model."""
    return policies.thresholds_for(model)


def read(content: Mapping[str, object]) -> AlertSettings:
    """Return the settings that a client's JSON describes; raises InvalidError."""
    from monitoring.alerting import reading

    try:
        return reading.read(content)
    except reading.AlertSettingsError as error:
        faults = [
            fault(*one.loc, code=one.code, detail=one.detail) for one in error.errors
        ]
        raise InvalidError(errors=faults) from None


def thresholds(policy: Thresholds) -> dict[str, tuple[float, float] | None]:
    """Return warning and alert threshold of each algorithm where nothing is set.

    They are the policy's, of the others the registry's; None: never judged.
    """
    from monitoring.detectors import DETECTORS

    found = {name: one.thresholds for name, one in DETECTORS.items()}
    return found | {
        name: (limits.mild, limits.serious)
        for name, limits in policy.algorithms.items()
        if name in DETECTORS
    }


@deed
def change(
    model: RegisteredModel,
    *,
    settings: AlertSettings,
    under: ApprovalRequest | None = None,
    actor: Actor | None,
) -> AlertConfig:
    """Replace a model's alert settings; nothing happens if they say the same.

    Once a version is approved, settings that are looser than the present ones, or than
    the policy, take an approved request: ApprovalRequiredError.
    """
    subjects.lock(model.pk)
    model = RegisteredModel.objects.select_for_update(of=("self",)).get(pk=model.pk)
    config = config_of(model)
    before = AlertSettings() if config is None else config.settings
    if config is not None and settings == before:
        return config
    _refuse_looser(model, settings, before, under)
    if config is None:
        config = AlertConfig(organization_id=model.organization_id, model=model)
    config.settings = settings
    config.updated_by_id = actor.user_id if actor else None
    config.updated_at = timezone.now()
    config.save()
    earlier, later = before.to_json(), settings.to_json()
    changed = {name for name in later if later[name] != earlier[name]}
    record(
        model.organization_id,
        actor=actor,
        action="alerts.changed",
        object=model,
        before={name: earlier[name] for name in sorted(changed)},
        after={name: later[name] for name in sorted(changed)},
        approval_id=under.pk if under else None,
    )
    return config


def _refuse_looser(
    model: RegisteredModel,
    new: AlertSettings,
    old: AlertSettings,
    under: ApprovalRequest | None,
) -> None:
    versions = ModelVersion.objects.filter(model=model)
    if not versions.filter(status__in=registry.APPROVED).exists():
        return
    found = looser(model, new, old)
    if not found:
        return
    try:
        registry.require_change(versions, {"alerts": new.to_json()}, under)
    except ApprovalRequiredError as error:
        faults = [fault(*one.loc, code="looser", detail=one.detail) for one in found]
        raise ApprovalRequiredError(
            f"Looser alert settings: {error.detail}", errors=faults, extra=error.extra
        ) from None


def read_change(
    model: RegisteredModel, version: ModelVersion | None, value: object
) -> dict[str, Any]:
    """Read the alert settings of a change request (`changes.KINDS`)."""
    if not isinstance(value, Mapping):
        raise ValueError("expected the alert settings as an object")
    from monitoring.alerting import strictness

    settings, policy = read(value), policy_of(model)
    demanded = strictness.demanded(policy)
    if found := strictness.looser(settings, demanded, thresholds(policy)):
        raise InvalidError(
            "Alerts are never looser than the policy; change the policy.",
            errors=[
                fault("changes", "alerts", *one.loc, code="looser", detail=one.detail)
                for one in found
            ],
        )
    return settings.to_json()


def apply_change(
    request: ApprovalRequest, value: Mapping[str, Any], actor: Actor | None
) -> None:
    """Put the alert settings of an approved change request into force."""
    model = RegisteredModel.objects.get(requests=request)
    change(model, settings=read(value), under=request, actor=actor)


def looser(
    model: RegisteredModel, new: AlertSettings, old: AlertSettings
) -> list[Looser]:
    """Return what would be looser than it is, or would become looser than the policy.

    What is looser than the policy already, and stays as it is, is no change.
    """
    from monitoring.alerting import strictness

    policy = policy_of(model)
    defaults = thresholds(policy)
    demanded = strictness.demanded(policy)
    than_policy = [
        one
        for one in strictness.looser(new, demanded, defaults)
        if one not in strictness.looser(old, demanded, defaults)
    ]
    than_now = strictness.looser(new, old, defaults)
    return list(dict.fromkeys([*than_now, *than_policy]))
