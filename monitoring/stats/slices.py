"""Slices of rows without which the others haven't drifted.

A slice is the rows with one value, or in one range, of one column. Its rows are taken
out of the window and the drift of what remains is computed anew. If little is left, the
slice is the cause: a new kind of customer, a broken source. No column alone shows that.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from monitoring.stats import shares
from monitoring.stats.columns import Kind, Values, numbers, psi_edges
from monitoring.stats.encoding import row_count, take
from monitoring.stats.features import names_of
from monitoring.stats.report import plain
from monitoring.stats.tally import OTHER, Floats, Ints

# Rows of each side that slices are computed from.
MAX_ROWS = 100_000
# Columns whose drift a slice may explain, and columns that it may be a part of.
MAX_EXPLAINED = 20
MAX_SLICED = 50
MAX_CATEGORIES = 30
MIN_ROWS = 30
# What is left must still be the window, and a slice must not be the rule: without most
# of its values a column has nothing left to drift.
MAX_SHARE = 0.9
MAX_BASELINE_SHARE = 0.5
MOST_SLICES = 5
# A smaller slice of the same column is the better answer if it explains as much.
AS_GOOD = 0.95
# A fall counts from so many of its standard deviations without drift, and from this
# share of the whole.
BEYOND_CHANCE = 3.0
LEAST_FALL = 0.05


@dataclass(frozen=True, slots=True)
class Slice:
    """Rows with one value, or in one range, of one column, and what they explain.

    Attributes
    ----------
    feature : str
        The column.
    low, high : float or None
        The range (low, high] of a numeric column; None: open.
    category : str or None
        The value of a categorical column.
    is_missing : bool
        The rows without a value.
    baseline_share, window_share : float
        The slice's share of the rows.
    before, after : float
        PSI beyond chance of all columns, weighted by importance, of the whole window
        and of what remains of it without the slice.
    """

    feature: str
    low: float | None
    high: float | None
    category: str | None
    is_missing: bool
    baseline_share: float
    window_share: float
    before: float
    after: float

    @property
    def fall(self) -> float:
        """By how much the drift falls without the slice."""
        return self.before - self.after

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON."""
        found = {name: plain(getattr(self, name)) for name in self.__slots__}
        share = self.fall / self.before if self.before > 0 else None
        return {**found, "fall": self.fall, "fall_share": share}


@dataclass(frozen=True, slots=True, eq=False)
class _Binned:
    """A column of both sides as codes of bins; the last code is for missing values."""

    name: str
    edges: Floats | None  # numeric
    categories: tuple[str, ...] | None
    baseline: Ints
    window: Ints

    @property
    def size(self) -> int:
        """The number of codes."""
        if self.edges is not None:
            return len(self.edges) + 2
        return len(self.categories or ()) + 1

    @property
    def spans(self) -> list[slice]:
        """The runs of codes that are a slice each."""
        last = self.size - 1
        single = [slice(at, at + 1) for at in range(self.size)]
        if self.edges is None:
            return single
        runs = [
            slice(first, end)
            for first in range(last)
            for end in range(first + 2, last + 1)
        ]
        return single + runs


def find(
    baseline: Mapping[str, Values],
    window: Mapping[str, Values],
    kinds: Mapping[str, Kind],
    *,
    weights: Mapping[str, float],
) -> list[Slice]:
    """Return the slices without which the window drifts least, the best first.

    The other columns of what remains are compared with the whole baseline, the slice's
    own column with the baseline's other values, as those of the slice are gone by
    definition. At most one slice of a column is returned, the smallest of those that
    explain nearly as much as its best one, and none whose effect may be chance.

    Parameters
    ----------
    baseline, window : mapping of str to array, sequence or Codes
        Columns of one length on each side.
    kinds : mapping of str to {"numeric", "categorical"}
        The columns to slice by.
    weights : mapping of str to float
        The columns whose drift is to be explained, those that drift most first, with
        their importance.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> city = np.where(np.arange(4000) % 4 == 0, "new", "old")
    >>> moved = rng.normal(size=4000) + 2 * (city == "new")
    >>> found = find(
    ...     {"x": rng.normal(size=4000), "city": city},
    ...     {"x": moved, "city": city},
    ...     {"x": "numeric", "city": "categorical"},
    ...     weights={"x": 0.5, "city": 0.5},
    ... )
    >>> found[0].feature, found[0].category, found[0].after < 0.01 < found[0].before
    ('city', 'new', True)
    """
    sides = [
        _thinned({n: side[n] for n in kinds if n in side})
        for side in (baseline, window)
    ]
    names = [name for name in kinds if all(name in side for side in sides)]
    if min(row_count(side, names) for side in sides) < MIN_ROWS:
        return []
    wanted = [name for name in weights if name in names][:MAX_EXPLAINED]
    others = [name for name in names if name not in wanted]
    binned = {
        name: _binned(name, kinds[name], sides[0][name], sides[1][name])
        for name in (wanted + others)[:MAX_SLICED]
    }
    explained = [binned[name] for name in wanted]
    found = [
        best
        for column in binned.values()
        if (best := _best(column, explained, weights)) is not None
    ]
    return sorted(found, key=lambda one: (-one.fall, one.feature))[:MOST_SLICES]


