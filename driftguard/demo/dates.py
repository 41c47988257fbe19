"""Where the months of 2005 lie when the last of them has just ended.

Every month moves by the same whole number of months, so that month ends stay month
ends and the months keep their order and their distance.
"""

import calendar
import datetime as dt

# A month's batch is scored in the evening of its last day (UTC) ...
BATCH_HOUR = 18
# ... and the outcomes of the month before are in an hour earlier.
LABEL_HOUR = 17
LAST_MONTH = (2005, 9)


def month_end(year: int, month: int, hour: int = BATCH_HOUR) -> dt.datetime:
    """Return the moment at ``hour`` on the last day of a month; 13 is next January."""
    year, month = year + (month - 1) // 12, (month - 1) % 12 + 1
    day = calendar.monthrange(year, month)[1]
    return dt.datetime(year, month, day, hour, tzinfo=dt.UTC)


def last_batch(now: dt.datetime) -> dt.datetime:
    """Return the newest month-end batch time that is not after ``now``."""
    now = now.astimezone(dt.UTC)
    this_month = month_end(now.year, now.month)
    return this_month if this_month <= now else month_end(now.year, now.month - 1)


class Shift:
    """Moves month ends of 2005 so that September's is ``anchor``."""

    def __init__(self, anchor: dt.datetime) -> None:
        self.anchor = anchor
        year, month = LAST_MONTH
        self.months = (anchor.year - year) * 12 + anchor.month - month

    def batch(self, as_of: dt.date) -> dt.datetime:
        """When the clients of the snapshot ``as_of`` are scored."""
        return month_end(as_of.year, as_of.month + self.months)

    def outcome(self, as_of: dt.date) -> dt.datetime:
        """When their outcomes become known: just before the next month's batch."""
        return month_end(as_of.year, as_of.month + self.months + 1, LABEL_HOUR)
