"""What the gate says of a version, in words for whoever stands before it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any

from django.urls import reverse
from django.utils.http import urlencode
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext

from governance.actions import gate
from governance.actions.gate import Asked
from governance.admin.addresses import change, changelist, edit
from governance.admin.display import Badge
from governance.decision.gate import RULES, GateRule, Result
from governance.decision.levels import Level
from governance.models import Finding, ModelVersion
from monitoring.models import Baseline

ANSWERS = {
    Result.ALLOW: ("good", "lock_open", gettext_lazy("ALLOW")),
    Result.ALLOW_WITH_WARNINGS: (
        "warn",
        "lock_open",
        gettext_lazy("ALLOW with warnings"),
    ),
    Result.ALLOW_BY_OVERRIDE: (
        "warn",
        "lock_open",
        gettext_lazy("ALLOW by an override"),
    ),
    Result.DENY: ("bad", "lock", gettext_lazy("DENY")),
}


@dataclass(frozen=True, slots=True)
class RuleRow:
    """One rule of the gate as a line of a table."""

    rule: GateRule
    name: str
    badge: Badge
    observed: Any
    limit: Any


@dataclass(frozen=True, slots=True)
class Step:
    """Something to do before the gate opens, and where to do it."""

    words: str
    address: str = ""
    link: str = ""  # its words


@dataclass(frozen=True, slots=True)
class GatePanel:
    """The gate's answer: in one sentence, as steps, and rule by rule."""

    asked: Asked
    is_open: bool
    badge: Badge
    sentence: str
    steps: tuple[Step, ...]
    # Soft rules that alone close it: an override could pass them.
    overridable: tuple[str, ...]
    rules: tuple[RuleRow, ...]  # that don't hold
    holding: tuple[RuleRow, ...]


def gate_panel(version: ModelVersion, environment: str) -> GatePanel:
    """Ask the gate, and do nothing else."""
    asked = gate.ask(version, environment)
    tone, icon, words = ANSWERS[asked.judgement.result]
    return _panel(asked, asked.judgement.rules, Badge(tone, icon, str(words)))


def check_panel(version: ModelVersion, environment: str) -> GatePanel:
    """Ask what the gate would say if the version were approved."""
    asked = gate.ask(version, environment)
    rules = tuple(one for one in asked.judgement.rules if one.rule != "approval")
    number = sum(one.closes for one in rules)
    if not number:
        badge = Badge("good", "check_circle", _("Nothing else is missing"))
    else:
        words = ngettext(
            "%(number)s more thing keeps the gate closed",
            "%(number)s more things keep the gate closed",
            number,
        )
        badge = Badge("bad", "lock", words % {"number": number})
    return replace(_panel(asked, rules, badge), sentence="")


def _panel(asked: Asked, rules: Iterable[GateRule], badge: Badge) -> GatePanel:
    judgement = asked.judgement
    closing = {rule.next: rule for rule in rules if rule.closes and rule.next}
    rows = [_row(rule) for rule in rules]
    is_soft = all(rule.level is Level.SOFT for rule in judgement.closing)
    return GatePanel(
        asked=asked,
        is_open=judgement.is_open,
        badge=badge,
        sentence=_sentence(asked, len(closing)),
        steps=tuple(_step(rule, asked.version) for rule in closing.values()),
        overridable=judgement.overridable if is_soft else (),
        rules=tuple(one for one in rows if not one.rule.passed),
        holding=tuple(one for one in rows if one.rule.passed),
    )


def _step(rule: GateRule, version: ModelVersion) -> Step:
    model = version.model
    findings = changelist(Finding, version__model=model.pk)
    submit = reverse("submit", args=[model.slug])
    where = {
        "approval": (
            f"{submit}?{urlencode({'version': version.version})}",
            _("Ask for approval"),
        ),
        "tier": (edit(model), _("Edit the registration")),
        "critical_findings": (findings, _("Open the findings")),
        "revalidation": (findings, _("Open the findings")),
        "baseline": (changelist(Baseline, model=model.pk), _("See the baselines")),
    }
    return Step(rule.next, *where.get(rule.rule, (change(model), _("See the model"))))


def _sentence(asked: Asked, steps: int) -> str:
    judgement = asked.judgement
    named = {
        "version": isolated(asked.version.version),
        "environment": asked.environment,
    }
    if not judgement.is_open:
        if not steps:
            return _("The gate to %(environment)s is closed to %(version)s.") % named
        words = ngettext(
            "DENY: do this one thing before %(version)s goes to %(environment)s.",
            "DENY: do these %(steps)s things before %(version)s goes to "
            "%(environment)s.",
            steps,
        )
        return words % {**named, "steps": steps}
    if judgement.strict is Result.DENY:
        return (
            _(
                "%(version)s may go to %(environment)s, as this environment only "
                "warns or observes; where it prevents, it would be denied."
            )
            % named
        )
    return {
        Result.ALLOW: _("%(version)s may go to %(environment)s."),
        Result.ALLOW_WITH_WARNINGS: _(
            "%(version)s may go to %(environment)s; read the warnings first."
        ),
        Result.ALLOW_BY_OVERRIDE: _(
            "%(version)s may go to %(environment)s while its override is in force."
        ),
    }[judgement.result] % named


def isolated(name: str) -> str:
    """Let a name that turns the direction of writing turn nothing but itself."""
    return f"\N{FIRST STRONG ISOLATE}{name}\N{POP DIRECTIONAL ISOLATE}"


def _row(rule: GateRule) -> RuleRow:
    return RuleRow(rule, RULES[rule.rule], _badge(rule), rule.observed, rule.limit)


def _badge(rule: GateRule) -> Badge:
    if rule.passed:
        return Badge("good", "check_circle", _("Holds"))
    if rule.override is not None:
        return Badge("warn", "lock_open", _("Overridden"))
    if rule.closes:
        return Badge("bad", "block", _("Closes the gate"))
    return Badge("warn", "warning", _("Warns"))
