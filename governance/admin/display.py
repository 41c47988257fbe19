"""How rows look: badges (icon and words, never colour alone), times, figures, links."""

from __future__ import annotations

import math
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.db import models
from django.template.defaultfilters import truncatechars
from django.urls import reverse
from django.utils import timezone
from django.utils.html import format_html, format_html_join
from django.utils.http import urlencode
from django.utils.safestring import SafeString
from django.utils.timesince import timesince

from governance.admin.addresses import change
from governance.models import Finding, GovernanceStatus, ModelVersion, Override

EMPTY = "\N{EN DASH}"
# "\xa0" keeps a figure and its unit on one line.
NBSP = "\xa0"


@dataclass(frozen=True, slots=True)
class Badge:
    tone: str  # good, warn, bad, calm: a class of the style sheet
    icon: str  # a name of Material Symbols
    words: str

    def __html__(self) -> SafeString:
        return format_html(
            '<span class="dg-badge dg-{}"><span class="material-symbols-outlined" '
            'aria-hidden="true">{}</span>{}</span>',
            self.tone,
            self.icon,
            self.words,
        )

    def __str__(self) -> str:
        return self.__html__()


HEALTH = {
    GovernanceStatus.BLOCKED: Badge("bad", "block", "Blocked"),
    GovernanceStatus.AT_RISK: Badge("warn", "warning", "At risk"),
    GovernanceStatus.APPROVED: Badge("good", "check_circle", "Within limits"),
    GovernanceStatus.NOT_ASSESSED: Badge("calm", "help", "Not assessed"),
}
MEASURED = {
    "ok": Badge("good", "check_circle", "OK"),
    "warning": Badge("warn", "warning", "Warning"),
    "alert": Badge("bad", "error", "Alert"),
    "insufficient_data": Badge("calm", "hourglass_empty", "Too few rows"),
    "no_data": Badge("calm", "hourglass_empty", "No data"),
    "no_baseline": Badge("calm", "help", "No baseline"),
    "needs_labels": Badge("calm", "hourglass_empty", "Needs labels"),
    "not_measurable": Badge("calm", "hourglass_empty", "Too few rows"),
    "unrated": Badge("calm", "straighten", "Not judged"),
    "failed": Badge("warn", "report", "Failed"),
}
LIFE_CYCLE_TONES = {
    ModelVersion.Status.APPROVED: ("good", "verified"),
    ModelVersion.Status.DEPLOYED: ("good", "rocket_launch"),
    ModelVersion.Status.SUSPENDED: ("bad", "pause_circle"),
    ModelVersion.Status.REJECTED: ("bad", "cancel"),
    ModelVersion.Status.UNREGISTERED: ("warn", "help"),
}
SEVERITY = {
    Finding.Severity.CRITICAL: Badge("bad", "error", "Critical"),
    Finding.Severity.HIGH: Badge("bad", "priority_high", "High"),
    Finding.Severity.MEDIUM: Badge("warn", "warning", "Medium"),
    Finding.Severity.LOW: Badge("calm", "info", "Low"),
}

DEPLOYMENT = {
    "deployed": Badge("good", "rocket_launch", "Deployed"),
    "suspended": Badge("bad", "pause_circle", "Suspended"),
    "retired": Badge("calm", "inventory_2", "Retired"),
}
OVERRIDE = {
    Override.Status.PROPOSED: Badge("warn", "pending_actions", "Proposed"),
    Override.Status.UNDER_REVIEW: Badge("warn", "rate_review", "Under review"),
    Override.Status.APPROVED: Badge("good", "schedule", "Approved"),
    Override.Status.ACTIVE: Badge("bad", "lock_open", "Active"),
    Override.Status.EXPIRED: Badge("calm", "event_busy", "Expired"),
    Override.Status.REVOKED: Badge("calm", "block", "Revoked"),
    Override.Status.REJECTED: Badge("calm", "cancel", "Rejected"),
}


def health(status: str | None) -> Badge:
    """Show the governance status of a version; without any it is not assessed."""
    if status == "RETIRED":  # what predictions of a retired model are marked with
        return Badge("calm", "inventory_2", "Retired")
    return HEALTH[GovernanceStatus(status or GovernanceStatus.NOT_ASSESSED)]


def measured(status: str | None) -> Badge:
    """Show the status of one measurement."""
    if not status:
        return MEASURED["no_data"]
    words = status.replace("_", " ").capitalize()
    return MEASURED.get(status, Badge("calm", "help", words))


def life_cycle(version: ModelVersion) -> Badge:
    """Show the approval of a version, which is another thing than its health."""
    tone, icon = LIFE_CYCLE_TONES.get(
        ModelVersion.Status(version.status), ("calm", "edit_note")
    )
    return Badge(tone, icon, version.get_status_display())


def severity(finding: Finding) -> Badge:
    return SEVERITY[Finding.Severity(finding.severity)]


