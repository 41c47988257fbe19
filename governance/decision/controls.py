"""The part of a policy about people: who decides, how long, and what happens then."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from governance.decision.levels import Level

TIERS = ("high", "medium", "low")
ROLES = ("owner", "model_owner", "validator", "compliance_officer", "auditor")
VOTING_ROLES = ("validator", "compliance_officer")
ENVIRONMENTS = ("production", "staging", "development")
LONGEST_BREAK_GLASS_HOURS = 8.0
LONGEST_RATIFICATION_HOURS = 24.0

# What the gate asks besides the rules on measurements.
GATE_RULE_NAMES: Mapping[str, str] = {
    "approval": "the version is approved as it is now",
    "baseline": "a baseline that was given is active",
    "index": "the risk index is below the limit of blocked",
    "assessed": "the health is assessed",
    "evaluation_age": "the latest evaluation is recent enough",
    "critical_findings": "no critical finding is open",
    "revalidation": "the periodic re-validation is not overdue",
    "tier": "the model's risk tier is set",
}


class Mode(StrEnum):
    """What a closed gate does in an environment."""

    PREVENT = "prevent"
    WARN = "warn"
    OBSERVE = "observe"  # until a date; it shows what it would have blocked


class Reaction(StrEnum):
    """What BLOCKED does to a deployed version."""

    NOTIFY = "notify"
    PAGE = "page"
    SUSPEND = "suspend"


@dataclass(frozen=True, slots=True)
class Stage:
    """One step of an approval: how many of whom, and by when."""

    role: str = ""  # or else the people
    people: tuple[str, ...] = ()  # e-mail addresses
    quorum: int = 1
    sla_hours: float = 72.0  # from when the stage opens
    escalate_to: str = "owner"  # the role that hears of it when the time is over

    def to_json(self) -> dict[str, Any]:
        """Return the stage as the policy's content has it."""
        who = {"role": self.role} if self.role else {"people": list(self.people)}
        return {
            **who,
            "quorum": self.quorum,
            "sla_hours": self.sla_hours,
            "escalate_to": self.escalate_to,
        }


@dataclass(frozen=True, slots=True)
class AutoApproval:
    """Whether the system may approve what has a low risk."""

    enabled: bool = False
    tiers: tuple[str, ...] = ("low",)
    maximum_risk: float = 20.0  # risk index, inclusive

    def to_json(self) -> dict[str, Any]:
        """Return the setting as the policy's content has it."""
        return {
            "enabled": self.enabled,
            "tiers": list(self.tiers),
            "maximum_risk": self.maximum_risk,
        }


@dataclass(frozen=True, slots=True)
class OverrideLimit:
    """How long an override may last in a tier, and who may approve it."""

    maximum_hours: float
    roles: tuple[str, ...] = ("compliance_officer",)

    def to_json(self) -> dict[str, Any]:
        """Return the limit as the policy's content has it."""
        return {"maximum_hours": self.maximum_hours, "roles": list(self.roles)}


@dataclass(frozen=True, slots=True)
class Blocked:
    """What BLOCKED does in a tier; a suspension comes after so many evaluations."""

    action: Reaction = Reaction.NOTIFY
    after_evaluations: int = 1  # consecutive ones that find BLOCKED

    def to_json(self) -> dict[str, Any]:
        """Return the reaction as the policy's content has it."""
        return {
            "action": self.action.value,
            "after_evaluations": self.after_evaluations,
        }


@dataclass(frozen=True, slots=True)
class BreakGlass:
    """Whether one person alone may open the gate in an emergency."""

    allowed: bool = False
    maximum_hours: float = LONGEST_BREAK_GLASS_HOURS
    ratify_hours: float = LONGEST_RATIFICATION_HOURS

    def to_json(self) -> dict[str, Any]:
        """Return the setting as the policy's content has it."""
        return {
            "allowed": self.allowed,
            "maximum_hours": self.maximum_hours,
            "ratify_hours": self.ratify_hours,
        }


