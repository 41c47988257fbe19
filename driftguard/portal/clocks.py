"""Clocks in words: how long somebody still has, and whether that is little."""

from __future__ import annotations

from datetime import datetime

from django.utils import timezone
from django.utils.timesince import timesince
from django.utils.translation import gettext as _

from governance.admin.display import Badge

SHORT = 0.25  # of the whole time


def countdown(due: datetime, start: datetime | None = None) -> Badge:
    """Say how long it is until `due`; a warning in the last quarter since `start`."""
    now = timezone.now()
    if due <= now:
        words = _("overdue by %(time)s") % {"time": timesince(due, now, depth=1)}
        return Badge("bad", "alarm", words)
    words = _("%(time)s left") % {"time": timesince(now, due, depth=1)}
    is_short = start is not None and (due - now) < SHORT * (due - start)
    return Badge("warn" if is_short else "calm", "timer", words)
