"""What an override may pass, for how long, and who may grant it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.utils import timezone

from governance.actions import policies
from governance.actions.gate import Asked
from governance.decision import OverrideLimit, Thresholds
from governance.decision.gate import RULES, level_of
from governance.decision.levels import Level
from governance.exceptions import FieldFault, InvalidError, fault
from governance.models import ModelVersion, Override
from governance.models.overrides import SHORTEST_JUSTIFICATION


@dataclass(frozen=True, slots=True)
class Terms:
    """What somebody asks for: which rules, why, from when until when."""

    rules: Sequence[str]
    justification: str
    expires_at: datetime | None = None  # None: as long as the policy allows
    starts_at: datetime | None = None  # None: at once
    is_justified: bool = True  # by whoever asks, not in words of ours


def limit_of(asked: Asked) -> timedelta:
    """Return how long an override may last in the model's tier."""
    limits = asked.policy.thresholds.controls.overrides
    return timedelta(hours=_of_tier(limits, asked.version).maximum_hours)


def approver_roles(override: Override) -> tuple[str, ...]:
    """Return the roles that may grant it, by the policy in force now."""
    policy = policies.in_force_for(override.version.model)
    limits = policy.thresholds.controls.overrides
    return _of_tier(limits, override.version).roles


def _of_tier(limits: object, version: ModelVersion) -> OverrideLimit:
    by_tier: dict[str, OverrideLimit] = dict(limits)  # type: ignore[call-overload]
    return by_tier[version.model.effective_risk_tier]


def check_rules(rules: Sequence[str], policy: Thresholds) -> list[str]:
    """Return the rules, each once; raise InvalidError for any that isn't soft."""
    names = list(dict.fromkeys(rules))
    errors = list(_rule_faults(names, policy))
    if not names:
        errors.append(fault("rules", code="too_few", detail="name at least one rule"))
    if errors:
        raise InvalidError(errors=errors)
    return names


def _rule_faults(names: Iterable[str], policy: Thresholds) -> Iterable[FieldFault]:
    for place, name in enumerate(names):
        if name not in RULES:
            detail = f"is none of {', '.join(RULES)}"
            yield fault("rules", place, code="unknown_rule", detail=detail)
        elif level_of(name, policy) is not Level.SOFT:
            detail = f"{name} is {level_of(name, policy).value}, not soft"
            yield fault("rules", place, code="not_soft", detail=detail)


def check_justification(text: str, *, where: str = "justification") -> None:
    """Raise InvalidError for a text that says too little."""
    if len(text.strip()) < SHORTEST_JUSTIFICATION:
        detail = f"at least {SHORTEST_JUSTIFICATION} characters"
        raise InvalidError(errors=[fault(where, code="too_short", detail=detail)])


def check_span(
    starts_at: datetime | None, expires_at: datetime, longest: timedelta
) -> None:
    """Raise InvalidError for an end that has passed, or lies beyond the limit."""
    start = max(starts_at or timezone.now(), timezone.now())
    detail = ""
    if expires_at <= start:
        detail = "lies before its start" if starts_at else "has passed"
    elif expires_at - start > longest:
        hours = longest / timedelta(hours=1)
        detail = f"the policy allows at most {hours:g} hours in this tier"
    if detail:
        raise InvalidError(errors=[fault("expires_at", code="range", detail=detail)])
