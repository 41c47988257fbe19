"""What the report says in words: the few things that a reader must not miss."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Literal, TypedDict

from monitoring.detectors import DETECTORS
from monitoring.reports import moves
from monitoring.reports.analysis import Report
from monitoring.reports.moves import Season
from monitoring.reports.performances import Performance, Point
from monitoring.stats.performance import Metric
from monitoring.stats.report import ColumnDrift, Status

Tone = Literal["bad", "warn", "good", "calm"]
MOST_NAMES = 5
# From which share of the mean absolute error on the bias is called most of it.
MOSTLY_BIAS = 0.8
# A pair of days is told of if so many of its steps have no row.
MANY_ABSENT = 0.25
MONTHS = (
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
)


class Sentence(TypedDict):
    """One thing to know, and how good or bad it is."""

    tone: Tone
    topic: str
    text: str


def of(report: Report) -> list[Sentence]:
    """Return the sentences of a report, what matters most first."""
    found: list[Sentence] = []
    for topic, part in (
        ("drift", _drift),
        ("constant", _constant),
        ("season", _season),
        ("performance", _performance),
        ("concept", _concept),
        ("estimate", _estimate),
        ("quality", _quality),
        ("time", _time),
        ("fairness", _fairness),
    ):
        found += [
            Sentence(tone=tone, topic=topic, text=text) for tone, text in part(report)
        ]
    order: dict[Tone, int] = {"bad": 0, "warn": 1, "calm": 2, "good": 3}
    return sorted(found, key=lambda one: order[one["tone"]])


Parts = Iterator[tuple[Tone, str]]


def _drift(report: Report) -> Parts:
    drift = report.findings.drift
    inputs = [c for name, c in drift.columns.items() if name not in drift.apart]
    for status, tone, word in (
        (Status.ALERT, "bad", "in alert"),
        (Status.WARNING, "warn", "in warning"),
    ):
        found = [column for column in inputs if column.status == status]
        if found:
            found.sort(key=lambda column: -_size(column))
            yield (
                "bad" if tone == "bad" else "warn",
                f"{len(found)} of {len(inputs)} inputs "
                f"{'is' if len(found) == 1 else 'are'} {word}: "
                f"{_listed([_told(column) for column in found])}.",
            )
    if drift.status == Status.OK:
        yield "good", f"None of the {len(inputs)} inputs has drifted."
    for name in drift.apart:
        column = drift.columns[name]
        what = "label" if name == report.case.plan.label else "model's answer"
        if column.status in moves.DRIFT:
            yield "warn", f"The {what} has drifted: {_told(column)}."


def _size(column: ColumnDrift) -> float:
    scores = [
        one.score for one in column.algorithms.values() if one.votes and one.score
    ]
    return max(scores, default=0.0)


def _told(column: ColumnDrift) -> str:
    psi = column.algorithms.get("psi")
    parts = [] if psi is None or psi.score is None else [f"PSI {number(psi.score)}"]
    ks = column.algorithms.get("ks_test")
    if ks is not None and ks.score is not None:
        parts.append(f"D {number(ks.score)}")
    if column.direction is not None:
        parts.append(column.direction)
    return f"{column.name} ({', '.join(parts)})" if parts else column.name


def _listed(names: list[str]) -> str:
    if len(names) > MOST_NAMES:
        return f"{', '.join(names[:MOST_NAMES])} and {len(names) - MOST_NAMES} more"
    return ", ".join(names)


def _constant(report: Report) -> Parts:
    alive, dead, empty = [], [], []
    for name in report.case.kinds:
        before, after = report.variety[name]
        if before == 1 and after > 1:
            alive.append(f"{name} ({after:,} values)")
        elif before > 1 and after == 1:
            dead.append(name)
        elif before > 0 and after == 0:
            empty.append(name)
    if alive:
        yield (
            "bad",
            f"Constant in the reference and alive now: {_listed(alive)}. The model "
            "can't have learnt anything from such a column.",
        )
    if dead:
        yield "warn", f"Varied in the reference and constant now: {_listed(dead)}."
    if empty:
        yield "bad", f"Without a single value now: {_listed(empty)}."


def _season(report: Report) -> Parts:
    whole = report.findings.drift
    drifting: list[str] = []
    if report.season is not None and whole.status in moves.DRIFT:
        drifting = [
            n for n in report.case.kinds if whole.columns[n].status in moves.DRIFT
        ]
        yield "calm", _other_months(report.season, drifting)
    trapped = [n for n in moves.trapped(report.moves, whole) if n in report.case.kinds]
    if trapped and any(one.season is not None for one in report.moves):
        yield (
            "calm",
            f"Chunk by chunk {_listed(trapped)} {_verb('drift', trapped)}, although "
            "all rows together do not: each chunk covers less of the calendar than the "
            "reference. Look at the comparison with the same months instead.",
        )
        drifting += trapped
    of_calendar = [n for n in dict.fromkeys(drifting) if n in report.calendar]
    if of_calendar:
        yield (
            "calm",
            f"{_listed(of_calendar)} {_verb('follow', of_calendar)} from the time "
            "stamp: calendar columns should not be monitored for drift (--exclude).",
        )


def _verb(verb: str, names: list[str]) -> str:
    return f"{verb}s" if len(names) == 1 else verb


def _other_months(season: Season, drifting: list[str]) -> str:
    left = [n for n in drifting if season.columns[n].status in moves.DRIFT]
    gone = [n for n in drifting if n not in left]
    names = " and ".join(MONTHS[month - 1] for month in season.months)
    if len(season.months) > 2:
        names = f"{len(season.months)} of the calendar months"
    told = f"CURRENT covers {names}; REFERENCE covers more of the calendar."
    if gone:
        has = "has" if len(gone) == 1 else "have"
        told += f" Against the same months of it {_listed(gone)} {has} not drifted."
    if left:
        told += f" Still drifting: {_listed(left)}."
    return told


def _performance(report: Report) -> Parts:
    performance = report.performance
    if performance is None:
        return
    for name in dict.fromkeys((performance.metric, *_SECOND)):
        yield from _realized(report, performance, name)
    yield from _bias(performance)


# Told beside the primary metric, where they are known.
_SECOND = ("accuracy",)


def _limits(is_error: bool) -> tuple[float, float]:
    """Return the drop that is a warning and the one that is an alert."""
    limits = DETECTORS["realized_error" if is_error else "realized"].thresholds
    return limits or (math.inf, math.inf)


def _realized(report: Report, performance: Performance, name: str) -> Parts:
    before, after = (
        side.get(name, Metric(None, 0))
        for side in (performance.reference, performance.whole.realized)
    )
    drop = performance.whole.drops.get(name)
    if before.value is None or after.value is None or drop is None:
        return
    word, is_error = label(name), performance.is_error and name == performance.metric
    warning, alert = _limits(is_error)
    tone: Tone = "good"
    if drop.low > 0 and drop.value >= warning:
        tone = "bad" if drop.value >= alert else "warn"
    share = performance.whole.labelled / max(performance.whole.rows, 1)
    partly = "" if share > 0.999 else f" (labels of {share:.0%} of the rows)"
    text = (
        f"{word[:1].upper()}{word[1:]} went from {number(before.value)} in the "
        f"reference to {number(after.value)}{partly}."
    )
    worst = _worst(report, performance, name)
    if worst is not None and tone in {"bad", "warn"}:
        text += f" {worst}"
    yield tone, text


def _worst(report: Report, performance: Performance, name: str) -> str | None:
    """Tell of the worst chunk, and of the recovery after it if there is one."""
    points = [
        (report.chunks[place].label, point.realized[name].value)
        for place, point in enumerate(performance.chunks)
        if name in point.realized and point.realized[name].value is not None
    ]
    known = [(text, value) for text, value in points if value is not None]
    if len(known) < 2:
        return None
    is_error = performance.is_error and name == performance.metric
    pick = max if is_error else min
    worst = pick(known, key=lambda one: one[1])
    told = f"Worst in {worst[0]}: {number(worst[1])}."
    since = _recovered(report, performance, name)
    return told if since is None else f"{told} {since}"


def _recovered(report: Report, performance: Performance, name: str) -> str | None:
    """Tell since when no chunk is in alert any more, after some were."""
    is_error = performance.is_error and name == performance.metric
    _, alert = _limits(is_error)
    places = [
        place for place, point in enumerate(performance.chunks) if name in point.drops
    ]
    bad = [
        place
        for place in places
        if (drop := performance.chunks[place].drops[name]).value >= alert
        and drop.low > 0
    ]
    after = [place for place in places if bad and place > bad[-1]]
    if len(bad) < 2 or len(after) < 2:
        return None
    values = [performance.chunks[place].realized[name].value or 0.0 for place in after]
    return (
        f"Recovered since {report.chunks[after[0]].label}: "
        f"{number(min(values))} to {number(max(values))}."
    )


def _bias(performance: Performance) -> Parts:
    bias, mae = (performance.whole.realized.get(name) for name in ("bias", "mae"))
    before = performance.reference.get("mae")
    if bias is None or mae is None or before is None:
        return
    if not bias.value or not mae.value or before.value is None:
        return
    share = abs(bias.value) / mae.value
    if share >= MOSTLY_BIAS and mae.value > before.value * (1 + _limits(True)[0]):
        way = "low" if bias.value < 0 else "high"
        yield (
            "bad",
            f"{share:.0%} of the mean absolute error is bias: predictions are too "
            f"{way} by {number(abs(bias.value))} on average.",
        )


def _concept(report: Report) -> Parts:
    performance = report.performance
    if performance is None:
        return
    whole = performance.whole
    name = "accuracy" if "accuracy" in whole.residuals else performance.metric
    residual = whole.residuals.get(name)
    if residual is None or not residual.is_concept_drift:
        return
    is_worse = residual.value > 0 if performance.is_error else residual.value < 0
    estimate = None if whole.estimated is None else whole.estimated.metrics[name].value
    if not is_worse or estimate is None:
        return
    size = abs(residual.value) / (abs(estimate) if performance.is_error else 1.0)
    if size < _limits(performance.is_error)[0]:
        return
    quiet = report.findings.drift.status not in moves.DRIFT
    told = (
        "although no input has drifted" if quiet else "beyond what the inputs explain"
    )
    yield (
        "bad",
        f"Concept drift: {label(name)} was expected to be {number(estimate)} from the "
        f"inputs and answers, and is {number(whole.realized[name].value or 0.0)}, "
        f"{told}. The relation of inputs and outcome has changed.",
    )


def _estimate(report: Report) -> Parts:
    performance = report.performance
    if performance is None or performance.whole.realized:
        return
    whole = performance.whole
    estimated = whole.estimated
    if estimated is None:
        yield "calm", f"Performance can't be estimated: {performance.reason}."
        return
    name = performance.metric
    metric = estimated.metrics.get(name)
    if metric is None or metric.value is None:
        return
    yield from _expected(performance, whole, name, metric)


def _expected(
    performance: Performance, whole: Point, name: str, metric: Metric
) -> Parts:
    drop = whole.expected_drops.get(name)
    warning, alert = _limits(performance.is_error)
    tone: Tone = "calm"
    if drop is not None and drop.low > 0 and drop.value >= warning:
        tone = "bad" if drop.value >= alert else "warn"
    before = performance.reference[name].value
    yield (
        tone,
        f"Without labels {label(name)} is estimated at {number(metric.value or 0.0)}, "
        f"from {number(before or 0.0)} in the reference. Concept drift would not show.",
    )


def _quality(report: Report) -> Parts:
    for name, checks in report.quality.findings.items():
        column = report.quality.columns[name]
        for check in checks:
            found = column.checks.get(check)
            if check == "vanished_category":
                gone = _listed(list(column.vanished_categories))
                yield "warn", f"{name}: {gone} no longer occurs."
            elif check == "new_category":
                news = _listed(list(column.new_categories))
                share = 0.0 if found is None else found.share or 0.0
                yield "warn", f"{name}: new values {news} in {share:.1%} of the rows."
            elif found is not None and check != "out_of_range":
                before, after = found.baseline_share or 0.0, found.share or 0.0
                yield "warn", f"{name}: {check} {after:.1%}, {before:.1%} before."


def _time(report: Report) -> Parts:
    clock = report.clocks[1]
    if clock.step is None:
        return
    if clock.absent:
        text = (
            f"{clock.absent:,} of {clock.steps:,} time steps have no row "
            f"({_wait(clock.step.total_seconds())} apart)."
        )
        tone: Tone = "calm"
        worst = clock.worst
        if worst is not None and worst.absent >= MANY_ABSENT * worst.steps:
            tone = "warn"
            text += (
                f" Most are missing in the two days from {worst.start:%Y-%m-%d}: "
                f"{worst.absent} of {worst.steps}."
            )
        yield tone, text
    if clock.repeated:
        yield "calm", f"{clock.repeated:,} time stamps occur more than once."


def _wait(seconds: float) -> str:
    for size, word in ((86_400, "d"), (3_600, "h"), (60, "min")):
        if seconds >= size and seconds % size == 0:
            return f"{seconds / size:.0f} {word}"
    return f"{seconds:g} s"


def _fairness(report: Report) -> Parts:
    if report.fairness is None:
        return
    limit = 0.8  # the four-fifths rule
    for before, after in zip(
        *(one.attributes for one in report.fairness), strict=False
    ):
        ratio = after.demographic_parity_ratio
        if ratio is None:
            continue
        was = before.demographic_parity_ratio
        told = f", {number(was)} in the reference" if was is not None else ""
        tone: Tone = "warn" if ratio < limit else "good"
        yield (
            tone,
            f"{after.attribute}: the group that is worst off gets the favourable "
            f"outcome {number(ratio)} times as often as the best-off one{told}.",
        )


def number(value: float) -> str:
    """Return a figure as it is read: three digits behind the point below 10.

    Examples
    --------
    >>> [number(x) for x in (0.12345, 23.71, 1234.5, 0.00001, -0.5)]
    ['0.123', '23.7', '1,234', '1e-05', '-0.500']

    """
    size = abs(value)
    if size >= 1e6 or 0 < size < 5e-4:
        return f"{value:.3g}"
    if size >= 1_000:
        return f"{value:,.0f}"
    return f"{value:.1f}" if size >= 10 else f"{value:.3f}"


def label(metric: str) -> str:
    """Return a metric's name in words."""
    return _WORDS.get(metric, metric.replace("_", " "))


_WORDS = {
    "roc_auc": "ROC-AUC",
    "f1": "F1",
    "mae": "mean absolute error",
    "rmse": "root mean square error",
    "mape": "mean relative error",
    "r2": "R²",
    "brier": "Brier score",
    "log_loss": "log loss",
}
