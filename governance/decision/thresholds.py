"""The content of a policy version: limits, weights, rules, and the controls."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, ClassVar, Self

from governance.decision.controls import Controls
from governance.decision.controls_reading import ControlsReader
from governance.decision.levels import Level
from governance.reading import DescriptionError, Location


class PolicyError(DescriptionError):
    """The content of a policy is wrong."""

    code: ClassVar[str] = "policy"


class Effect(StrEnum):
    """The governance status that a failed rule brings about."""

    AT_RISK = "at_risk"
    BLOCK = "block"


@dataclass(frozen=True, slots=True)
class Rule:
    """One rule of the policy, as it is set."""

    level: Level
    effect: Effect

    def to_json(self) -> dict[str, Any]:
        """Return the rule as the policy's content has it."""
        return {"level": self.level.value, "effect": self.effect.value}


@dataclass(frozen=True, slots=True)
class Limits:
    """Two rising limits: the milder one and the one beyond which it is serious."""

    mild: float
    serious: float


RULE_NAMES: Mapping[str, str] = {
    "R1": "an important column in drift alert",
    "R2": "another column in drift alert",
    "R3": "the model's score in drift alert",
    "R4": "many columns in drift warning",
    "R5": "a drop of the primary metric",
    "R6": "a collapse of the primary metric",
    "R7": "a group below the fairness minimum",
}
_DEFAULT_RULES: Mapping[str, Rule] = {
    "R1": Rule(Level.HARD, Effect.BLOCK),
    "R2": Rule(Level.HARD, Effect.AT_RISK),
    "R3": Rule(Level.HARD, Effect.AT_RISK),
    "R4": Rule(Level.HARD, Effect.AT_RISK),
    "R5": Rule(Level.HARD, Effect.AT_RISK),
    "R6": Rule(Level.HARD, Effect.BLOCK),
    "R7": Rule(Level.SOFT, Effect.AT_RISK),
}
_DEFAULT_ALGORITHMS: Mapping[str, Limits] = {
    "psi": Limits(0.1, 0.25),
    "ks_test": Limits(0.1, 0.2),
    "chi_square": Limits(0.1, 0.2),
}
_DEFAULT_AGES: Mapping[str, float] = {
    "stream": 7 * 24.0,
    "hourly": 24.0,
    "daily": 3 * 24.0,
    "weekly": 14 * 24.0,
    "monthly": 45 * 24.0,
}


# What a policy may change without voiding a vote: none of it was voted on.
NOT_BINDING = frozenset(
    {
        "applies_to",
        "approval_days",
        "environments",
        "overrides",
        "blocked",
        "break_glass",
        "revalidation_months",
        "intake_days",
    }
)


@dataclass(frozen=True, slots=True)
class Thresholds:
    """The content of a policy: the limits by which `governance.decision` judges.

    What only people have to do with is in `controls`.
    """

    drift_weight: float = 0.6
    fairness_weight: float = 0.4
    index: Limits = Limits(50, 80)  # at risk from, blocked from
    algorithms: Mapping[str, Limits] = field(
        default_factory=lambda: dict(_DEFAULT_ALGORITHMS)
    )
    warning_share: float = 1 / 3  # of the measured columns
    fairness_minimum: float = 0.8  # the four-fifths rule
    absolute_drop: Limits = Limits(0.05, 0.10)
    relative_drop: Limits = Limits(0.15, 0.30)  # of errors, such as MAE
    label_maturity: float = 0.8  # share of labels from which a period is judged
    minimum_sample: int = 30  # rows
    maximum_age_hours: Mapping[str, float] = field(
        default_factory=lambda: dict(_DEFAULT_AGES)
    )
    evaluations: int = 2  # consecutive ones that change a status
    new_rows_share: float = 0.05  # new rows that make a new evaluation
    rules: Mapping[str, Rule] = field(default_factory=lambda: dict(_DEFAULT_RULES))
    controls: Controls = field(default_factory=Controls)

    def to_json(self) -> dict[str, Any]:
        """Return the content of a policy, complete."""
        return {
            "weights": {"drift": self.drift_weight, "fairness": self.fairness_weight},
            "index": _limits_json(self.index, "at_risk", "blocked"),
            "algorithms": {
                name: _limits_json(limits, "warning", "alert")
                for name, limits in self.algorithms.items()
            },
            "warning_share": self.warning_share,
            "fairness_minimum": self.fairness_minimum,
            "performance_drop": {
                "absolute": _limits_json(self.absolute_drop, "at_risk", "block"),
                "relative": _limits_json(self.relative_drop, "at_risk", "block"),
            },
            "label_maturity": self.label_maturity,
            "minimum_sample": self.minimum_sample,
            "maximum_age_hours": dict(self.maximum_age_hours),
            "evaluations": self.evaluations,
            "new_rows_share": self.new_rows_share,
            "rules": {name: rule.to_json() for name, rule in self.rules.items()},
            **self.controls.to_json(),
        }

    @property
    def binding(self) -> dict[str, Any]:
        """The part of the content that an approval rests on: rules and stages."""
        content = self.to_json()
        return {name: content[name] for name in content if name not in NOT_BINDING}

    @classmethod
    def from_json(cls, content: object) -> Self:
        """Read the content of a policy; what is absent has its default.

        Raises
        ------
        PolicyError
            With every fault of the content in `errors`.
        """
        reader = _ThresholdsReader(cls().to_json())
        values = reader.thresholds(content)
        if reader.errors:
            raise PolicyError(reader.errors)
        return cls(**values)


