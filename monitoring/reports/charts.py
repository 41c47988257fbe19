"""Geometry of the page's charts: figures in, coordinates out, as text of no locale."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import groupby, pairwise
from typing import Any

from monitoring.reports.sentences import number

Json = Mapping[str, Any]
MOST_TICKS = 12


def at(value: float) -> str:
    """Return a coordinate."""
    return f"{value:.2f}".rstrip("0").rstrip(".")


@dataclass(frozen=True, slots=True)
class Bar:
    """One bin: its share on both sides."""

    x: str
    width: str
    before_y: str
    before_height: str
    now_x: str
    now_y: str
    now_height: str
    title: str
    is_moved: bool


@dataclass(frozen=True, slots=True)
class Bars:
    """Shares over bins, those of both sides beside each other."""

    bars: tuple[Bar, ...]
    labels: tuple[tuple[str, str], ...]  # x and words
    width: int
    height: int
    base: int  # y of the axis
    top: str  # the largest share, in words


def bars(
    bins: Json | None,
    moved: Sequence[Json],
    *,
    width: int = 520,
    height: int = 210,
    labelled: bool = True,
) -> Bars | None:
    """Draw the distribution of a column; None if a side has no value."""
    if bins is None:
        return None
    names = bin_names(bins)
    largest = max((*bins["baseline"], *bins["window"]), default=0.0) or 1.0
    base = height - (26 if labelled else 1)
    slot = width / max(len(names), 1)
    bar = slot * 0.38
    marked = {bin_name(one) for one in moved[:3] if abs(one["change"]) >= 0.02}

    def tall(share: float) -> float:
        # A share that is there stays visible.
        return max(share / largest * (base - 4), 1.5) if share > 0 else 0.0

    drawn = []
    for place, (name, before, now) in enumerate(
        zip(names, bins["baseline"], bins["window"], strict=True)
    ):
        left = place * slot + slot * 0.1
        drawn.append(
            Bar(
                x=at(left),
                width=at(bar),
                before_y=at(base - tall(before)),
                before_height=at(tall(before)),
                now_x=at(left + bar + slot * 0.02),
                now_y=at(base - tall(now)),
                now_height=at(tall(now)),
                title=f"{name}: reference {before:.1%}, current {now:.1%}",
                is_moved=name in marked,
            )
        )
    labels = _labels(bins, names, slot) if labelled else ()
    return Bars(
        tuple(drawn),
        labels,
        width,
        height,
        base,
        f"{largest:.0%}",
    )


def _labels(
    bins: Json, names: Sequence[str], slot: float
) -> tuple[tuple[str, str], ...]:
    """Return edges where bins meet, or the names of categories below their bars."""
    if bins["categories"] is None:
        return tuple(
            (at((place + 1) * slot), short(edge))
            for place, edge in enumerate(bins["edges"])
        )
    step = -(-len(names) // 10)
    room = max(int(slot * step / 6), 3)
    return tuple(
        (
            at((place + 0.5) * slot),
            name if len(name) <= room else f"{name[: room - 1]}…",
        )
        for place, name in enumerate(names)
        if place % step == 0
    )


def bin_names(bins: Json) -> list[str]:
    """Return what each bin holds."""
    if bins["categories"] is not None:
        return list(bins["categories"])
    ends = [None, *bins["edges"], None]
    return [bin_name({"low": low, "high": high}) for low, high in pairwise(ends)]


def bin_name(one: Json) -> str:
    """Return what a bin holds: a category, or a right-closed range."""
    if "category" in one:
        return str(one["category"])
    low, high = one["low"], one["high"]
    if low is None and high is None:
        return "all"
    if low is None:
        return f"≤ {short(high)}"
    return f"> {short(low)}" if high is None else f"{short(low)} to {short(high)}"


def short(value: float) -> str:
    """Return an edge in few digits."""
    size = abs(value)
    if size >= 1e6 or 0 < size < 1e-3:
        return f"{value:.2g}"
    return f"{value:,.0f}" if size >= 1_000 else f"{value:.4g}"


@dataclass(frozen=True, slots=True)
class Dot:
    """A point of a line with what to say about it."""

    x: str
    y: str
    title: str
    tone: str


@dataclass(frozen=True, slots=True)
class Lines:
    """A metric over chunks: realized, estimated with its band, and the reference."""

    title: str
    realized: tuple[str, ...]  # polylines, cut where a value is missing
    estimated: tuple[str, ...]
    bands: tuple[str, ...]  # polygons
    dots: tuple[Dot, ...]
    limits: tuple[str, str] | None  # y and height
    reference: tuple[str, str] | None  # y and words
    y_ticks: tuple[tuple[str, str], ...]
    x_ticks: tuple[tuple[str, str], ...]
    width: int
    height: int
    left: int
    right: int
    bottom: int


@dataclass(frozen=True, slots=True)
class _Frame:
    low: float
    high: float
    count: int
    width: int = 760
    height: int = 230
    left: int = 46
    right: int = 12
    top: int = 12
    bottom: int = 26

    def x(self, place: float) -> float:
        """Return where a chunk stands."""
        room = self.width - self.left - self.right
        return self.left + (place + 0.5) * room / max(self.count, 1)

    def y(self, value: float) -> float:
        """Return where a value stands."""
        part = (value - self.low) / (self.high - self.low)
        room = self.height - self.top - self.bottom
        return self.height - self.bottom - min(max(part, 0.0), 1.0) * room


@dataclass(frozen=True, slots=True)
class Series:
    """A metric chunk by chunk; None where it isn't known."""

    title: str
    labels: Sequence[str]
    realized: Sequence[float | None]
    estimated: Sequence[float | None]
    low: Sequence[float | None]
    high: Sequence[float | None]
    tones: Sequence[str]
    reference: float | None
    limits: tuple[float, float] | None


