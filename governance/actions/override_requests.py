"""The override that a deployment asks for when it finds the gate closed."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from governance.actions import overrides
from governance.actions.audit import Actor
from governance.actions.override_checks import Terms
from governance.exceptions import GovernanceError
from governance.models import ModelVersion, Override


def _closing(error: GovernanceError) -> list[dict[str, Any]]:
    rules = error.extra.get("gate", {}).get("rules", ())
    return [
        rule
        for rule in rules
        if not rule["passed"] and rule["level"] != "advisory" and not rule["override"]
    ]


def soft_rules(error: GovernanceError) -> list[str]:
    """Return the rules that an override could pass, each once."""
    soft = [rule["rule"] for rule in _closing(error) if rule["level"] == "soft"]
    return list(dict.fromkeys(soft))


def is_overridable(error: GovernanceError) -> bool:
    """Tell whether an override could pass any of what closed the gate."""
    return bool(soft_rules(error))


def steps(error: GovernanceError) -> list[str]:
    """Return what else is to be done: no override passes a hard rule."""
    hard = [rule["next"] for rule in _closing(error) if rule["level"] == "hard"]
    return [
        "A second person has to approve the override; then deploy again.",
        *dict.fromkeys(step for step in hard if step),
    ]


def open_for(
    version: ModelVersion,
    *,
    environment: str,
    closed: GovernanceError,
    terms: Terms,
    actor: Actor,
) -> Override:
    """Ask for an override of the soft rules that closed the gate.

    One that waits already is returned as it is. Without a justification the request
    says in our words what it is for, and whoever grants it has to say why.
    """
    waiting = (
        Override.objects.open()
        .exclude(status=Override.Status.ACTIVE)
        .filter(version=version, environment=environment)
        .first()
    )
    if waiting is not None:
        found: Override = waiting
        return found
    rules = soft_rules(closed)
    active = (
        Override.objects.in_force()
        .filter(version=version, environment=environment)
        .first()
    )
    if active is not None:
        # It doesn't pass all that is closed now: the new one goes on from it.
        rules = list(dict.fromkeys([*active.rules, *rules]))
    terms = replace(terms, rules=rules)
    if not terms.justification:
        text = (
            f"Asked for at a deployment to {environment}, without a justification: "
            f"{', '.join(rules)}."
        )
        terms = replace(terms, justification=text, is_justified=False)
    return overrides.propose(
        version,
        environment=environment,
        terms=terms,
        extends=active,
        actor=actor,
    )