def _thinned(columns: Mapping[str, Values]) -> dict[str, Values]:
    """Return every so-many-th row: at most `MAX_ROWS` of them."""
    rows = row_count(columns, list(columns))
    if rows <= MAX_ROWS:
        return dict(columns)
    chosen = np.arange(MAX_ROWS) * rows // MAX_ROWS
    return {name: take(column, chosen) for name, column in columns.items()}


def _binned(name: str, kind: Kind, baseline: Values, window: Values) -> _Binned:
    if kind == "categorical":
        return _of_categories(name, baseline, window)
    sides = [np.asarray(numbers(side), np.float64) for side in (baseline, window)]
    edges = psi_edges(sides[0][np.isfinite(sides[0])])
    codes = [
        np.where(
            np.isfinite(side), np.searchsorted(edges, side), len(edges) + 1
        ).astype(np.int64)
        for side in sides
    ]
    return _Binned(name, edges, None, *codes)


def _of_categories(name: str, baseline: Values, window: Values) -> _Binned:
    """Return the categories that are most of either side; the others are one."""
    sides = [names_of(side) for side in (baseline, window)]
    share: dict[str, float] = {}
    for names, codes in sides:
        found = np.bincount(codes[codes >= 0], minlength=len(names)) / max(
            len(codes), 1
        )
        for category, one in zip(names, found.tolist(), strict=True):
            share[category] = max(share.get(category, 0.0), one)
    ranked = sorted(share, key=lambda category: (-share[category], category))
    kept = ranked[:MAX_CATEGORIES]
    if len(ranked) > len(kept):
        kept.append(OTHER)
    places = {category: at for at, category in enumerate(kept)}
    result = []
    for names, codes in sides:
        known = [places.get(category, len(kept) - 1) for category in names]
        result.append(np.take(np.array([*known, len(kept)], np.int64), codes))
    return _Binned(name, None, tuple(kept), *result)


def _best(
    column: _Binned, others: Sequence[_Binned], weights: Mapping[str, float]
) -> Slice | None:
    """Return the column's slice that explains most, None if none does."""
    sizes = [
        np.bincount(side, minlength=column.size)
        for side in (column.baseline, column.window)
    ]
    totals = [int(size.sum()) for size in sizes]
    spans = [
        span
        for span in column.spans
        if sizes[0][span].sum() <= MAX_BASELINE_SHARE * totals[0]
        and sizes[1][span].sum() <= MAX_SHARE * totals[1]
        and all(
            total - size[span].sum() >= MIN_ROWS
            for size, total in zip(sizes, totals, strict=True)
        )
        and sizes[1][span].sum() > 0
    ]
    if not spans or not others:
        return None
    before, after, noise = _without(column, others, weights, spans)
    falls = before - after
    falls[falls < np.maximum(BEYOND_CHANCE * noise, LEAST_FALL * before)] = 0.0
    if before <= 0 or not (falls > 0).any():
        return None
    window_shares = np.array([sizes[1][span].sum() / totals[1] for span in spans])
    good = np.flatnonzero(falls >= AS_GOOD * falls.max())
    place = int(good[np.argmin(window_shares[good])])
    span = spans[place]
    return Slice(
        column.name,
        *_described(column, span),
        baseline_share=float(sizes[0][span].sum() / totals[0]),
        window_share=float(window_shares[place]),
        before=before,
        after=float(after[place]),
    )


