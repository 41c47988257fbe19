"""One column of a grid: its points or categories, and how values are counted on it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Self

import numpy as np
from numpy.typing import NDArray

from governance.labels import canonical
from monitoring.stats.placing import MIN_ROWS, Buckets
from monitoring.stats.tally import Floats, Ints, Tally

Kind = Literal["numeric", "categorical"]

MAX_DISTINCT = 4_096
QUANTILE_POINTS = 2_048
MAX_CATEGORIES = 4_096
# Sums serve moments and the Wasserstein interval alone, yet eight bytes each: one for
# every cell would be four fifths of a stored profile.
MAX_SUMS = 128
# Bounds the copies that counting needs.
ROWS_AT_ONCE = 1 << 17

_DECILES = np.arange(1, 10) / 10


@dataclass(frozen=True, slots=True, eq=False)
class Codes:
    """A categorical column as positions in a list of categories, -1 if missing."""

    codes: NDArray[np.integer[Any]]
    categories: Sequence[str]

    def __len__(self) -> int:
        return len(self.codes)


Values = NDArray[Any] | Sequence[Any] | Codes


def ordered(values: NDArray[Any] | Sequence[Any]) -> tuple[Floats, int, int]:
    """Return a sorted copy of the finite values, the number missing and of ±inf."""
    work = np.array(values, dtype=np.float64)
    work.sort()
    # sorted, NaN stand last
    known = int(np.searchsorted(work, np.nan))
    first = int(np.searchsorted(work[:known], -np.inf, "right"))
    last = int(np.searchsorted(work[:known], np.inf))
    return work[first:last], len(work) - known, known - (last - first)


class Ordered:
    """A numeric column that is sorted already.

    It stands where numeric values are taken: given both sides so, all that compare a
    column share one sorting and, by `pairs.Pair`, one merging.

    Attributes
    ----------
    values : float array, shape (n,)
        The finite ones, rising.
    missing, infinite : int
        How many values were NaN, and ±inf.
    """

    __slots__ = ("infinite", "missing", "pair", "values")

    def __init__(self, values: NDArray[Any] | Sequence[Any] | Codes) -> None:
        self.values, self.missing, self.infinite = ordered(numbers(values))
        self.pair: Any = None  # the last `pairs.Pair` that this is the window of

    def __len__(self) -> int:
        return len(self.values) + self.missing + self.infinite


def distinct(ascending: Floats) -> Floats:
    """Return each of the sorted values once."""
    first = np.ones(len(ascending), np.bool_)
    np.not_equal(ascending[1:], ascending[:-1], out=first[1:])
    return ascending[first]


def psi_edges(values: Floats) -> Floats:
    """Return the inner edges of the PSI bins: the distinct deciles.

    Parameters
    ----------
    values : array, shape (n,)
        Finite values; n may be 0.

    Returns
    -------
    array, shape (k,), k ≤ 9
        ``unique(quantile(values, [.1 … .9]))``, linear interpolation.

    Examples
    --------
    >>> psi_edges(np.arange(11.0)).tolist()
    [1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0, 9.0]
    >>> psi_edges(np.array([7.0, 7.0])).tolist()
    [7.0]

    """
    if not len(values):
        return np.zeros(0)
    with np.errstate(over="ignore", invalid="ignore"):
        edges = np.quantile(values, _DECILES)
    if not np.isfinite(edges).all():
        # the distance of two values near ±1e308 is beyond float64, half of it isn't
        edges = np.quantile(values / 2, _DECILES) * 2
    return np.unique(edges) + 0.0


def finite(
    values: NDArray[Any] | Sequence[Any],
) -> tuple[Floats, int, int]:
    """Return the finite values, the number missing and of ±inf."""
    column = np.asarray(values, dtype=np.float64)
    are_finite = np.isfinite(column)
    if are_finite.all():
        return column, 0, 0
    missing = int(np.isnan(column).sum())
    known = column[are_finite]
    return known, missing, len(column) - missing - len(known)


def limits(ascending: Floats, points: Floats) -> tuple[Ints, Ints]:
    """Return how many values lie below each point, and how many up to it.

    Parameters
    ----------
    ascending : array, shape (n,), n > 0
        Sorted finite values.
    points : array, shape (m,)
        Rising grid points.

    Returns
    -------
    below, upto : int64 array, shape (m,)
        Where no value equals a point, both are the same array.

    """
    below = np.searchsorted(ascending, points)
    # the second search only where the first one hit: on continuous data, nowhere
    hits = ascending.take(below, mode="clip") == points
    if not hits.any():
        return below, below
    upto = below.copy()
    upto[hits] = np.searchsorted(ascending, points[hits], "right")
    return below, upto


def between(ascending: Floats, edges: Floats) -> Ints:
    """Return the counts of the right-closed bins between the edges, outer ones open."""
    return steps(np.searchsorted(ascending, edges, "right"), len(ascending))


def steps(upto: NDArray[np.intp], total: int) -> Ints:
    """Return the counts between running counts, from 0 and up to the total."""
    ends = np.empty(len(upto) + 2, np.int64)
    ends[0], ends[-1] = 0, total
    ends[1:-1] = upto
    return ends[1:] - ends[:-1]


@dataclass(frozen=True, slots=True, eq=False)
class NumericColumn:
    """The grid of one numeric column and its place in a tally.

    Integers: m + 1 open cells (below the first point, between it and the next, ...,
    above the last), m counts of values equal to a point, missing, invalid. Sums:
    values minus `centre`, one sum below the first point and one from each bound up to
    the next; then the sum of squares.
    """

    name: str
    points: Floats  # shape (m,), rising; the baseline's minimum and maximum are among
    edges: Floats  # inner edges of the PSI bins, each one of the points
    centre: float  # the baseline's median: keeps the variance from cancelling
    thinned: bool
    first_int: int
    first_sum: int

    @classmethod
    def fit(cls, name: str, values: Values, first_int: int, first_sum: int) -> Self:
        """Return the grid of the baseline's values."""
        ascending, _, _ = ordered(numbers(values))
        ascending += 0.0  # -0.0 becomes 0.0
        count = len(ascending)
        edges = psi_edges(ascending)
        points = distinct(ascending)
        thinned = len(points) > MAX_DISTINCT
        if thinned:
            # Between neighbouring ranks lie less than 1/2048 of the values, so each
            # atom of 0.1 % is a point by itself.
            steps = np.arange(1, QUANTILE_POINTS + 1) * count
            points = ascending[np.append(0, -(-steps // QUANTILE_POINTS) - 1)]
        points = np.union1d(points, edges)
        centre = float(ascending[count // 2]) if count else 0.0
        return cls(name, points, edges, centre, thinned, first_int, first_sum)

    @property
    def kind(self) -> Kind:
        """What drift may be measured on the column."""
        return "numeric"

    @property
    def cells(self) -> slice:
        """Where the open cells and the points stand in a tally's ints."""
        return slice(self.first_int, self.first_int + 2 * len(self.points) + 1)

    @property
    def sums(self) -> slice:
        """Where the sums between bounds stand in a tally's sums."""
        return slice(self.first_sum, self.first_sum + self.sums_length - 1)

    @property
    def bounds(self) -> NDArray[np.intp]:
        """The points from which sums start; the first and the last are among them."""
        size = len(self.points)
        inner = np.arange(0, size - 1, max(1, -(-size // MAX_SUMS)))
        return np.append(inner, size - 1)[: size or 0]

    @property
    def ints_length(self) -> int:
        """How many ints the column takes."""
        return 2 * len(self.points) + 3

    @property
    def sums_length(self) -> int:
        """How many sums the column takes."""
        return len(self.bounds) + 2

    def count(self, values: Values | Ordered, into: Tally) -> None:
        """Add the values to the tally; None and NaN are missing, ±inf invalid."""
        if isinstance(values, Ordered):
            self._add_faults(values.missing, values.infinite, into)
            self._add_sorted(values.values.copy(), into)
            return
        rows = numbers(values)
        for start in range(0, len(rows), ROWS_AT_ONCE):
            known, missing, infinite = finite(rows[start : start + ROWS_AT_ONCE])
            self._add_faults(missing, infinite, into)
            self._add(known, into)

    def _add_faults(self, missing: int, infinite: int, into: Tally) -> None:
        into.ints[self.cells.stop] += missing
        into.ints[self.cells.stop + 1] += infinite

    def _add(self, values: Floats, into: Tally) -> None:
        """Add finite values in any order."""
        buckets = Buckets.over(self.points) if len(values) >= MIN_ROWS else None
        if buckets is None:
            self._add_sorted(np.sort(values), into)
            return
        placed = buckets.place(values)
        self._add_limits(*placed.limits(), len(values), into)
        # Which sum a value belongs to, by the number of points up to it.
        of = np.searchsorted(self.bounds, np.arange(-1, len(self.points)), "right")
        with np.errstate(over="ignore", invalid="ignore"):
            work = values - self.centre
            into.sums[self.sums] += np.bincount(
                of[placed.below + placed.hits], work, minlength=self.sums_length - 1
            )
            into.sums[self.sums.stop] += work @ work

    def _add_sorted(self, ascending: Floats, into: Tally) -> None:
        """Add sorted finite values, which are overwritten."""
        if not len(ascending):
            return
        below, upto = limits(ascending, self.points)
        self._add_limits(below, upto, len(ascending), into)
        starts = np.append(0, below[self.bounds])
        filled = np.diff(starts, append=len(ascending)) > 0
        with np.errstate(over="ignore", invalid="ignore"):
            ascending -= self.centre
            into.sums[self.sums][filled] += np.add.reduceat(ascending, starts[filled])
            into.sums[self.sums.stop] += ascending @ ascending

    def _add_limits(self, below: Ints, upto: Ints, count: int, into: Tally) -> None:
        """Add so many values, of which these lie below the points and up to them."""
        cells = into.ints[self.cells]
        size = len(self.points)
        cells[0] += below[0] if size else count
        cells[1:size] += below[1:] - upto[:-1]
        cells[size] += count - upto[-1] if size else 0
        cells[size + 1 :] += upto - below


@dataclass(frozen=True, slots=True, eq=False)
class CategoricalColumn:
    """The categories of one column and its place in a tally.

    Integers: one count for each category, missing, invalid. No sums; categories that
    the baseline doesn't have are counted by name.
    """

    name: str
    categories: tuple[str, ...]
    first_int: int
    first_sum: int

    @classmethod
    def fit(cls, name: str, values: Values, first_int: int, first_sum: int) -> Self:
        """Return the categories of the baseline, the most frequent if too many."""
        counts, _ = by_category(values)
        names = sorted(counts, key=lambda name: (-counts[name], name))
        kept = tuple(sorted(names[:MAX_CATEGORIES]))
        return cls(name, kept, first_int, first_sum)

    @property
    def kind(self) -> Kind:
        """What drift may be measured on the column."""
        return "categorical"

    @property
    def cells(self) -> slice:
        """Where the categories' counts stand in a tally's ints."""
        return slice(self.first_int, self.first_int + len(self.categories))

    @property
    def ints_length(self) -> int:
        """How many ints the column takes."""
        return len(self.categories) + 2

    @property
    def sums_length(self) -> int:
        """How many sums the column takes."""
        return 0

    def count(self, values: Values | Ordered, into: Tally) -> None:
        """Add the values to the tally; None, NaN and code -1 are missing."""
        if isinstance(values, Ordered):
            raise TypeError("a categorical column has names, not sorted numbers")
        counts, missing = by_category(values)
        cells = into.ints[self.cells]
        for place, category in enumerate(self.categories):
            cells[place] += counts.pop(category, 0)
        into.ints[self.cells.stop] += missing
        if counts:
            into.add_unseen(self.name, counts)


def numbers(values: Values) -> NDArray[Any] | Sequence[Any]:
    """Return the values, which must not be codes."""
    if isinstance(values, Codes):
        raise TypeError("a numeric column has values, not codes")
    return values


def count_codes(column: Codes) -> Ints:
    """Return the number of missing rows, then the number of each category.

    Raises
    ------
    ValueError
        A code is below -1 or has no category.

    """
    size = len(column.categories) + 1
    counts = np.zeros(size, np.int64)
    # in pieces that stay in the cache, as bincount wants 64 bits a row
    for start in range(0, len(column.codes), 1 << 16):
        piece = column.codes[start : start + (1 << 16)].astype(np.intp)
        piece += 1
        found = np.bincount(piece, minlength=size)
        if len(found) > size:
            raise ValueError(f"code {len(found) - 2} of {size - 1} categories")
        counts += found
    return counts


def by_category(values: Values) -> tuple[dict[str, int], int]:
    """Return the count of each category that occurs, and the number missing.

    Examples
    --------
    >>> by_category([1, True, "1", None, "b"])
    ({'1': 3, 'b': 1}, 1)
    >>> by_category(Codes(np.array([0, -1, 1, 0]), ["x", "y"]))
    ({'x': 2, 'y': 1}, 1)

    """
    found: Iterable[tuple[Any, int]]
    if isinstance(values, Codes):
        missing, *known = count_codes(values).tolist()
        found = zip(values.categories, known, strict=True)
    else:
        listed = values.tolist() if isinstance(values, np.ndarray) else values
        found = Counter(listed).items()
        missing = 0
    counts: dict[str, int] = {}
    for value, count in found:
        category = canonical(value)
        if category is None:
            missing += count
        elif count:
            counts[category] = counts.get(category, 0) + count
    return counts, missing
