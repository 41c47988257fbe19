"""Windows and periods: which hours a live result is about."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from uuid import UUID

from django.db import connection

from governance.models import ModelVersion, RegisteredModel

Cadence = RegisteredModel.Cadence

HOUR = timedelta(hours=1)
DAY = timedelta(days=1)
STREAM_WINDOW = timedelta(days=7)
STREAM_RECENT = timedelta(hours=24)
# How many periods back the labels of a model may lag.
STREAM_STEPS = 60
PERIODS_BACK = 13
_UNITS = {
    Cadence.HOURLY: "hour",
    Cadence.DAILY: "day",
    Cadence.WEEKLY: "week",
    Cadence.MONTHLY: "month",
}
_NAMES = {
    Cadence.HOURLY: "%Y-%m-%d %H:00",
    Cadence.DAILY: "%Y-%m-%d",
    Cadence.WEEKLY: "%G-W%V",
    Cadence.MONTHLY: "%Y-%m",
}
# A step of the cadence; after it the same window counts as another evaluation.
STEP = {
    Cadence.STREAM: DAY,
    Cadence.HOURLY: HOUR,
    Cadence.DAILY: DAY,
    Cadence.WEEKLY: timedelta(weeks=1),
    Cadence.MONTHLY: timedelta(days=30),
}


@dataclass(frozen=True, slots=True)
class Later:
    """The newest calendar period, where it has too few rows to be judged."""

    start: datetime
    rows: int
    needed: int


@dataclass(frozen=True, slots=True)
class Window:
    """The hours in [start, end); `recent` is where its last 24 hours begin."""

    start: datetime
    end: datetime
    recent: datetime | None = None
    later: Later | None = None  # a newer period that isn't shown yet


@dataclass(frozen=True, slots=True)
class Period:
    """Hours whose labels belong together, and how many of them are in."""

    name: str
    start: datetime
    end: datetime
    rows: int
    labels: int
    revision: int  # grows with each change of its counts

    @property
    def labelled_share(self) -> float:
        """Share of the predictions whose label is in."""
        return min(self.labels / self.rows, 1.0) if self.rows else 0.0


def window_of(cadence: str, newest_hour: datetime) -> Window:
    """Return the live window, which ends with the newest hour that has predictions.

    A stream shows 7 days, and the last 24 hours beside them; a batch model shows the
    calendar period of its newest predictions, in UTC.
    """
    end = newest_hour + HOUR
    if cadence == Cadence.STREAM:
        return Window(end - STREAM_WINDOW, end, end - STREAM_RECENT)
    return Window(start_of(Cadence(cadence), newest_hour), end)


def live_window(
    version: ModelVersion, baseline_id: UUID, newest_hour: datetime, fewest: int
) -> Window:
    """Return the live window; that of a batch model has enough rows if any has.

    A few rows that begin a new calendar period would otherwise empty the result: the
    last period that can be judged is shown until the new one can be.
    """
    cadence = Cadence(version.model.cadence)
    window = window_of(cadence, newest_hour)
    if cadence == Cadence.STREAM:
        return window
    since = window.start - PERIODS_BACK * STEP[cadence] * 1.05
    sums = _sums(version, baseline_id, _UNITS[cadence], since, window.end)
    enough = next((one for one in sums if one[2] >= fewest), None)
    if enough is None or enough[0] == window.start:
        return window
    later = Later(window.start, sums[0][2], fewest)
    return Window(enough[0], enough[1] + HOUR, later=later)


def start_of(cadence: Cadence, moment: datetime) -> datetime:
    """Return the start of the calendar period that a moment lies in."""
    moment = moment.astimezone(UTC).replace(minute=0, second=0, microsecond=0)
    if cadence == Cadence.HOURLY:
        return moment
    day = moment.replace(hour=0)
    if cadence == Cadence.WEEKLY:
        return day - timedelta(days=day.weekday())
    return day.replace(day=1) if cadence == Cadence.MONTHLY else day


def newest_hour(version: ModelVersion, baseline_id: UUID) -> datetime | None:
    """Return the newest hour with counted predictions."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT max(start) FROM monitoring_profile WHERE version_id = %s "
            "AND baseline_id = %s AND period = 'hour' AND rows > 0",
            (version.pk, baseline_id),
        )
        (newest,) = cursor.fetchone()
    found: datetime | None = newest
    return found


_SUMS = """
    SELECT date_trunc(%(unit)s, start, 'UTC') AS period, max(start), sum(rows)::bigint,
        sum(labels)::bigint, sum(revision)::bigint
    FROM monitoring_profile
    WHERE version_id = %(version)s AND baseline_id = %(baseline)s AND period = 'hour'
    AND start >= %(since)s AND start < %(until)s
    GROUP BY 1 ORDER BY 1 DESC
"""


def recent(version: ModelVersion, baseline_id: UUID, window: Window) -> list[Period]:
    """Return the periods up to the window, the newest first.

    A batch model's are calendar periods. A stream's are 7 days each: the live window,
    then those that end with each day before it.
    """
    cadence = Cadence(version.model.cadence)
    if cadence == Cadence.STREAM:
        return _rolling(version, baseline_id, window)
    since = window.start - PERIODS_BACK * STEP[cadence] * 1.05
    return [
        Period(start.strftime(_NAMES[cadence]), start, last + HOUR, *counts)
        for start, last, *counts in _sums(
            version, baseline_id, _UNITS[cadence], since, window.end
        )[:PERIODS_BACK]
    ]


def _rolling(version: ModelVersion, baseline_id: UUID, window: Window) -> list[Period]:
    since = window.end - STREAM_WINDOW - STREAM_STEPS * DAY
    of_hours = _sums(version, baseline_id, "hour", since, window.end)
    midnight = window.end.astimezone(UTC).replace(hour=0)
    ends = [window.end, *(midnight - step * DAY for step in range(STREAM_STEPS))]
    found = []
    for end in dict.fromkeys(ends):
        start = end - STREAM_WINDOW
        inside = [sums for hour, _, *sums in of_hours if start <= hour < end]
        if inside:
            rows, labels, revision = (
                sum(column) for column in zip(*inside, strict=True)
            )
            name = f"{start:%Y-%m-%d} to {end - HOUR:%Y-%m-%d}"
            found.append(Period(name, start, end, rows, labels, revision))
    return found


def _sums(
    version: ModelVersion,
    baseline_id: UUID,
    unit: str,
    since: datetime,
    until: datetime,
) -> list[tuple[datetime, datetime, int, int, int]]:
    with connection.cursor() as cursor:
        cursor.execute(
            _SUMS,
            {
                "unit": unit,
                "version": version.pk,
                "baseline": baseline_id,
                "since": since,
                "until": until,
            },
        )
        return list(cursor.fetchall())
