"""Live drift: a window's counts against the baseline's, judged by two gates."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from monitoring.stats.columns import CategoricalColumn, NumericColumn
from monitoring.stats.grid import Grid
from monitoring.stats.live import Pair, Reading, pair_of
from monitoring.stats.report import (
    AlgorithmResult,
    ColumnDrift,
    DriftReport,
    Status,
    Summary,
    worst,
)
from monitoring.stats.significance import holm, ks_p_value
from monitoring.stats.tally import Tally
from monitoring.stats.verdicts import ALPHA, MIN_ROWS, judge

# Warning and alert threshold of each algorithm; None: measured, never judged.
Thresholds = Mapping[str, tuple[float, float] | None]

VOTING = frozenset({"psi", "ks_test", "chi_square"})


@dataclass(frozen=True, slots=True)
class Rules:
    """How columns are measured and judged.

    Attributes
    ----------
    thresholds : mapping of str to (warning, alert) or None
        The algorithms to measure; None: shown without a verdict.
    voting : collection of str
        Algorithms that make the status of a column and of the report.
    alpha : float
        Level of the significance gate, in (0, 1).
    min_rows : int
        Fewest values on either side for a verdict.
    importances : mapping of str to float, optional
        Of the columns, as shares; equal if unknown.
    apart : collection of str
        Columns that aren't inputs of the model, such as its score: measured, but
        without a part in the report's status, summaries, maxima and lists.
    """

    thresholds: Thresholds
    voting: Collection[str] = VOTING
    alpha: float = ALPHA
    min_rows: int = MIN_ROWS
    importances: Mapping[str, float] | None = None
    apart: Collection[str] = ()


@dataclass(frozen=True, slots=True, eq=False)
class Measured:
    """A column's figures before they are judged."""

    column: NumericColumn | CategoricalColumn
    pair: Pair
    readings: Mapping[str, Reading]
    enough: bool  # rows for a verdict on both sides


def evaluate(  # noqa: PLR0913 - the settings of an alert configuration, by name
    grid: Grid,
    window: Tally,
    *,
    thresholds: Thresholds,
    importances: Mapping[str, float] | None = None,
    alpha: float = ALPHA,
    min_rows: int = MIN_ROWS,
    voting: Collection[str] = VOTING,
    apart: Collection[str] = (),
    exact: Mapping[str, tuple[float, int]] | None = None,
) -> DriftReport:
    """Measure and judge every column of the grid.

    Two gates: drift is a score at or above its threshold **and** significant, that is
    p < alpha after Holm over the columns, or, where no p-value exists, a score above
    the no-drift 95 % point of the largest over the columns. Where chance alone could
    pass the alert threshold nothing is "ok": the status is insufficient_data.

    Parameters
    ----------
    grid : Grid
        The active baseline.
    window : Tally
        The window's counts on that grid.
    thresholds, importances, alpha, min_rows, voting, apart
        See `Rules`.
    exact : mapping of str to (distance, values), optional
        The KS distance that the rows of a column have, and of how many values it is.
        It stands in place of the interval that a thinned grid leaves, where the counts
        are of as many values.

    """
    rules = Rules(thresholds, voting, alpha, min_rows, importances, apart)
    columns = measured(grid, window, rules)
    return judged([_decided(one, exact or {}) for one in columns], rules)


def undecided(report: DriftReport) -> list[str]:
    """Return the columns whose KS distance a thinned grid leaves on both sides."""
    return [
        name
        for name, column in report.columns.items()
        if "ks_test" in column.algorithms and column.algorithms["ks_test"].undecided
    ]


def _decided(found: Measured, exact: Mapping[str, tuple[float, int]]) -> Measured:
    reading = found.readings.get("ks_test")
    distance, size = exact.get(found.column.name, (0.0, -1))
    if reading is None or size != found.pair.n:
        return found
    p_value = ks_p_value(distance, found.pair.n_baseline, size)
    known = replace(reading, score=distance, high=distance, p_value=p_value)
    return replace(found, readings={**found.readings, "ks_test": known})


def measured(grid: Grid, window: Tally, rules: Rules) -> list[Measured]:
    """Return what counts say of every column of the grid."""
    pairs = [
        (column, pair_of(column, grid.baseline, window))
        for column in grid.columns.values()
    ]
    sizes = [min(pair.n, pair.n_baseline) for _, pair in pairs]
    several = max(sum(size >= rules.min_rows for size in sizes), 1)
    return [
        Measured(
            column,
            pair,
            pair.read(rules.thresholds, several) if size > 0 else {},
            size >= rules.min_rows,
        )
        for (column, pair), size in zip(pairs, sizes, strict=True)
    ]


def judged(columns: Sequence[Measured], rules: Rules) -> DriftReport:
    """Return the verdicts on measured columns, all of one window."""
    inputs = [c.column.name for c in columns if c.column.name not in rules.apart]
    shares = rules.importances or dict.fromkeys(inputs, 1 / max(len(inputs), 1))
    corrected = _corrected(columns)
    found = {}
    for one in columns:
        name = one.column.name
        importance = shares.get(name, 0.0) if name in inputs else None
        found[name] = _column(one, corrected, importance, rules)
    return _report(found, inputs, rules)