def lines(series: Series) -> Lines | None:
    """Draw a metric over chunks; None without a figure."""
    known = [
        value
        for values in (series.realized, series.estimated, series.low, series.high)
        for value in values
        if value is not None
    ]
    if not known:
        return None
    if series.reference is not None:
        known.append(series.reference)
    frame = _Frame(*_span(known), len(series.labels))
    band = [
        None if low is None or high is None else (low, high)
        for low, high in zip(series.low, series.high, strict=True)
    ]
    return Lines(
        series.title,
        _polylines(frame, series.realized),
        _polylines(frame, series.estimated),
        _polygons(frame, band),
        _dots(frame, series),
        _limits(frame, series.limits),
        None
        if series.reference is None
        else (at(frame.y(series.reference)), number(series.reference)),
        tuple((at(frame.y(value)), short(value)) for value in _ticks(frame)),
        x_ticks(frame.x, series.labels),
        frame.width,
        frame.height,
        frame.left,
        frame.width - frame.right,
        frame.height - frame.bottom,
    )


def _span(values: Sequence[float]) -> tuple[float, float]:
    low, high = min(values), max(values)
    margin = (high - low) * 0.08 or abs(high) * 0.1 or 1.0
    return low - margin, high + margin


def _ticks(frame: _Frame) -> list[float]:
    """Return round values between the ends."""
    rough = (frame.high - frame.low) / 4
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(power * one for one in (1, 2, 5, 10) if power * one >= rough)
    first = math.ceil(frame.low / step)
    last = math.floor(frame.high / step)
    return [step * place for place in range(first, last + 1)]


