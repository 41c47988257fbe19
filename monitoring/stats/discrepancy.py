"""Distances of two clouds of points, tested by dealing the rows out anew.

Both are sums over pairs of rows, so a sample is drawn of either side, and the table of
its pairs is made once for all permutations.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from monitoring.stats.encoding import Columns, Encoding, Kinds, row_count, take
from monitoring.stats.measure import InsufficientDataError, Measure, NoDataError
from monitoring.stats.tally import Floats

MAX_ROWS = 1_000
MIN_ROWS = 30
PERMUTATIONS = 200
# Permutations whose sums are computed at once.
_AT_ONCE = 100


def mmd(
    baseline: Columns,
    window: Columns,
    kinds: Kinds,
    *,
    max_rows: int = MAX_ROWS,
    permutations: int = PERMUTATIONS,
    seed: int = 0,
) -> Measure:
    """Return the maximum mean discrepancy under a Gaussian kernel.

    The columns are standardised as `Encoding` says; the kernel is exp(-d²/2h²), h the
    median distance of two different rows. `statistic` is the unbiased estimate of
    MMD², which may be negative; the score is its root, or 0. The p-value is the share
    of permutations that reach the statistic, itself included.

    Parameters
    ----------
    baseline, window : mapping of str to array, sequence or Codes
        Columns of the same length on either side.
    kinds : mapping of str to {"numeric", "categorical"}
        The columns to use.
    max_rows : int
        Rows drawn of each side, without replacement.
    permutations : int
        How often the rows are dealt out anew.
    seed : int
        Of the draw and the permutations.

    Raises
    ------
    NoDataError
        A side has no rows or the baseline no value.
    InsufficientDataError
        A side has fewer than 30 rows.

    References
    ----------
    Gretton et al., JMLR 13 (2012) 723-773, lemma 6 and section 8.
    """
    table, n_baseline = _drawn(baseline, window, kinds, max_rows, seed)
    squares = _squared_distances(table)
    upper = squares[np.triu_indices(len(squares), 1)]
    positive = upper[upper > 0]
    # Where more than half of the pairs are equal, the median of the others.
    middle = float(np.median(positive)) if len(positive) else 1.0
    with np.errstate(over="ignore"):
        kernel = np.exp(-squares / (2 * middle))
    found, p_value = _permuted(kernel, n_baseline, _unbiased, permutations, seed)
    return Measure(
        math.sqrt(max(found, 0.0)),
        n_baseline,
        len(table) - n_baseline,
        statistic=found,
        p_value=p_value,
        p_value_method="permutation",
        detail={"bandwidth": math.sqrt(middle), "permutations": permutations},
    )


def energy_distance(
    baseline: Columns,
    window: Columns,
    kinds: Kinds,
    *,
    max_rows: int = MAX_ROWS,
    permutations: int = PERMUTATIONS,
    seed: int = 0,
) -> Measure:
    """Return the energy distance, the root of 2 E|X-Y| - E|X-X'| - E|Y-Y'|.

    Parameters and errors are those of `mmd`. In one column it is
    `scipy.stats.energy_distance` of the standardised values.

    References
    ----------
    Székely and Rizzo, JSPI 143 (2013) 1249-1272, sections 2 and 6.
    """
    table, n_baseline = _drawn(baseline, window, kinds, max_rows, seed)
    nearness = -np.sqrt(_squared_distances(table))
    found, p_value = _permuted(nearness, n_baseline, _biased, permutations, seed)
    return Measure(
        math.sqrt(max(found, 0.0)),
        n_baseline,
        len(table) - n_baseline,
        statistic=found,
        p_value=p_value,
        p_value_method="permutation",
        detail={"permutations": permutations},
    )


def _drawn(
    baseline: Columns, window: Columns, kinds: Kinds, most: int, seed: int
) -> tuple[Floats, int]:
    """Return standardised rows of both sides, and how many are the baseline's."""
    encoding = Encoding.fit(baseline, kinds)
    rng = np.random.default_rng(seed)
    tables = []
    for side in (baseline, window):
        rows = row_count(side, kinds)
        if not rows:
            raise NoDataError("a side has no rows")
        if rows < MIN_ROWS:
            msg = f"{rows} rows on a side, {MIN_ROWS} are needed"
            raise InsufficientDataError(msg)
        chosen = np.arange(rows)
        if rows > most:
            chosen = np.sort(rng.choice(rows, most, replace=False))
        mine = {
            name: take(side[name], chosen) for name in encoding.names if name in side
        }
        tables.append(encoding.transform(mine))
    return np.concatenate(tables), len(tables[0])


def _squared_distances(table: Floats) -> Floats:
    lengths = np.einsum("ij,ij->i", table, table)
    squares: Floats = lengths[:, None] + lengths - 2 * (table @ table.T)
    # What rounding leaves of the distance of equal rows.
    squares[squares < 1e-12 * (lengths[:, None] + lengths)] = 0.0
    return squares


_Statistic = Callable[[Floats, Floats, Floats, int, int], Floats]


def _permuted(
    kernel: Floats, n_baseline: int, statistic: _Statistic, times: int, seed: int
) -> tuple[float, float]:
    """Return the statistic, and the p-value by dealing the rows out anew."""
    total = len(kernel)
    rng = np.random.default_rng(seed)
    is_first = np.arange(total) < n_baseline
    found = float(_statistics(kernel, is_first[:, None], statistic)[0])
    reached = 1
    for start in range(0, times, _AT_ONCE):
        size = min(_AT_ONCE, times - start)
        dealt = np.stack([rng.permutation(is_first) for _ in range(size)], axis=1)
        others = _statistics(kernel, dealt, statistic)
        # Rounding mustn't tell equal statistics apart.
        reached += int(np.count_nonzero(others >= found - 1e-12 * abs(found)))
    return found, reached / (times + 1)


def _statistics(
    kernel: Floats, is_first: NDArray[np.bool_], statistic: _Statistic
) -> Floats:
    """Return the statistic of each column of a table of divisions."""
    first = is_first.astype(np.float64)
    n = int(first[:, 0].sum())
    m = len(first) - n
    toward_first = kernel @ first
    within_first = np.einsum("ij,ij->j", toward_first, first)
    across = toward_first.sum(0) - within_first
    within_second = float(kernel.sum()) - within_first - 2 * across
    return statistic(within_first, within_second, across, n, m)


def _unbiased(first: Floats, second: Floats, across: Floats, n: int, m: int) -> Floats:
    """Return MMD² without the pairs of a row with itself, whose kernel is 1."""
    return (
        (first - n) / (n * (n - 1))
        + (second - m) / (m * (m - 1))
        - 2 * across / (n * m)
    )


def _biased(first: Floats, second: Floats, across: Floats, n: int, m: int) -> Floats:
    return first / (n * n) + second / (m * m) - 2 * across / (n * m)
