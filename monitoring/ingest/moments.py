"""Time stamps as microseconds since 1970, UTC."""

from __future__ import annotations

import re
import time
from datetime import UTC, datetime, timedelta

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
SECOND = 1_000_000
# A sender's clock may be ahead, and so may its time zone.
FURTHEST_AHEAD = 24 * 3600 * SECOND
# A week's day (2026-W09-7) is as long.
LONGEST_DAY = len("2026-03-01")
# RFC 3339 allows the blank beside ISO 8601's T.
_WITH_TIME = re.compile(r"[\dW-]{7,10}[Tt ]\d", re.ASCII)


class MomentError(ValueError):
    """The text names no moment, or one that can't be meant."""


def now() -> int:
    return time.time_ns() // 1000


def microseconds(moment: datetime) -> int:
    """Return a moment as microseconds; without an offset it is taken as UTC."""
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    passed = moment - EPOCH
    return (passed.days * 86_400 + passed.seconds) * SECOND + passed.microseconds


def as_datetime(value: int) -> datetime:
    return EPOCH + timedelta(microseconds=value)


def as_text(value: int) -> str:
    """Return ISO 8601 with `Z`; a fraction stands there only if there is one."""
    text = as_datetime(value).isoformat()
    return f"{text[:-6]}Z"


def from_text(text: str) -> datetime:
    """Read an ISO 8601 time stamp; it has a time zone only if the text has one.

    Raises
    ------
    MomentError
        No ISO 8601, or a date without a time of day.
    """
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise MomentError("expected an ISO 8601 time stamp") from None
    if _WITH_TIME.match(text) is None:
        # Python takes any character for the separator.
        is_day = len(text) <= LONGEST_DAY
        raise MomentError(
            "expected a time stamp with a time of day"
            if is_day
            else "expected a T, or one blank, between day and time"
        )
    return moment


def parse(text: str, *, latest: int) -> int:
    """Read an ISO 8601 time stamp that is an event's.

    Raises
    ------
    MomentError
        No ISO 8601, a date without a time of day, before 1970, or after `latest`.
    """
    value = microseconds(from_text(text))
    if value <= 0:
        raise MomentError("expected a time stamp after 1970")
    if value > latest:
        raise MomentError("the time stamp is more than 24 hours ahead")
    return value