def _corrected(measured: Iterable[Measured]) -> dict[str, dict[str, float]]:
    """Return algorithm → column → p-value after Holm over the columns judged."""
    families: dict[str, dict[str, float]] = {}
    for found in measured:
        for name, reading in found.readings.items():
            if found.enough and reading.measurable and reading.p_value is not None:
                families.setdefault(name, {})[found.column.name] = reading.p_value
    return {name: holm(family) for name, family in families.items()}


def _column(
    found: Measured,
    corrected: Mapping[str, Mapping[str, float]],
    importance: float | None,
    rules: Rules,
) -> ColumnDrift:
    column, pair = found.column, found.pair
    direction = pair.direction() if found.readings else None
    results = {}
    for name, reading in found.readings.items():
        p_value = corrected.get(name, {}).get(column.name)
        results[name] = _result(name, reading, p_value, found, rules, direction)
    voted = worst(result.status for result in results.values() if result.votes)
    unmeasured = Status.INSUFFICIENT_DATA if results else Status.NO_DATA
    return ColumnDrift(
        name=column.name,
        kind=column.kind,
        status=voted or unmeasured,
        importance=importance,
        n=pair.n,
        n_baseline=pair.n_baseline,
        missing=pair.missing,
        missing_baseline=pair.missing_baseline,
        invalid=pair.invalid,
        thinned=isinstance(column, NumericColumn) and column.thinned,
        direction=direction,
        moments=pair.moments() if results else {},
        algorithms=results,
        bins=pair.bins() if results else None,
    )


def _result(
    name: str,
    reading: Reading,
    p_value: float | None,
    found: Measured,
    rules: Rules,
    direction: str | None,
) -> AlgorithmResult:
    limits = rules.thresholds[name]
    warning, alert = limits or (None, None)
    if p_value is not None:
        significant = p_value < rules.alpha
    else:
        significant = found.enough and reading.score > reading.no_drift.family
    low = high = Status.FAILED if reading.failed else Status.INSUFFICIENT_DATA
    if reading.measurable and found.enough:
        low = _judge(reading.score, reading, limits, significant)
        high = _judge(reading.high, reading, limits, significant)
    return AlgorithmResult(
        status=low,
        score=reading.score if reading.measurable else None,
        interval=None
        if reading.high == reading.score
        else (reading.score, reading.high),
        p_value=reading.p_value,
        p_value_corrected=p_value,
        p_value_method=reading.p_value_method,
        warning=warning,
        alert=alert,
        expected_without_drift=reading.no_drift.expected,
        no_drift_95=reading.no_drift.upper,
        no_drift_95_family=reading.no_drift.family,
        significant=significant,
        undecided=low != high,
        low_counts=reading.low_counts,
        votes=name in rules.voting,
        direction=direction,
        reason=reading.reason,
    )


def _judge(
    score: float,
    reading: Reading,
    limits: tuple[float, float] | None,
    significant: bool,
) -> Status:
    """Return the status of a score with enough rows on both sides."""
    return judge(
        score,
        limits,
        significant=significant,
        powerless=limits is not None and reading.no_drift.family > limits[1],
        tested=reading.p_value is not None,
    )


def _report(
    columns: Mapping[str, ColumnDrift], inputs: Sequence[str], rules: Rules
) -> DriftReport:
    judged = [columns[name] for name in inputs]
    summaries = {
        name: _summary(name, judged, rules)
        for name in rules.thresholds
        if any(name in column.algorithms for column in judged)
    }

    def largest(name: str) -> float | None:
        return summaries[name].score if name in summaries else None

    return DriftReport(
        status=worst(column.status for column in judged) or Status.INSUFFICIENT_DATA,
        columns=columns,
        algorithms=summaries,
        warnings=tuple(c.name for c in judged if c.status == Status.WARNING),
        alerts=tuple(c.name for c in judged if c.status == Status.ALERT),
        max_psi=largest("psi"),
        max_ks=largest("ks_test"),
        alpha=rules.alpha,
        min_rows=rules.min_rows,
        apart=tuple(name for name in columns if name not in inputs),
    )


def _summary(name: str, columns: Sequence[ColumnDrift], rules: Rules) -> Summary:
    found = {c.name: c.algorithms[name] for c in columns if name in c.algorithms}
    scores = {key: r.score for key, r in found.items() if r.score is not None}
    p_values = [r.p_value_corrected for r in found.values()]
    top = max(scores, key=scores.__getitem__, default=None)
    status = worst(result.status for result in found.values())
    warning, alert = rules.thresholds[name] or (None, None)
    unrated = Status.INSUFFICIENT_DATA if warning is not None else Status.UNRATED
    return Summary(
        status=status or unrated,
        drift=any(result.drift for result in found.values()),
        score=None if top is None else scores[top],
        column=top,
        p_value=min((p for p in p_values if p is not None), default=None),
        warning=warning,
        alert=alert,
        votes=name in rules.voting,
    )
