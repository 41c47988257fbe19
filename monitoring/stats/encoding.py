"""Columns of all kinds as one table of standardised numbers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from governance.labels import canonical
from monitoring.stats.answers import numbers
from monitoring.stats.columns import Codes, Kind, Values, by_category
from monitoring.stats.measure import NoDataError
from monitoring.stats.moments import moments, standardised
from monitoring.stats.tally import Floats

Columns = Mapping[str, Values]
Kinds = Mapping[str, Kind]


@dataclass(frozen=True, slots=True)
class _Column:
    name: str
    fill: float  # what a missing value counts as
    frequencies: Mapping[str, float] | None  # of the categories; None: numeric
    mean: float
    deviation: float  # 0: constant

    def values(self, column: Values | None, rows: int) -> Floats:
        """Return the column as numbers, missing ones filled."""
        if column is None:
            return np.full(rows, self.fill)
        found = _frequencies(column, self) if self.frequencies else numbers(column)
        found[np.isnan(found)] = self.fill
        return found


@dataclass(frozen=True, slots=True)
class Encoding:
    """How a baseline turns rows into vectors.

    A missing number counts as the baseline's mean, a missing category as the most
    frequent one (the first in alphabetical order, if several are). A category is
    replaced by its share of the baseline's rows, one that the baseline doesn't have
    by 0. Then each column has mean 0 and standard deviation 1 (ddof 0) over the
    baseline; a constant one is only centred.

    Attributes
    ----------
    names : tuple of str
        The columns of the table.
    left_out : tuple of str
        Columns without a value in the baseline, of which nothing can be said.
    """

    columns: tuple[_Column, ...]
    left_out: tuple[str, ...]

    @classmethod
    def fit(cls, baseline: Columns, kinds: Kinds) -> Encoding:
        """Return the encoding of a baseline.

        Parameters
        ----------
        baseline : mapping of str to array, sequence or Codes
            Columns of the same length.
        kinds : mapping of str to {"numeric", "categorical"}
            The columns to use.

        Raises
        ------
        NoDataError
            No column has a value.
        ValueError
            The columns differ in length.
        """
        rows = row_count(baseline, kinds)
        fitted, left_out = [], []
        for name, kind in kinds.items():
            column = _fit(name, kind, baseline.get(name), rows)
            if column is None:
                left_out.append(name)
            else:
                fitted.append(column)
        if not fitted:
            raise NoDataError("the baseline has no value in any column")
        return cls(tuple(fitted), tuple(left_out))

    @property
    def names(self) -> tuple[str, ...]:
        """The columns of the table."""
        return tuple(column.name for column in self.columns)

    def transform(self, rows: Columns) -> Floats:
        """Return the table of some rows.

        Parameters
        ----------
        rows : mapping of str to array, sequence or Codes
            Columns of the same length; one that is absent counts as missing.

        Returns
        -------
        float array, shape (n_rows, n_columns)
            In column-major order.
        """
        count = row_count(rows, self.names)
        table = np.empty((count, len(self.columns)), order="F")
        for place, column in enumerate(self.columns):
            values = column.values(rows.get(column.name), count)
            table[:, place] = standardised(values, column.mean, column.deviation)
        return table


def row_count(columns: Columns, names: Sequence[str] | Kinds) -> int:
    """Return the common length of some columns, 0 if none of them is there.

    Raises
    ------
    ValueError
        They differ in length.
    """
    lengths = {name: len(columns[name]) for name in names if name in columns}
    if len(set(lengths.values())) > 1:
        told = ", ".join(f"{name} has {length}" for name, length in lengths.items())
        raise ValueError(f"the columns must be of one length, but {told}")
    return next(iter(lengths.values()), 0)


def take(column: Values, rows: NDArray[np.intp]) -> Values:
    """Return some rows of a column."""
    if isinstance(column, Codes):
        return Codes(column.codes[rows], column.categories)
    if isinstance(column, np.ndarray):
        return column[rows]
    return [column[row] for row in rows]


def _fit(name: str, kind: Kind, values: Values | None, rows: int) -> _Column | None:
    if values is None or not rows:
        return None
    if kind == "categorical":
        counts, missing = by_category(values)
        if not counts:
            return None
        top = min(counts, key=lambda category: (-counts[category], category))
        counts[top] += missing
        shares = {category: count / rows for category, count in counts.items()}
        bare = _Column(name, shares[top], shares, 0.0, 1.0)
    else:
        found = numbers(values)
        known = found[~np.isnan(found)]
        if not len(known):
            return None
        bare = _Column(name, moments(known)[0], None, 0.0, 1.0)
    encoded = bare.values(values, rows)
    mean, deviation = moments(encoded)
    return _Column(name, bare.fill, bare.frequencies, mean, deviation)


def _frequencies(column: Values, fitted: _Column) -> Floats:
    """Return the baseline's share of each row's category, NaN where it is missing."""
    known = fitted.frequencies or {}

    def of(value: object) -> float:
        text = canonical(value)
        return np.nan if text is None else known.get(text, 0.0)

    if isinstance(column, Codes):
        # The last entry is where the code -1 of a missing value points.
        by_code = np.array([*map(of, column.categories), np.nan])
        return np.take(by_code, column.codes)
    listed = column.tolist() if isinstance(column, np.ndarray) else column
    shares = {value: of(value) for value in set(listed)}
    return np.array([shares[value] for value in listed], np.float64)