def _limits_json(limits: Limits, mild: str, serious: str) -> dict[str, float]:
    return {mild: limits.mild, serious: limits.serious}


class _ThresholdsReader(ControlsReader):
    def __init__(self, defaults: Mapping[str, Any]) -> None:
        super().__init__()
        self.defaults = defaults

    def thresholds(self, content: object) -> dict[str, Any]:
        """Return the arguments of `Thresholds`; of use only without `errors`."""
        given = self.mapping((), content)
        self.known((), given, self.defaults.keys())
        drift, fairness = self._weights(given)
        drops = self.mapping(("performance_drop",), given.get("performance_drop"))
        default_drops = self.defaults["performance_drop"]
        self.known(("performance_drop",), drops, default_drops.keys())
        absolute, relative = (
            self._limits(
                ("performance_drop", kind), drops.get(kind), default_drops[kind]
            )
            for kind in ("absolute", "relative")
        )
        return {
            "drift_weight": drift,
            "fairness_weight": fairness,
            "index": self._limits(
                ("index",), given.get("index"), self.defaults["index"], high=100
            ),
            "algorithms": self._algorithms(given),
            "absolute_drop": absolute,
            "relative_drop": relative,
            "warning_share": self._share(given, "warning_share"),
            "fairness_minimum": self._share(given, "fairness_minimum", high=0.999),
            "label_maturity": self._share(given, "label_maturity"),
            "new_rows_share": self._share(given, "new_rows_share"),
            "minimum_sample": self._count(given, "minimum_sample", high=10**9),
            "evaluations": self._count(given, "evaluations", high=100),
            "maximum_age_hours": self._ages(given),
            "rules": self._rules(given),
            "controls": self.controls(given),
        }

    def _weights(self, given: Mapping[str, object]) -> tuple[float, float]:
        weights = self.mapping(("weights",), given.get("weights"))
        self.known(("weights",), weights, ("drift", "fairness"))
        default = self.defaults["weights"]
        found = []
        for name in ("drift", "fairness"):
            weight = self.number(("weights", name), weights.get(name), low=0, high=1)
            found.append(default[name] if weight is None else weight)
        if abs(sum(found) - 1) > 1e-9:
            self.refuse(("weights",), "range", "expected weights that sum to 1")
        return found[0], found[1]

    def _limits(
        self,
        loc: Location,
        value: object,
        default: Mapping[str, float],
        high: float = float("inf"),
    ) -> Limits:
        """Read two rising limits under the names that their default has."""
        given = self.mapping(loc, value)
        self.known(loc, given, default.keys())
        mild, serious = (
            fallback if limit is None else limit
            for limit, fallback in (
                (self.number((*loc, name), given.get(name), low=0, high=high), fallback)
                for name, fallback in default.items()
            )
        )
        if not 0 < mild < serious:
            names = " below ".join(default)
            self.refuse(loc, "order", f"expected {names}, both above 0")
        return Limits(mild, serious)

    def _algorithms(self, given: Mapping[str, object]) -> dict[str, Limits]:
        value = given.get("algorithms")
        defaults = self.defaults["algorithms"]
        found = {
            name: self._limits(
                ("algorithms", name),
                limits,
                defaults.get(name, {"warning": 0.1, "alert": 0.2}),
            )
            for name, limits in self.mapping(("algorithms",), value).items()
        }
        missing = {name: Limits(*defaults[name].values()) for name in defaults}
        # The index is made of PSI, so that its limits are always there.
        return found | {"psi": found.get("psi", missing["psi"])} if found else missing

    def _share(
        self, given: Mapping[str, object], name: str, high: float = 1.0
    ) -> float:
        share = self.number((name,), given.get(name), low=0.001, high=high)
        return float(self.defaults[name]) if share is None else share

    def _count(self, given: Mapping[str, object], name: str, high: int) -> int:
        return self.whole((name,), given.get(name), 1, high, self.defaults[name])

    def _ages(self, given: Mapping[str, object]) -> dict[str, float]:
        loc = ("maximum_age_hours",)
        ages = dict(self.defaults["maximum_age_hours"])
        value = self.mapping(loc, given.get("maximum_age_hours"))
        self.known(loc, value, ages.keys())
        for cadence, hours in value.items():
            age = self.number((*loc, cadence), hours, low=0.01)
            ages[cadence] = ages.get(cadence) if age is None else age
        return ages

    def _rules(self, given: Mapping[str, object]) -> dict[str, Rule]:
        value = self.mapping(("rules",), given.get("rules"))
        self.known(("rules",), value, RULE_NAMES)
        rules = dict(_DEFAULT_RULES)
        for name in value.keys() & rules.keys():
            setting = self.mapping(("rules", name), value[name])
            self.known(("rules", name), setting, ("level", "effect"))
            level = self.choice(
                ("rules", name, "level"), setting.get("level"), list(Level)
            )
            effect = self.choice(
                ("rules", name, "effect"), setting.get("effect"), list(Effect)
            )
            rules[name] = Rule(
                Level(level or rules[name].level), Effect(effect or rules[name].effect)
            )
        return rules


DEFAULT_POLICY: dict[str, Any] = Thresholds().to_json()
