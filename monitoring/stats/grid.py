"""The baseline grid: what a window is counted on, so that no raw row is needed."""

from __future__ import annotations

import hashlib
import json
import struct
from collections.abc import Iterable, Mapping
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np

from governance.labels import canonical as canonical
from monitoring.stats.columns import (
    CategoricalColumn,
    Kind,
    NumericColumn,
    Ordered,
    Values,
)
from monitoring.stats.columns import Codes as Codes
from monitoring.stats.tally import Tally

GridColumn = NumericColumn | CategoricalColumn

_VERSION = 1
_HEADER = struct.Struct("<BI")
_FLOAT = np.dtype("<f8")


class Span(NamedTuple):
    """Where one column stands in the arrays of a tally."""

    ints: slice
    sums: slice


class Grid:
    """Grid points and categories of a baseline, with the baseline's own counts.

    A numeric column keeps its sorted distinct values if there are at most 4,096,
    otherwise 2,048 quantile points, minimum and maximum. Every edge of a PSI bin is
    a point in both cases. So the two-sample Kolmogorov-Smirnov statistic from counts
    is exact, or within 1/2048 where the grid is thinned (statistics.md, "The grid").
    A column without a value, or of one value only, is legal.

    Attributes
    ----------
    columns : dict of str to NumericColumn or CategoricalColumn
        In the order given to `fit`.
    ints_length, sums_length : int
        Lengths of the arrays of every tally on this grid.
    baseline : Tally
        The baseline counted on its own grid.

    Examples
    --------
    >>> grid = Grid.fit({"age": [30.0, 40.0, 40.0]}, {"age": "numeric"})
    >>> grid.columns["age"].points.tolist()
    [30.0, 32.0, 34.0, 36.0, 38.0, 40.0]
    >>> tally = grid.count({"age": [29.0, 40.0, 40.0, None]})
    >>> tally.ints.tolist()
    [1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2, 1, 0]

    """

    def __init__(self, columns: Iterable[GridColumn]):
        self.columns = {column.name: column for column in columns}
        self.ints_length = sum(c.ints_length for c in self.columns.values())
        self.sums_length = sum(c.sums_length for c in self.columns.values())
        self.baseline = self.empty()

    @classmethod
    def fit(cls, columns: Mapping[str, Values], kinds: Mapping[str, Kind]) -> Grid:
        """Return the grid of a baseline.

        Parameters
        ----------
        columns : mapping of str to array, sequence or Codes
            Numeric: float64 with NaN (or None) for missing. Categorical: text or None,
            or `Codes`; values are compared by their canonical text.
        kinds : mapping of str to {"numeric", "categorical"}
            The columns of the grid; one that `columns` doesn't have is empty.

        Raises
        ------
        ValueError, TypeError
            A numeric column has values that are no numbers.

        """
        fitted: list[GridColumn] = []
        ints = sums = 0
        for name, kind in kinds.items():
            make = NumericColumn if kind == "numeric" else CategoricalColumn
            column = make.fit(name, columns.get(name, ()), ints, sums)
            ints += column.ints_length
            sums += column.sums_length
            fitted.append(column)
        grid = cls(fitted)
        grid.baseline = grid.count(columns)
        return grid

    @cached_property
    def layout(self) -> dict[str, Span]:
        """Where each column stands in the arrays of a tally."""
        return {
            name: Span(
                slice(c.first_int, c.first_int + c.ints_length),
                slice(c.first_sum, c.first_sum + c.sums_length),
            )
            for name, c in self.columns.items()
        }

    def empty(self) -> Tally:
        """Return the tally of no rows."""
        return Tally.empty(self.ints_length, self.sums_length)

    def count(
        self,
        columns: Mapping[str, Values | Ordered],
        *,
        invalid: Mapping[str, int] | None = None,
    ) -> Tally:
        """Return the counts of a window's columns.

        Parameters
        ----------
        columns : mapping of str to array, sequence, Codes or Ordered
            As in `fit`. Columns that the grid doesn't have are passed over; a column
            of the grid that is absent here adds nothing.
        invalid : mapping of str to int, optional
            Values that were refused before they became a column.

        """
        tally = self.empty()
        for name, column in self.columns.items():
            if name in columns:
                column.count(columns[name], tally)
            if invalid and name in invalid:
                tally.ints[column.cells.stop + 1] += invalid[name]
        return tally

    def merge(self, blobs: Iterable[bytes | memoryview]) -> Tally:
        """Return the sum of stored tallies of this grid."""
        return Tally.merge_bytes(blobs, self.ints_length, self.sums_length)

    def to_bytes(self) -> bytes:
        """Return the grid with its baseline's counts; equal grids give equal bytes."""
        heads: list[dict[str, Any]] = []
        arrays: list[bytes] = []
        for column in self.columns.values():
            head: dict[str, Any] = {"name": column.name, "kind": column.kind}
            if isinstance(column, NumericColumn):
                head |= {"points": len(column.points), "edges": len(column.edges)}
                head["thinned"] = column.thinned
                for part in (column.points, column.edges, np.array([column.centre])):
                    arrays.append(part.astype(_FLOAT).tobytes())
            else:
                head["categories"] = column.categories
            heads.append(head)
        header = json.dumps(heads, sort_keys=True, separators=(",", ":")).encode()
        prefix = _HEADER.pack(_VERSION, len(header))
        return b"".join((prefix, header, *arrays, self.baseline.to_bytes()))

    @classmethod
    def from_bytes(cls, data: bytes | memoryview) -> Grid:
        """Return what `to_bytes` wrote.

        Raises
        ------
        ValueError
            The bytes are cut or of another version.

        """
        data = bytes(data)
        if len(data) < _HEADER.size:
            raise ValueError(f"not a grid: {len(data)} bytes")
        version, length = _HEADER.unpack_from(data)
        if version != _VERSION:
            raise ValueError(f"grid of version {version}, expected {_VERSION}")
        at = _HEADER.size + length
        columns: list[GridColumn] = []
        ints = sums = 0
        for head in json.loads(data[_HEADER.size : at]):
            column: GridColumn
            if head["kind"] == "numeric":
                column, at = _read_numeric(data, at, head, ints, sums)
            else:
                names = tuple(head["categories"])
                column = CategoricalColumn(head["name"], names, ints, sums)
            ints += column.ints_length
            sums += column.sums_length
            columns.append(column)
        grid = cls(columns)
        grid.baseline = grid.merge((data[at:],))
        return grid

    @cached_property
    def digest(self) -> str:
        """SHA-256 of the grid's bytes, in hexadecimal."""
        return hashlib.sha256(self.to_bytes()).hexdigest()


def _read_numeric(
    data: bytes, at: int, head: dict[str, Any], first_int: int, first_sum: int
) -> tuple[NumericColumn, int]:
    """Return a stored column and the offset behind it."""
    points, edges = head["points"], head["edges"]
    numbers = np.frombuffer(data, _FLOAT, points + edges + 1, at)
    column = NumericColumn(
        head["name"],
        numbers[:points],
        numbers[points:-1],
        float(numbers[-1]),
        head["thinned"],
        first_int,
        first_sum,
    )
    return column, at + numbers.nbytes
