"""From a score to a status: two gates, size and significance."""

from __future__ import annotations

from monitoring.stats.measure import Measure
from monitoring.stats.report import AlgorithmResult, Status

Limits = tuple[float, float]  # warning, alert

ALPHA = 0.05
MIN_ROWS = 30


def judge(
    score: float,
    limits: Limits | None,
    *,
    significant: bool,
    powerless: bool = False,
    tested: bool = True,
) -> Status:
    """Return the status of a score with enough rows on both sides.

    Parameters
    ----------
    score : float
        Effect size.
    limits : (warning, alert) or None
        None: the score is shown and never judged.
    significant : bool
        Whether chance doesn't explain the score.
    powerless : bool
        Whether chance alone could pass the alert threshold.
    tested : bool
        Whether there is a p-value. It holds at any number of rows. The 95 % point of a
        distance is a first order figure that empty bins exceed when rows are few, so
        it doesn't convict.

    """
    if limits is None:
        return Status.UNRATED
    warning, alert = limits
    convincing = significant and not (powerless and not tested)
    if convincing and score >= alert:
        return Status.ALERT
    if convincing and score >= warning:
        return Status.WARNING
    return Status.INSUFFICIENT_DATA if powerless else Status.OK


def verdict(
    measure: Measure,
    limits: Limits | None,
    *,
    p_value: float | None = None,
    alpha: float = ALPHA,
    min_rows: int = MIN_ROWS,
    votes: bool = False,
) -> AlgorithmResult:
    """Return what a measure of raw rows says, judged by two gates.

    Significant is p < alpha; where there is no p-value but an interval, one that lies
    above 0; where there is neither (a stream's change is significant by itself), all.

    Parameters
    ----------
    measure : Measure
        Of any family.
    limits : (warning, alert) or None
        Of the detector.
    p_value : float, optional
        The measure's own one, corrected for the number of columns.
    alpha : float
        Level of the significance gate, in (0, 1).
    min_rows : int
        Fewest rows on either side for a verdict.
    votes : bool
        Whether the result makes the status of the model.

    """
    p_corrected = measure.p_value if p_value is None else p_value
    significant = True
    if p_corrected is not None:
        significant = p_corrected < alpha
    elif measure.interval is not None:
        significant = measure.interval[0] > 0
    status = Status.INSUFFICIENT_DATA
    if min(measure.n, measure.n_baseline) >= min_rows:
        status = judge(measure.score, limits, significant=significant)
    warning, alert = limits or (None, None)
    return AlgorithmResult(
        status=status,
        score=measure.score,
        interval=measure.interval,
        p_value=measure.p_value,
        p_value_corrected=p_value,
        p_value_method=measure.p_value_method,
        warning=warning,
        alert=alert,
        significant=significant,
        low_counts=measure.low_counts,
        votes=votes,
    )
