"""Geometry of the charts that the server draws as SVG: numbers in, coordinates out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

MOST_MOVED = 3
NOTABLE = 0.02  # of all rows


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
    has_moved: bool

    @property
    def points(self) -> str:
        """The change in percentage points."""
        # There is no minus zero.
        return f"{round(100 * (self.now - self.before), 1) + 0.0:+.1f}"


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
    moved = _moved(before, now)
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
                has_moved=position in moved,
            )
            for position, (label, p, q) in enumerate(
                zip(labels, before, now, strict=True)
            )
        ),
        width=width,
        height=height,
    )


def _moved(before: Sequence[float], now: Sequence[float]) -> set[int]:
    """Return the positions of the few bins whose shares changed most, and much."""
    changes = [abs(q - p) for p, q in zip(before, now, strict=True)]
    order = sorted(range(len(changes)), key=lambda position: -changes[position])
    return {at for at in order[:MOST_MOVED] if changes[at] >= NOTABLE}


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
