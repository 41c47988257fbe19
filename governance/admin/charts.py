"""Geometry of the charts that the server draws as SVG: numbers in, coordinates out."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime

WIDTH, HEIGHT = 640, 180
LEFT, RIGHT, TOP, BOTTOM = 34, 10, 10, 22
MOST_POINTS = 300


@dataclass(frozen=True, slots=True)
class Mark:
    """A point with what to say about it."""

    x: str
    y: str
    title: str


@dataclass(frozen=True, slots=True)
class Rule:
    """A horizontal line with its words, such as a limit."""

    y: str
    label: str
    tone: str


@dataclass(frozen=True, slots=True)
class LineChart:
    """A line over time on a fixed scale; coordinates are texts, free of any locale."""

    points: str
    marks: tuple[Mark, ...]
    rules: tuple[Rule, ...]
    ticks: tuple[tuple[str, str], ...]
    width: int = WIDTH
    height: int = HEIGHT
    left: int = LEFT
    right: int = WIDTH - RIGHT
    bottom: int = HEIGHT - BOTTOM


def line_chart(
    points: Sequence[tuple[datetime, float, str]],
    *,
    top: float,
    rules: Sequence[tuple[float, str, str]] = (),
) -> LineChart | None:
    """Draw values in [0, top] over time; None if there are none.

    Parameters
    ----------
    points
        Time, value and words of each point, in order of time.
    rules
        Value, words and tone of each horizontal line.
    """
    if not points:
        return None
    chosen = thinned(points)
    start, end = chosen[0][0].timestamp(), chosen[-1][0].timestamp()
    span = (end - start) or 1.0

    def x(moment: datetime) -> str:
        part = (moment.timestamp() - start) / span if end > start else 0.5
        return f"{LEFT + part * (WIDTH - LEFT - RIGHT):.1f}"

    def y(value: float) -> str:
        part = min(max(value / top, 0.0), 1.0)
        return f"{HEIGHT - BOTTOM - part * (HEIGHT - TOP - BOTTOM):.1f}"

    marks = tuple(Mark(x(when), y(value), words) for when, value, words in chosen)
    return LineChart(
        points=" ".join(f"{mark.x},{mark.y}" for mark in marks),
        marks=marks,
        rules=tuple(Rule(y(value), words, tone) for value, words, tone in rules),
        ticks=_ticks(chosen[0][0], chosen[-1][0], x),
    )


def thinned(
    points: Sequence[tuple[datetime, float, str]],
) -> list[tuple[datetime, float, str]]:
    """Keep at most MOST_POINTS: per step the highest value, so that no peak is lost."""
    if len(points) <= MOST_POINTS:
        return list(points)
    step = -(-len(points) // MOST_POINTS)
    kept = [
        max(points[at : at + step], key=lambda point: point[1])
        for at in range(0, len(points), step)
    ]
    kept[0], kept[-1] = points[0], points[-1]
    return kept


def _ticks(
    start: datetime, end: datetime, x: Callable[[datetime], str]
) -> tuple[tuple[str, str], ...]:
    seconds = (end - start).total_seconds()
    if seconds == 0:
        return ((x(start), f"{start:%Y-%m-%d %H:%M} UTC"),)
    if seconds >= 2 * 24 * 3600:
        return ((x(start), f"{start:%Y-%m-%d}"), (x(end), f"{end:%Y-%m-%d}"))
    time = "%H:%M:%S" if seconds < 10 * 60 else "%H:%M"
    date = "" if start.date() == end.date() else "%Y-%m-%d "
    return (
        (x(start), start.strftime(f"%Y-%m-%d {time}")),
        (x(end), end.strftime(f"{date}{time} UTC")),
    )


@dataclass(frozen=True, slots=True)
class PairOfBars:
    """One bin: its share in the baseline and in the window."""

    label: str
    x: str
    before_y: str
    before_height: str
    now_x: str
    now_y: str
    now_height: str
    bar_width: str
    before: float
    now: float


@dataclass(frozen=True, slots=True)
class BarChart:
    bars: tuple[PairOfBars, ...]
    width: int
    height: int


def bar_chart(
    labels: Sequence[str],
    before: Sequence[float],
    now: Sequence[float],
    *,
    width: int = 120,
    height: int = 34,
) -> BarChart | None:
    """Draw two shares per bin side by side, scaled to the largest; None if empty."""
    if not labels:
        return None
    largest = max(*before, *now, 0.0) or 1.0
    slot = width / len(labels)
    bar = slot * 0.4

    def tall(value: float) -> float:
        # A share that is there stays visible.
        return max(value / largest * height, 1.0) if value > 0 else 0.0

    return BarChart(
        bars=tuple(
            PairOfBars(
                label=label,
                x=f"{position * slot + slot * 0.08:.2f}",
                before_y=f"{height - tall(p):.2f}",
                before_height=f"{tall(p):.2f}",
                now_x=f"{position * slot + slot * 0.08 + bar:.2f}",
                now_y=f"{height - tall(q):.2f}",
                now_height=f"{tall(q):.2f}",
                bar_width=f"{bar:.2f}",
                before=p,
                now=q,
            )
            for position, (label, p, q) in enumerate(
                zip(labels, before, now, strict=True)
            )
        ),
        width=width,
        height=height,
    )


@dataclass(frozen=True, slots=True)
class Spark:
    """A small line without axes, with its words for those who can't see it."""

    points: str
    words: str
    width: int = 96
    height: int = 24


def spark_line(values: Sequence[float], *, top: float) -> Spark | None:
    """Draw values in [0, top] in their order; None if there are none."""
    if not values:
        return None
    width, height = 96, 24
    steps = max(len(values) - 1, 1)
    # A single value is a level line.
    shown = list(values) if len(values) > 1 else [*values, *values]
    points = " ".join(
        f"{position / steps * width:.1f},"
        f"{height - 1 - min(max(value / top, 0.0), 1.0) * (height - 2):.1f}"
        for position, value in enumerate(shown)
    )
    first, last = values[0], values[-1]
    words = f"{last:.1f} now, {first:.1f} at first, at most {max(values):.1f}"
    return Spark(points, words)