def x_ticks(x: Any, labels: Sequence[str]) -> tuple[tuple[str, str], ...]:
    """Return a few of the labels with their places."""
    step = max(-(-len(labels) // MOST_TICKS), 1)
    return tuple(
        (at(x(place)), label) for place, label in enumerate(labels) if place % step == 0
    )


def _runs(values: Sequence[Any]) -> Iterable[list[tuple[int, Any]]]:
    """Yield the runs of known values, each with its place."""
    placed = enumerate(values)
    for is_known, run in groupby(placed, lambda one: one[1] is not None):
        if is_known:
            yield list(run)


def _polylines(frame: _Frame, values: Sequence[float | None]) -> tuple[str, ...]:
    return tuple(
        " ".join(f"{at(frame.x(place))},{at(frame.y(value))}" for place, value in run)
        for run in _runs(values)
        if len(run) > 1
    )


def _polygons(
    frame: _Frame, band: Sequence[tuple[float, float] | None]
) -> tuple[str, ...]:
    found = []
    for run in _runs(band):
        above = [f"{at(frame.x(p))},{at(frame.y(high))}" for p, (_, high) in run]
        below = [f"{at(frame.x(p))},{at(frame.y(low))}" for p, (low, _) in run]
        found.append(" ".join([*above, *reversed(below)]))
    return tuple(found)


def _dots(frame: _Frame, series: Series) -> tuple[Dot, ...]:
    found = []
    for place, name in enumerate(series.labels):
        value, estimate = series.realized[place], series.estimated[place]
        if value is None:
            continue
        told = f"{name}: {number(value)}"
        if estimate is not None:
            told += f", estimated {number(estimate)}"
        y = at(frame.y(value))
        found.append(Dot(at(frame.x(place)), y, told, series.tones[place]))
    return tuple(found)


def _limits(
    frame: _Frame, limits: tuple[float, float] | None
) -> tuple[str, str] | None:
    if limits is None:
        return None
    top, bottom = frame.y(limits[1]), frame.y(limits[0])
    return at(top), at(max(bottom - top, 0.0))


@dataclass(frozen=True, slots=True)
class Cell:
    """One column in one chunk."""

    x: str
    tone: str
    title: str


@dataclass(frozen=True, slots=True)
class Row:
    """One column over all chunks."""

    name: str
    y: str
    text_y: str
    cells: tuple[Cell, ...]


@dataclass(frozen=True, slots=True)
class Heat:
    """Statuses of columns, chunk by chunk."""

    rows: tuple[Row, ...]
    ticks: tuple[tuple[str, str], ...]
    width: int
    height: int
    left: int
    cell_width: str
    cell_height: int


def heat(
    names: Sequence[str], labels: Sequence[str], cells: Sequence[Mapping[str, Json]]
) -> Heat | None:
    """Draw statuses; `cells` has the columns of each chunk. None without chunks."""
    if not cells or not names:
        return None
    width, left, tall = 1_060, 190, 20
    slot = (width - left) / len(cells)

    def x(place: float) -> float:
        return left + place * slot

    rows = []
    for line, name in enumerate(names):
        drawn = []
        for place, chunk in enumerate(cells):
            one = chunk.get(name)
            if one is not None:
                told = f"{name}, {labels[place]}: {one['status'].replace('_', ' ')}"
                if one.get("psi") is not None:
                    told += f", PSI {number(one['psi'])}"
                drawn.append(Cell(at(x(place)), one["status"], told))
        y = line * (tall + 3)
        rows.append(Row(name[:26], at(y), at(y + tall * 0.7), tuple(drawn)))
    height = len(names) * (tall + 3) + 22
    ticks = x_ticks(lambda place: x(place + 0.5), labels)
    gap = 2 if slot > 8 else 0.5
    return Heat(tuple(rows), ticks, width, height, left, at(slot - gap), tall)


@dataclass(frozen=True, slots=True)
class Marks:
    """Changes on a line of time."""

    name: str
    algorithm: str
    count: int
    y: str
    text_y: str
    xs: tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class Timeline:
    """Changes of several streams above each other."""

    rows: tuple[Marks, ...]
    ticks: tuple[tuple[str, str], ...]
    width: int
    height: int
    left: int


def timeline(
    streams: Sequence[Json], rows: int, span: tuple[str, str] | None
) -> Timeline | None:
    """Draw the changes of streams that noticed any, by time or else by row."""
    width, left, tall = 1_060, 190, 22
    room = width - left - 10
    ends = None
    if span is not None:
        ends = [datetime.fromisoformat(one).timestamp() for one in span]

    def x(change: Json) -> float:
        if ends is None or change["at"] is None:
            return float(left + room * change["index"] / max(rows - 1, 1))
        moment = datetime.fromisoformat(change["at"]).timestamp()
        return left + room * (moment - ends[0]) / ((ends[1] - ends[0]) or 1.0)

    drawn: list[Marks] = []
    for one in streams:
        changes = one["detail"].get("changes") or []
        if not changes:
            continue
        y = len(drawn) * tall
        xs = tuple(
            (at(x(change)), (change["at"] or f"row {change['index'] + 1}")[:16])
            for change in changes
        )
        name = f"{one['subject']} {one['column']}"[:26]
        algorithm = one["algorithm"]
        drawn.append(
            Marks(name, algorithm, len(changes), at(y), at(y + tall * 0.68), xs)
        )
    if not drawn:
        return None
    ticks = ((at(left), "row 1"), (at(left + room), f"row {rows:,}"))
    if span is not None:
        ticks = ((at(left), span[0][:10]), (at(left + room), span[1][:10]))
    return Timeline(tuple(drawn), ticks, width, len(drawn) * tall + 22, left)
