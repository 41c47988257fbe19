"""What differs between two policies, in words."""

import difflib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from governance.decision.controls import GATE_RULE_NAMES
from governance.decision.documents import dump
from governance.decision.thresholds import RULE_NAMES

Path = tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Change:
    """One setting that is different; None is absent."""

    path: Path
    before: Any
    after: Any

    def to_json(self) -> dict[str, Any]:
        """Return the change as answers have it."""
        return {
            "path": ".".join(self.path),
            "before": self.before,
            "after": self.after,
            "sentence": str(self),
        }

    def __str__(self) -> str:
        name = _name(self.path)
        if self.before is None:
            return f"{name}: {_shown(self.after)} is new"
        if self.after is None:
            return f"{name}: {_shown(self.before)} is gone"
        return f"{name}: {_shown(self.before)} → {_shown(self.after)}"


def changes(before: Mapping[str, Any], after: Mapping[str, Any]) -> list[Change]:
    """Return every setting that differs between two complete contents.

    Examples
    --------
    >>> before = {"rules": {"R3": {"level": "hard"}}}
    >>> after = {"rules": {"R3": {"level": "soft"}}}
    >>> print(*changes(before, after))
    rule R3 (the model's score in drift alert), level: hard → soft
    """
    return list(_walk((), before, after))


def unified(before: Mapping[str, Any], after: Mapping[str, Any]) -> str:
    """Return the difference of two contents as a patch of their YAML."""
    old, new = (dump(content).splitlines() for content in (before, after))
    patch = difflib.unified_diff(old, new, "before", "after", lineterm="", n=2)
    return "\n".join(patch)


def _walk(path: Path, before: Any, after: Any) -> Iterator[Change]:
    if before == after and isinstance(before, bool) == isinstance(after, bool):
        return
    if isinstance(before, Mapping) and isinstance(after, Mapping):
        for name in dict.fromkeys([*before, *after]):
            yield from _walk((*path, name), before.get(name), after.get(name))
    elif _is_list_of_things(before) and _is_list_of_things(after):
        for number in range(max(len(before), len(after))):
            one, other = (
                things[number] if number < len(things) else None
                for things in (before, after)
            )
            yield from _walk((*path, str(number + 1)), one, other)
    else:
        yield Change(path, before, after)


def _is_list_of_things(value: Any) -> bool:
    return (
        isinstance(value, list)
        and bool(value)
        and all(isinstance(one, Mapping) for one in value)
    )


def _name(path: Path) -> str:
    """Name a setting as people do."""
    first, *rest = path
    if first == "rules" and rest:
        rule, *rest = rest
        first = f"rule {rule} ({RULE_NAMES.get(rule, 'unknown')})"
    elif path[:2] == ("gate", "rules") and len(path) > 2:
        rule, rest = path[2], list(path[3:])
        first = f"gate, {rule} ({GATE_RULE_NAMES.get(rule, 'unknown')})"
    elif first == "stages" and rest:
        number, *rest = rest
        first = f"stage {number}"
    return ", ".join(one.replace("_", " ") for one in [first, *rest])


def _shown(value: Any) -> str:
    if isinstance(value, Mapping):
        return ", ".join(
            f"{name.replace('_', ' ')} {_shown(one)}" for name, one in value.items()
        )
    if isinstance(value, list):
        return ", ".join(map(_shown, value)) or "none"
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:g}" if isinstance(value, float) else str(value)
