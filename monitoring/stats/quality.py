"""Data quality of a window: what is missing, refused, out of range, new or gone."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from monitoring.stats.columns import CategoricalColumn, Kind, NumericColumn
from monitoring.stats.grid import Grid
from monitoring.stats.report import plain
from monitoring.stats.significance import holm
from monitoring.stats.tally import OTHER, Tally

NAMES_SHOWN = 20


@dataclass(frozen=True, slots=True)
class Share:
    """A share of the window's rows against the same share of the baseline's."""

    count: int
    share: float | None  # None: no rows
    baseline_share: float | None
    p_value: float | None  # two proportions; None: a side has no rows
    p_value_corrected: float | None  # Holm, over the columns
    # significant, and higher by the least increase that matters
    finding: bool


@dataclass(frozen=True, slots=True)
class ColumnQuality:
    """One column; checks that don't apply to its kind are absent."""

    name: str
    kind: Kind
    rows: int
    rows_baseline: int
    checks: Mapping[str, Share]
    new_categories: Mapping[str, int]  # the most frequent, by count
    vanished_categories: tuple[str, ...]  # absent beyond chance

    @property
    def findings(self) -> tuple[str, ...]:
        """Names of the checks that found something."""
        found = [name for name, check in self.checks.items() if check.finding]
        return (
            (*found, "vanished_category") if self.vanished_categories else tuple(found)
        )


@dataclass(frozen=True, slots=True)
class QualityReport:
    """The data quality of a window."""

    columns: Mapping[str, ColumnQuality]

    @property
    def findings(self) -> dict[str, tuple[str, ...]]:
        """Column → checks, where something was found."""
        return {name: c.findings for name, c in self.columns.items() if c.findings}

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON values, None for what isn't finite; columns as a list."""
        columns = []
        for column in self.columns.values():
            checks = {
                name: {field: getattr(check, field) for field in check.__slots__}
                for name, check in column.checks.items()
            }
            fields = {name: getattr(column, name) for name in column.__slots__}
            columns.append(fields | {"checks": checks, "findings": column.findings})
        result: dict[str, Any] = plain({"findings": self.findings})
        result["columns"] = [plain(column) for column in columns]
        return result


def assess(
    grid: Grid, window: Tally, *, alpha: float = 0.05, min_increase: float = 0.01
) -> QualityReport:
    """Compare the window's shares of bad values with the baseline's.

    Checks: ``missing`` and ``invalid`` (of all rows), ``out_of_range`` (of the values:
    below the baseline's minimum or above its maximum), ``new_category`` (of the
    values: categories the baseline doesn't have).

    Parameters
    ----------
    grid : Grid
        The active baseline.
    window : Tally
        The window's counts on that grid.
    alpha : float
        Level of the tests, after Holm over the columns.
    min_increase : float
        Least increase of a share that is a finding, in [0, 1].

    """
    counted = {
        column.name: (_counts(column, window), _baseline_counts(column, grid.baseline))
        for column in grid.columns.values()
    }
    families: dict[str, dict[str, float]] = {}
    for name, (now, before) in counted.items():
        for check in now:
            p_value = two_proportions(*now[check], *before[check])
            if p_value is not None:
                families.setdefault(check, {})[name] = p_value
    corrected = {check: holm(family) for check, family in families.items()}
    columns = {}
    for name, column in grid.columns.items():
        now, before = counted[name]
        checks = {
            check: _share(
                now[check],
                before[check],
                families.get(check, {}).get(name),
                corrected.get(check, {}).get(name),
                (alpha, min_increase),
            )
            for check in now
        }
        columns[name] = ColumnQuality(
            name,
            column.kind,
            now["missing"][1],
            before["missing"][1],
            checks,
            _new(column, grid.baseline, window),
            _vanished(column, grid.baseline, window, alpha),
        )
    return QualityReport(columns)


