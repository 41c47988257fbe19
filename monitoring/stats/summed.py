"""Estimated performance from sums that add, for what needs the rows.

Of several classes, and of a regression, counts alone don't tell the expected metrics.
The rows of an hour are read once and leave sums behind; those of a day or a week are
the sums of its hours.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from governance.schema import Task
from monitoring.stats import performance
from monitoring.stats.answers import Answers
from monitoring.stats.drops import Outcomes
from monitoring.stats.encoding import Columns
from monitoring.stats.estimation import Cbpe, Estimates
from monitoring.stats.expected import Probabilities
from monitoring.stats.losses import Dle
from monitoring.stats.tally import Floats

# Quantiles of a class's probability on the baseline, between which the order of rows
# is not kept.
CELLS = 256
_VERSION = 1
_HEADER = struct.Struct("<BqqI")  # version, rows, used, numbers
_FLOAT = np.dtype("<f8")


@dataclass(frozen=True, slots=True, eq=False)
class Sums:
    """What some rows contribute; sums of disjoint rows add.

    Examples
    --------
    >>> one = Sums(3, 2, np.array([0.5]))
    >>> both = one + Sums.from_bytes(one.to_bytes())
    >>> both.rows, both.used, both.values.tolist()
    (6, 4, [1.0])

    """

    rows: int
    used: int  # rows with all that is needed
    values: Floats

    def __add__(self, other: Sums) -> Sums:
        with np.errstate(over="ignore", invalid="ignore"):
            values = self.values + other.values
        return Sums(self.rows + other.rows, self.used + other.used, values)

    def to_bytes(self) -> bytes:
        """Return what `from_bytes` reads."""
        header = _HEADER.pack(_VERSION, self.rows, self.used, len(self.values))
        return header + zlib.compress(self.values.astype(_FLOAT).tobytes(), 1)

    @classmethod
    def from_bytes(cls, data: bytes | memoryview) -> Self:
        """Return what `to_bytes` wrote, or raise ValueError."""
        try:
            version, rows, used, length = _HEADER.unpack_from(data)
            content = zlib.decompress(data[_HEADER.size :])
        except (struct.error, zlib.error) as error:
            raise ValueError(f"no sums: {len(data)} bytes") from error
        if version != _VERSION or len(content) != length * _FLOAT.itemsize:
            raise ValueError(f"sums of version {version} can't be read")
        return cls(rows, used, np.frombuffer(content, _FLOAT))


@dataclass(frozen=True, eq=False)
class ClassSums:
    """Sums of a model of several classes, whose probabilities are known."""

    estimator: Cbpe
    edges: tuple[Floats, ...]  # of each class, rising

    @classmethod
    def fit(cls, outcomes: Outcomes) -> Self:
        """Return the sums of a baseline; raises what `Cbpe.fit` raises."""
        if outcomes.codes is None:
            raise ValueError("there are no classes")
        estimator = Cbpe.fit(outcomes.task, outcomes.answers, outcomes.codes)
        table = outcomes.answers.probabilities
        if table is None:
            raise ValueError("there are no probabilities")
        shares = np.linspace(0, 1, CELLS + 1)[1:-1]
        known = table[np.isfinite(table).all(axis=1)]
        edges = tuple(np.unique(np.quantile(one, shares)) for one in known.T)
        return cls(estimator, edges)

    @cached_property
    def knowledge(self) -> Probabilities:
        """The probabilities of the baseline."""
        found = self.estimator.knowledge
        if not isinstance(found, Probabilities):
            raise TypeError(f"the baseline has {found.name}")
        return found

    @property
    def empty(self) -> Sums:
        """The sums of no rows."""
        size = self.knowledge.size
        return Sums(0, 0, np.zeros(3 * (size + 1) + 2 * size * CELLS))

    def of(self, answers: Answers) -> Sums:
        """Return what some rows contribute; those without all probabilities nothing."""
        empty, size = self.empty, self.knowledge.size
        table = answers.probabilities
        if table is None or table.shape[1] != size:
            return Sums(len(answers), 0, empty.values)
        known = np.flatnonzero(self.knowledge.is_usable(answers))
        if not len(known):
            return Sums(len(answers), 0, empty.values)
        mine = answers.at(known)
        chances = self.knowledge.chances(mine, self.estimator.calibrators)
        parts: list[NDArray[Any]] = [self.knowledge.totals(mine, chances).ravel()]
        scores = mine.probabilities
        assert scores is not None  # noqa: S101 - looked at above
        for place, edges in enumerate(self.edges):
            cells = np.searchsorted(edges, scores[:, place], side="right")
            parts.append(np.bincount(cells, minlength=CELLS))
            parts.append(np.bincount(cells, chances[:, place], minlength=CELLS))
        return Sums(len(answers), len(known), np.concatenate(parts))

    def estimates(self, sums: Sums) -> Estimates:
        """Return the metrics that the rows of the sums should have."""
        if not sums.used:
            reason = f"no row has {self.knowledge.name}"
            return self.estimator.nothing(sums.rows, reason)
        size = self.knowledge.size
        totals = sums.values[: 3 * (size + 1)].reshape(3, size + 1)
        cells = sums.values[3 * (size + 1) :].reshape(size, 2, CELLS)
        areas = [
            performance.roc_auc(chances, np.maximum(rows - chances, 0.0)).value
            for rows, chances in cells
        ]
        metrics = self.knowledge.metrics_of(totals, areas)
        return self.estimator.told(metrics, rows=sums.rows, used=sums.used)


@dataclass(frozen=True, eq=False)
class LossSums:
    """Sums of a regression's expected losses."""

    estimator: Dle

    @classmethod
    def fit(cls, outcomes: Outcomes) -> Self:
        """Return the sums of a baseline; raises what `Dle.fit` raises."""
        if outcomes.values is None:
            raise ValueError("there are no values")
        return cls(
            Dle.fit(
                outcomes.columns,
                outcomes.kinds,
                outcomes.answers.scores,
                outcomes.values,
            )
        )

    @property
    def empty(self) -> Sums:
        """The sums of no rows."""
        return Sums(0, 0, np.zeros(2))

    def of(self, columns: Columns, predictions: Floats) -> Sums:
        """Return what some rows contribute; those without a prediction nothing."""
        used, *losses = self.estimator.sums(columns, predictions)
        return Sums(len(predictions), used, np.array(losses))

    def of_parts(
        self, columns: Columns, predictions: Floats, sizes: Sequence[int]
    ) -> list[Sums]:
        """Return what the parts of some rows contribute, the trees asked but once.

        Parameters
        ----------
        columns, predictions
            Of all rows, part by part.
        sizes : sequence of int
            Rows of each part.

        """
        losses = self.estimator.losses(columns, predictions)
        ends = np.cumsum(sizes)[:-1]
        found = []
        for absolute, squares in zip(
            np.split(losses[0], ends), np.split(losses[1], ends), strict=True
        ):
            used = int(np.count_nonzero(~np.isnan(absolute)))
            values = np.array([np.nansum(absolute), np.nansum(squares)])
            found.append(Sums(len(absolute), used, values))
        return found

    def estimates(self, sums: Sums) -> Estimates:
        """Return the errors that the rows of the sums should have."""
        absolute, squares = sums.values.tolist()
        return self.estimator.told(sums.rows, sums.used, absolute, squares)


def needs_rows(outcomes: Outcomes) -> bool:
    """Tell whether a baseline's estimates are made of sums, not of counts."""
    if outcomes.task is Task.REGRESSION:
        return True
    is_several = outcomes.task is Task.MULTICLASS
    return is_several and outcomes.answers.probabilities is not None