def ago(moment: datetime | None) -> SafeString | str:
    """Show how long ago something was; the exact time is in the element itself."""
    if moment is None:
        return "never"
    distance = timezone.now() - moment
    seconds = distance.total_seconds()
    if seconds < 0:
        words = f"{moment:%Y-%m-%d %H:%M}"
    elif seconds < 60:
        words = "just now"
    else:
        words = f"{timesince(moment, depth=1)} ago"
    return format_html(
        '<time datetime="{}" title="{}">{}</time>',
        moment.isoformat(),
        f"{moment:%Y-%m-%d %H:%M:%S} UTC",
        words,
    )


def at(moment: datetime | None) -> str:
    return f"{moment:%Y-%m-%d %H:%M} UTC" if moment else EMPTY


def span(start: datetime, end: datetime) -> str:
    """Show a stretch of time without repeating what both ends share."""
    if end - start < timedelta(minutes=1):
        return at(start)
    if start.date() == end.date():
        return f"{start:%Y-%m-%d %H:%M} to {end:%H:%M} UTC"
    return f"{start:%Y-%m-%d %H:%M} to {end:%Y-%m-%d %H:%M} UTC"


def figure(value: float | None, digits: int = 3) -> str:
    """Show a number with so many significant digits."""
    if value is None or isinstance(value, bool) or not math.isfinite(value):
        return EMPTY
    if value and abs(value) < 10**-digits:
        return f"{value:.1e}"
    if abs(value) >= 10**digits:
        return f"{value:,.0f}"
    whole = len(str(int(abs(value)))) if abs(value) >= 1 else 0
    return f"{value:.{max(digits - whole, 0)}f}"


def measure(value: Any) -> str:
    """Show what a rule observed: a number, a word, or nothing."""
    if isinstance(value, float):
        return figure(value)
    return EMPTY if value is None else str(value)


def shown(value: Any) -> str:
    """Show a value of a difference in one line."""
    import json

    if value in (None, "", [], {}):
        return EMPTY
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def decimals(value: float | None, places: int = 3) -> str:
    """Show a number with so many decimals, so that a column of them lines up."""
    return EMPTY if value is None else f"{value:.{places}f}"


def points(value: float | None) -> str:
    """Show a risk index or a term of it, from 0 to 100."""
    return decimals(value, 1)


def share(value: float | None) -> str:
    if value is None or not math.isfinite(value):
        return EMPTY
    percent = 100 * value
    if 0 < abs(percent) < 0.1:
        return f"<{NBSP}0.1%"
    return f"{percent:.1f}%"


def probability(value: float | None) -> str:
    if value is None or not math.isfinite(value):
        return EMPTY
    return f"<{NBSP}0.0001" if value < 0.0001 else f"{value:.4f}"


def outcome(text: str | None) -> Any:
    """Show an answer or a label; the quotes of a text in JSON aren't part of it."""
    import json

    if text and text.startswith('"'):
        with suppress(ValueError):
            text = str(json.loads(text))
    return code(text, 40)


def count(value: int | None) -> str:
    return EMPTY if value is None else f"{value:,}"


def link(row: models.Model | None, text: str | None = None, length: int = 80) -> Any:
    """Link to a row's page; None is shown as nothing."""
    if row is None:
        return EMPTY
    words = str(row) if text is None else text
    return format_html(
        '<a href="{}" title="{}">{}</a>',
        change(row),
        words[:500],
        truncatechars(words, length),
    )


def pages_of(version: ModelVersion, environment: str = "") -> SafeString:
    """Link to the pages on which a version is approved and deployed."""
    about = {"version": version.version}
    where = {**about, "environment": environment} if environment else about
    slug = [version.model.slug]
    return format_html(
        '<a href="{}?{}">Ask for approval</a>, '
        '<a href="{}?{}">deploy, suspend, override</a>',
        reverse("submit", args=slug),
        urlencode(about),
        reverse("deployments", args=slug),
        urlencode(where),
    )


def code(text: str | None, length: int = 200) -> Any:
    if not text:
        return EMPTY
    return format_html('<code class="dg-code">{}</code>', truncatechars(text, length))


def json_block(value: Any) -> Any:
    """Show JSON as indented text, cut where it would make the page unusable."""
    import json

    if value in (None, {}, []):
        return EMPTY
    text = json.dumps(value, indent=2, ensure_ascii=False)
    # What scrolls has to be reached without a mouse.
    block = '<pre class="dg-json" tabindex="0">{}</pre>'
    return format_html(block, truncatechars(text, 20_000))


def lines(texts: Iterable[str]) -> Any:
    """Show texts as a list; nothing if there is none."""
    items = [(text,) for text in texts if text]
    if not items:
        return EMPTY
    return format_html(
        '<ul class="dg-reasons">{}</ul>', format_html_join("", "<li>{}</li>", items)
    )
