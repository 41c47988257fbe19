"""Reading the part of a policy about people; every fault of it is named."""

from collections.abc import Callable, Collection, Mapping
from datetime import UTC, datetime
from typing import TypeVar

from governance.decision.controls import (
    LONGEST_BREAK_GLASS_HOURS,
    LONGEST_RATIFICATION_HOURS,
    ROLES,
    TIERS,
    VOTING_ROLES,
    AutoApproval,
    Blocked,
    BreakGlass,
    Controls,
    GateMode,
    Mode,
    OverrideLimit,
    Reaction,
    Stage,
)
from governance.decision.levels import Level
from governance.reading import Location, Reader

T = TypeVar("T")
MOST_STAGES = 6
MOST_VOTES = 20
LONGEST_HOURS = 366 * 24.0


class ControlsReader(Reader):
    """Reads `Controls` out of a policy's content; what is absent has its default."""

    def controls(self, given: Mapping[str, object]) -> Controls:
        """Return the controls; of use only without `errors`."""
        default = Controls()
        applies_to = self._part(given, "applies_to", ("tiers", "models"))
        gate = self._part(given, "gate", ("rules", "maximum_evaluation_age_hours"))
        days = self.number(
            ("approval_days",), given.get("approval_days"), low=0.01, high=366
        )
        return Controls(
            tiers=self._words(("applies_to", "tiers"), applies_to.get("tiers"), TIERS),
            models=self._names(("applies_to", "models"), applies_to.get("models")),
            stages=self._stages(given.get("stages")) or default.stages,
            approval_days=default.approval_days if days is None else days,
            auto_approval=self._auto_approval(given),
            gate=self._by_name(
                ("gate", "rules"), gate.get("rules"), default.gate, self._level
            ),
            evaluation_age_hours=self._by_name(
                ("gate", "maximum_evaluation_age_hours"),
                gate.get("maximum_evaluation_age_hours"),
                default.evaluation_age_hours,
                self._hours,
            ),
            environments=self._by_name(
                ("environments",),
                given.get("environments"),
                default.environments,
                self._mode,
            ),
            overrides=self._by_name(
                ("overrides",),
                given.get("overrides"),
                default.overrides,
                self._override,
            ),
            blocked=self._by_name(
                ("blocked",), given.get("blocked"), default.blocked, self._blocked
            ),
            break_glass=self._break_glass(given),
            revalidation_months=self._by_name(
                ("revalidation_months",),
                given.get("revalidation_months"),
                default.revalidation_months,
                self._months,
            ),
            intake_days=self._by_name(
                ("intake_days",),
                given.get("intake_days"),
                default.intake_days,
                self._days,
            ),
        )

    def _part(
        self, given: Mapping[str, object], name: str, fields: Collection[str]
    ) -> Mapping[str, object]:
        part = self.mapping((name,), given.get(name))
        self.known((name,), part, fields)
        return part

    def _by_name(
        self,
        loc: Location,
        value: object,
        default: Mapping[str, T],
        read: Callable[[Location, object, T], T],
    ) -> dict[str, T]:
        """Read one setting for each name that its default has."""
        given = self.mapping(loc, value)
        self.known(loc, given, default.keys())
        return {
            name: read((*loc, name), given[name], setting) if name in given else setting
            for name, setting in default.items()
        }

    def _stages(self, value: object) -> tuple[Stage, ...]:
        items = self.items(("stages",), value)
        if isinstance(value, list | tuple) and not 1 <= len(items) <= MOST_STAGES:
            self.refuse(("stages",), "range", f"expected 1 to {MOST_STAGES} stages")
        return tuple(
            self._stage(("stages", number), item) for number, item in enumerate(items)
        )

    def _stage(self, loc: Location, value: object) -> Stage:
        if value is None:
            self.expected(loc, "an object", value)
        given = self.mapping(loc, value)
        self.known(loc, given, ("role", "people", "quorum", "sla_hours", "escalate_to"))
        role = self.choice((*loc, "role"), given.get("role"), VOTING_ROLES)
        people = self._people((*loc, "people"), given.get("people"))
        if given and (given.get("role") is None) == (given.get("people") is None):
            self.refuse(loc, "missing", "expected either a role or people")
        quorum = self.whole((*loc, "quorum"), given.get("quorum"), 1, MOST_VOTES, 1)
        if people and quorum > len(people):
            self.refuse(
                (*loc, "quorum"),
                "range",
                f"{quorum} of {len(people)} people can't be reached",
            )
        hours = self._hours((*loc, "sla_hours"), given.get("sla_hours"), 72.0)
        escalate_to = self.choice(
            (*loc, "escalate_to"), given.get("escalate_to"), ROLES
        )
        return Stage(role or "", people, quorum, hours, escalate_to or "owner")

    def _people(self, loc: Location, value: object) -> tuple[str, ...]:
        found = self._names(loc, value, longest=254)
        for number, address in enumerate(found):
            if "@" not in address.strip("@"):
                self.refuse((*loc, number), "email", "expected an e-mail address")
        return tuple(address.lower() for address in found)

    def _names(
        self, loc: Location, value: object, longest: int = 120
    ) -> tuple[str, ...]:
        """Read a list of different texts."""
        found: list[str] = []
        for number, item in enumerate(self.items(loc, value)):
            if item is None:
                self.expected((*loc, number), "text", item)
            text = self.text((*loc, number), item, longest)
            if text is not None and text.lower() in map(str.lower, found):
                self.refuse((*loc, number), "duplicate", f"{text} is there already")
            elif text is not None:
                found.append(text)
        return tuple(found)

    def _words(
        self, loc: Location, value: object, choices: Collection[str]
    ) -> tuple[str, ...]:
        """Read a list of different words out of a few."""
        found: list[str] = []
        for number, item in enumerate(self.items(loc, value)):
            if item is None:
                self.expected((*loc, number), "text", item)
            word = self.choice((*loc, number), item, choices)
            if word is not None and word in found:
                self.refuse((*loc, number), "duplicate", f"{word} is there already")
            elif word is not None:
                found.append(word)
        return tuple(found)

    def whole(
        self, loc: Location, value: object, low: int, high: int, default: int
    ) -> int:
        """Read a whole number in [low, high]."""
        number = self.number(loc, value, low=low, high=high)
        if number is not None and not number.is_integer():
            self.expected(loc, "a whole number", value)
        return default if number is None else int(number)

    def _auto_approval(self, given: Mapping[str, object]) -> AutoApproval:
        name, default = "auto_approval", AutoApproval()
        part = self._part(given, name, ("enabled", "tiers", "maximum_risk"))
        tiers = self._words((name, "tiers"), part.get("tiers"), TIERS)
        risk = self.number(
            (name, "maximum_risk"), part.get("maximum_risk"), low=0, high=49.9
        )
        return AutoApproval(
            self.flag((name, "enabled"), part.get("enabled"), default.enabled),
            default.tiers if part.get("tiers") is None else tiers,
            default.maximum_risk if risk is None else risk,
        )

    def _break_glass(self, given: Mapping[str, object]) -> BreakGlass:
        name, default = "break_glass", BreakGlass()
        part = self._part(given, name, ("allowed", "maximum_hours", "ratify_hours"))
        hours, ratify = (
            self.number((name, one), part.get(one), low=0.1, high=longest)
            for one, longest in (
                ("maximum_hours", LONGEST_BREAK_GLASS_HOURS),
                ("ratify_hours", LONGEST_RATIFICATION_HOURS),
            )
        )
        return BreakGlass(
            self.flag((name, "allowed"), part.get("allowed"), default.allowed),
            default.maximum_hours if hours is None else hours,
            default.ratify_hours if ratify is None else ratify,
        )

    def _level(self, loc: Location, value: object, default: Level) -> Level:
        word = self.choice(loc, value, list(Level))
        if loc[-1] == "approval" and word not in {None, Level.HARD}:
            self.refuse(loc, "choice", "an approval is always asked for: hard")
        return Level(word or default)

    def _hours(self, loc: Location, value: object, default: float) -> float:
        hours = self.number(loc, value, low=0.01, high=LONGEST_HOURS)
        return default if hours is None else hours

    def _months(self, loc: Location, value: object, default: int) -> int:
        return self.whole(loc, value, 1, 120, default)

    def _days(self, loc: Location, value: object, default: int) -> int:
        return self.whole(loc, value, 1, 366, default)

    def _override(
        self, loc: Location, value: object, default: OverrideLimit
    ) -> OverrideLimit:
        given = self.mapping(loc, value)
        self.known(loc, given, ("maximum_hours", "roles"))
        hours = self._hours(
            (*loc, "maximum_hours"), given.get("maximum_hours"), default.maximum_hours
        )
        roles = self._words((*loc, "roles"), given.get("roles"), VOTING_ROLES)
        if given.get("roles") is not None and not roles:
            self.refuse((*loc, "roles"), "too_few", "expected at least one role")
        return OverrideLimit(hours, roles or default.roles)

    def _blocked(self, loc: Location, value: object, default: Blocked) -> Blocked:
        given = self.mapping(loc, value)
        self.known(loc, given, ("action", "after_evaluations"))
        action = self.choice((*loc, "action"), given.get("action"), list(Reaction))
        count = self.whole(
            (*loc, "after_evaluations"),
            given.get("after_evaluations"),
            1,
            100,
            default.after_evaluations,
        )
        return Blocked(Reaction(action or default.action), count)

    def _mode(self, loc: Location, value: object, default: GateMode) -> GateMode:
        given = self.mapping(loc, value)
        self.known(loc, given, ("mode", "until"))
        mode = Mode(
            self.choice((*loc, "mode"), given.get("mode"), list(Mode)) or default.mode
        )
        until = self._moment((*loc, "until"), given.get("until"))
        if mode is Mode.OBSERVE and given.get("until") is None:
            self.refuse((*loc, "until"), "missing", "observing needs an end")
        if mode is not Mode.OBSERVE and until is not None:
            self.refuse((*loc, "until"), "unknown_field", "only observing has an end")
        return GateMode(mode, until)

    def _moment(self, loc: Location, value: object) -> str | None:
        """Read a moment; without an offset it is taken as UTC."""
        text = self.text(loc, value, 40)
        if text is None:
            return None
        try:
            moment = datetime.fromisoformat(text)
        except ValueError:
            self.refuse(loc, "date", "expected a date and time of ISO 8601")
            return None
        if moment.tzinfo is None:
            moment = moment.replace(tzinfo=UTC)
        return moment.astimezone(UTC).isoformat().replace("+00:00", "Z")