def two_proportions(
    count: int, rows: int, count_baseline: int, rows_baseline: int
) -> float | None:
    """Return the two-sided p-value that two shares are equal.

    Pooled normal test where every expected count is 5 or more; else the binomial test
    of the rarer outcome's split over the two sides, which holds for rare events.

    Parameters
    ----------
    count, count_baseline : int
        Rows that have the property, of `rows` and `rows_baseline`.

    Returns
    -------
    float or None
        None if a side has no rows.

    Examples
    --------
    >>> round(two_proportions(40, 1000, 20, 1000), 4)
    0.0088
    >>> round(two_proportions(3, 100, 0, 10_000), 8)
    1.94e-06

    """
    total, found = rows + rows_baseline, count + count_baseline
    if rows <= 0 or rows_baseline <= 0:
        return None
    if not 0 < found < total:
        return 1.0
    if found > total / 2:
        found = total - found
        count = rows - count
    if found * min(rows, rows_baseline) < 5 * total:
        return _binomial(count, found, rows / total)
    share = found / total
    error = math.sqrt(share * (1 - share) * (1 / rows + 1 / rows_baseline))
    gap = count / rows - (found - count) / rows_baseline
    return math.erfc(abs(gap) / error / math.sqrt(2))


def _binomial(count: int, found: int, chance: float) -> float:
    """Return the two-sided p-value of `count` of `found`, twice the smaller tail."""
    from scipy.special import bdtr, bdtrc

    below = float(bdtr(count, found, chance))
    above = float(bdtrc(count - 1, found, chance)) if count else 1.0
    return min(1.0, 2 * min(below, above))


Counted = dict[str, tuple[int, int]]  # check → rows that have it, rows


def _counts(column: NumericColumn | CategoricalColumn, tally: Tally) -> Counted:
    cells = tally.ints[column.cells]
    missing, invalid = tally.ints[column.cells.stop : column.cells.stop + 2].tolist()
    values = int(cells.sum()) + sum(tally.unseen.get(column.name, {}).values())
    rows = values + missing + invalid
    counts = {"missing": (missing, rows), "invalid": (invalid, rows)}
    if isinstance(column, NumericColumn):
        size = len(column.points)
        outside = int(cells[0] + cells[size]) if size else 0
        counts["out_of_range"] = outside, values
    else:
        counts["new_category"] = values - int(cells.sum()), values
    return counts


def _baseline_counts(
    column: NumericColumn | CategoricalColumn, baseline: Tally
) -> Counted:
    counts = _counts(column, baseline)
    if isinstance(column, NumericColumn) and len(column.points):
        # The baseline can't leave its own range. Each extreme that occurs once would
        # be outside of the others' range, and so is as many rows to expect.
        equal = baseline.ints[column.cells][len(column.points) + 1 :]
        single = int(equal[0] == 1) + int(equal[-1] == 1)
        counts["out_of_range"] = single, counts["out_of_range"][1]
    return counts


def _share(
    now: tuple[int, int],
    before: tuple[int, int],
    p_value: float | None,
    corrected: float | None,
    gates: tuple[float, float],
) -> Share:
    alpha, min_increase = gates
    share = now[0] / now[1] if now[1] else None
    baseline_share = before[0] / before[1] if before[1] else None
    finding = (
        share is not None
        and baseline_share is not None
        and corrected is not None
        and corrected < alpha
        and share - baseline_share >= min_increase
    )
    return Share(now[0], share, baseline_share, p_value, corrected, finding)


def _new(
    column: NumericColumn | CategoricalColumn, baseline: Tally, window: Tally
) -> dict[str, int]:
    known = baseline.unseen.get(column.name, {})
    names = {
        name: count
        for name, count in window.unseen.get(column.name, {}).items()
        if count > 0 and (name not in known or name == OTHER)
    }
    top = sorted(names, key=lambda name: (-names[name], name))[:NAMES_SHOWN]
    return {name: names[name] for name in top}


def _vanished(
    column: NumericColumn | CategoricalColumn,
    baseline: Tally,
    window: Tally,
    alpha: float,
) -> tuple[str, ...]:
    """Return the categories whose absence chance doesn't explain, Bonferroni's way."""
    if isinstance(column, NumericColumn):
        return ()
    before, now = baseline.ints[column.cells], window.ints[column.cells]
    rows = _counts(column, window)["new_category"][1]
    rows_baseline = _counts(column, baseline)["new_category"][1]
    gone = np.flatnonzero((before > 0) & (now == 0))
    limit = alpha / max(len(column.categories), 1)
    result = []
    for place in gone.tolist():
        p_value = two_proportions(0, rows, int(before[place]), rows_baseline)
        if p_value is not None and p_value < limit:
            result.append(column.categories[place])
    return tuple(result)
