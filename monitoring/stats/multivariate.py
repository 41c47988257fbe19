"""All columns at once, by the rows: what no single column shows.

The reconstruction error of a principal component analysis sees that columns no longer
go together as they did, even where each of them looks as ever.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from monitoring.stats.encoding import Columns, Encoding, Kinds, row_count
from monitoring.stats.measure import InsufficientDataError, Measure, NoDataError
from monitoring.stats.tally import Floats
from monitoring.stats.univariate import MIN_SPREAD

EXPLAINED = 0.65
CHUNKS = 10
MIN_ROWS = 30
# Rows encoded at once: they stay in the cache.
_PIECE = 1 << 13


@dataclass(frozen=True, slots=True, eq=False)
class PcaReconstruction:
    """A fitted analysis; `fit` makes one, `errors` and `measure` use it.

    Attributes
    ----------
    encoding : Encoding
        Of the baseline.
    components : int
        The fewest that explain more than the wanted share of the variance.
    mean, spread : float
        Of the mean error of the baseline's chunks (ddof 0).
    n_baseline : int
        Rows of the baseline.
    baseline_mean, baseline_variance : float
        Of the errors of its single rows.
    """

    encoding: Encoding
    components: int
    mean: float
    spread: float
    n_baseline: int
    baseline_mean: float
    baseline_variance: float
    _residual: Floats  # the remaining components, shape (columns, columns - components)

    @classmethod
    def fit(
        cls,
        baseline: Columns,
        kinds: Kinds,
        *,
        explained: float = EXPLAINED,
        chunk_rows: int | None = None,
    ) -> PcaReconstruction:
        """Return the analysis of a baseline.

        Parameters
        ----------
        baseline : mapping of str to array, sequence or Codes
            Columns of the same length, in the order of the rows.
        kinds : mapping of str to {"numeric", "categorical"}
            The columns to use; encoded as `Encoding` says.
        explained : float
            Share of the variance to keep, in (0, 1).
        chunk_rows : int, optional
            Rows of the chunks that give `mean` and `spread`; a tenth if None.

        Raises
        ------
        NoDataError
            No column has a value.
        InsufficientDataError
            Fewer than 30 rows, or no column varies.
        """
        encoding = Encoding.fit(baseline, kinds)
        rows = row_count(baseline, kinds)
        if rows < MIN_ROWS:
            msg = f"{rows} rows in the baseline, {MIN_ROWS} are needed"
            raise InsufficientDataError(msg)
        table = encoding.transform(baseline)
        variances, vectors = np.linalg.eigh(table.T @ table)
        total = float(variances.sum())
        if total <= 0:
            raise InsufficientDataError("no column of the baseline varies")
        running = np.cumsum(variances[::-1]) / total
        kept = int(np.searchsorted(running, explained, "right")) + 1
        kept = min(kept, len(running))
        # eigh sorts upwards: what isn't kept comes first.
        residual = np.ascontiguousarray(vectors[:, : len(running) - kept])
        errors = _norms(table, residual)
        size = chunk_rows or max(rows // CHUNKS, 1)
        chunks = [errors[at : at + size].mean() for at in range(0, rows, size)]
        return cls(
            encoding,
            kept,
            float(np.mean(chunks)),
            float(np.std(chunks)),
            rows,
            float(errors.mean()),
            float(errors.var()),
            residual,
        )

    def errors(self, rows: Columns) -> Floats:
        """Return each row's distance from its reconstruction, shape (n_rows,)."""
        return _norms(self.encoding.transform(rows), self._residual)

    def measure(self, window: Columns) -> Measure:
        """Return how far the window's mean error lies off the baseline's chunks.

        The score is in standard deviations of a chunk's mean error (at least 0.001).
        The p-value is that of Welch's test of the rows' errors, as a window needn't
        have the size of a chunk.

        Raises
        ------
        NoDataError
            The window has no row.
        """
        errors = self.errors(window)
        n = len(errors)
        if not n:
            raise NoDataError("the window has no rows")
        found = float(errors.mean())
        # Of a single row the spread isn't known: that of the baseline stands in.
        variance = float(errors.var()) if n > 1 else self.baseline_variance
        noise = self.baseline_variance / self.n_baseline + variance / n
        gap = found - self.baseline_mean
        return Measure(
            abs(found - self.mean) / max(self.spread, MIN_SPREAD),
            self.n_baseline,
            n,
            statistic=found,
            p_value=_normal_p_value(gap, noise),
            p_value_method="normal",
            detail={
                "error": found,
                "baseline_error": self.mean,
                "lower_limit": max(self.mean - 3 * self.spread, 0.0),
                "upper_limit": self.mean + 3 * self.spread,
                "components": self.components,
                "columns": list(self.encoding.names),
                "left_out": list(self.encoding.left_out),
            },
        )


def pca_reconstruction(
    baseline: Columns,
    window: Columns,
    kinds: Kinds,
    *,
    explained: float = EXPLAINED,
    chunk_rows: int | None = None,
) -> Measure:
    """Return the change of the reconstruction error.

    Columns are standardised, categories by their share of the baseline's rows; the
    fewest components that explain more than `explained` of the variance are kept. The
    error of a row is its distance from its reconstruction, the score that of the mean
    error from the mean of the baseline's chunks.

    Parameters
    ----------
    baseline, window, kinds, explained, chunk_rows
        See `PcaReconstruction.fit`.

    """
    fitted = PcaReconstruction.fit(
        baseline, kinds, explained=explained, chunk_rows=chunk_rows
    )
    return fitted.measure(window)


def _norms(table: Floats, residual: Floats) -> Floats:
    """Return the length of each row's part in the space of the residual components."""
    norms = np.empty(len(table))
    for start in range(0, len(table), _PIECE):
        part = table[start : start + _PIECE] @ residual
        norms[start : start + _PIECE] = np.sqrt(np.einsum("ij,ij->i", part, part))
    return norms


def _normal_p_value(gap: float, variance: float) -> float:
    if not gap:
        return 1.0
    return math.erfc(abs(gap) / math.sqrt(2 * variance)) if variance > 0 else 0.0