@dataclass(frozen=True, slots=True)
class GateMode:
    """The gate's mode in an environment; `until` is the end of `observe`."""

    mode: Mode = Mode.PREVENT
    until: str | None = None  # ISO 8601, UTC

    def to_json(self) -> dict[str, Any]:
        """Return the mode as the policy's content has it."""
        until = {} if self.until is None else {"until": self.until}
        return {"mode": self.mode.value, **until}


_DEFAULT_GATE: Mapping[str, Level] = {
    "approval": Level.HARD,
    "baseline": Level.HARD,
    "index": Level.SOFT,
    "assessed": Level.SOFT,
    "evaluation_age": Level.SOFT,
    "critical_findings": Level.SOFT,
    "revalidation": Level.SOFT,
    "tier": Level.ADVISORY,
}
_DEFAULT_EVALUATION_AGES: Mapping[str, float] = {
    "stream": 7 * 24.0,
    "hourly": 2 * 24.0,
    "daily": 7 * 24.0,
    "weekly": 21 * 24.0,
    "monthly": 62 * 24.0,
}
_DEFAULT_OVERRIDES: Mapping[str, OverrideLimit] = {
    "high": OverrideLimit(72.0),
    "medium": OverrideLimit(7 * 24.0),
    "low": OverrideLimit(14 * 24.0),
}
_DEFAULT_BLOCKED: Mapping[str, Blocked] = {
    "high": Blocked(Reaction.PAGE),
    "medium": Blocked(Reaction.NOTIFY),
    "low": Blocked(Reaction.NOTIFY),
}


def _copy(default: Mapping[str, Any]) -> Any:
    return field(default_factory=lambda: dict(default))


@dataclass(frozen=True, slots=True)
class Controls:
    """Everything in a policy that `governance.decision.decide` doesn't ask for."""

    # Which models keep this policy instead of the default one.
    tiers: tuple[str, ...] = ()
    models: tuple[str, ...] = ()  # slugs; goes before the tiers
    stages: tuple[Stage, ...] = (Stage(role="compliance_officer"),)
    approval_days: float = 14.0  # after that an undecided request expires
    auto_approval: AutoApproval = AutoApproval()
    gate: Mapping[str, Level] = _copy(_DEFAULT_GATE)
    evaluation_age_hours: Mapping[str, float] = _copy(_DEFAULT_EVALUATION_AGES)
    environments: Mapping[str, GateMode] = field(
        default_factory=lambda: {name: GateMode() for name in ENVIRONMENTS}
    )
    overrides: Mapping[str, OverrideLimit] = _copy(_DEFAULT_OVERRIDES)
    blocked: Mapping[str, Blocked] = _copy(_DEFAULT_BLOCKED)
    break_glass: BreakGlass = BreakGlass()
    revalidation_months: Mapping[str, int] = field(
        default_factory=lambda: {"high": 12, "medium": 18, "low": 24}
    )
    intake_days: Mapping[str, int] = field(
        default_factory=lambda: {"high": 30, "medium": 60, "low": 90}
    )

    def to_json(self) -> dict[str, Any]:
        """Return this part of a policy's content, complete."""
        return {
            "applies_to": {"tiers": list(self.tiers), "models": list(self.models)},
            "stages": [stage.to_json() for stage in self.stages],
            "approval_days": self.approval_days,
            "auto_approval": self.auto_approval.to_json(),
            "gate": {
                "rules": {name: level.value for name, level in self.gate.items()},
                "maximum_evaluation_age_hours": dict(self.evaluation_age_hours),
            },
            "environments": _all_json(self.environments),
            "overrides": _all_json(self.overrides),
            "blocked": _all_json(self.blocked),
            "break_glass": self.break_glass.to_json(),
            "revalidation_months": dict(self.revalidation_months),
            "intake_days": dict(self.intake_days),
        }


def _all_json(
    settings: Mapping[str, GateMode] | Mapping[str, OverrideLimit] | Mapping[str, Any],
) -> dict[str, Any]:
    return {name: one.to_json() for name, one in settings.items()}