def _described(
    column: _Binned, span: slice
) -> tuple[float | None, float | None, str | None, bool]:
    """Return low end, high end, category, and whether it is the missing values."""
    if span.start == column.size - 1:
        return None, None, None, True
    if column.edges is None:
        return None, None, (column.categories or ())[span.start], False
    low = None if span.start == 0 else float(column.edges[span.start - 1])
    high = None if span.stop > len(column.edges) else float(column.edges[span.stop - 1])
    return low, high, None, False


def _without(
    column: _Binned,
    explained: Sequence[_Binned],
    weights: Mapping[str, float],
    spans: Sequence[slice],
) -> tuple[float, Floats, Floats]:
    """Return the drift of all rows, that without each slice, and the fall's noise.

    The noise is what the fall varies by if the slice is as good as any: without drift
    the deviation of a chi-square variable, with drift that of a sample of the rows
    against all of them.
    """
    before = 0.0
    after, variance = np.zeros(len(spans)), np.zeros(len(spans))
    for one in explained:
        if one is column:
            whole, left = _own(column, spans)
        else:
            whole, left = _others(column, one, spans)
        weight = weights[one.name]
        before += weight * float(_excess(*whole)[0][0])
        excess, deviation = _excess(*left)
        after += weight * excess
        rows, remaining = whole[1].sum(), np.maximum(left[1].sum(1), 1)
        sampling = _row_variance(*whole) * (1 / remaining - 1 / max(rows, 1))
        variance += weight**2 * (deviation**2 + np.maximum(sampling, 0.0))
    return before, after, np.sqrt(variance)


_Sides = tuple[Ints, Ints]  # counts of baseline and window, a row for each slice


def _others(
    column: _Binned, other: _Binned, spans: Sequence[slice]
) -> tuple[_Sides, _Sides]:
    """Return another column's counts with all rows, and without each slice."""
    baseline = np.bincount(other.baseline, minlength=other.size)[np.newaxis, :-1]
    cells = np.bincount(
        column.window * other.size + other.window, minlength=column.size * other.size
    )
    table = cells.reshape(column.size, other.size)[:, :-1]
    window = table.sum(0)
    left = np.stack([window - table[span].sum(0) for span in spans])
    return (
        (baseline, window[np.newaxis]),
        (np.broadcast_to(baseline, left.shape), left),
    )


def _own(column: _Binned, spans: Sequence[slice]) -> tuple[_Sides, _Sides]:
    """Return the slices' own column likewise, without them on either side."""
    sides = [
        np.bincount(side, minlength=column.size)[np.newaxis, :-1]
        for side in (column.baseline, column.window)
    ]
    left = [np.repeat(side, len(spans), axis=0) for side in sides]
    for place, span in enumerate(spans):
        for side in left:
            side[place, span] = 0
    return (sides[0], sides[1]), (left[0], left[1])


def _excess(baseline: Ints, window: Ints) -> tuple[Floats, Floats]:
    """Return the PSI of each row of counts beyond its expectation without drift.

    And its standard deviation without drift. Where a side has no values both are 0.
    """
    sides = [np.maximum(side.sum(1, keepdims=True), 1) for side in (baseline, window)]
    p, q = (
        np.where(side == 0, shares.FLOOR, side / total)
        for side, total in zip((baseline, window), sides, strict=True)
    )
    used = (baseline + window) > 0
    psi = np.where(used, (p - q) * np.log(p / q), 0.0).sum(1)
    chance = (1 / sides[0] + 1 / sides[1])[:, 0]
    freedom = np.maximum(used.sum(1) - 1, 0)
    known = (baseline.sum(1) > 0) & (window.sum(1) > 0)
    excess = np.where(known, psi - freedom * chance, 0.0)
    return excess, np.where(known, np.sqrt(2 * freedom) * chance, 0.0)


def _row_variance(baseline: Ints, window: Ints) -> float:
    """Return the variance of PSI times the window's rows, by the delta method."""
    if not baseline.sum() or not window.sum():
        return 0.0
    shares_of = baseline[0] / baseline.sum(), window[0] / window.sum()
    p, q = (np.where(one == 0, shares.FLOOR, one) for one in shares_of)
    slope = np.log(q / p) + 1 - p / q
    mean = float(shares_of[1] @ slope)
    return max(float(shares_of[1] @ slope**2) - mean**2, 0.0)
