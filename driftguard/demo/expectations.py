"""What the data truly contain, checked against what DriftGuard says of them.

The figures are those of data/README.md, on the clients that the model scores.
"""

import math
from collections.abc import Iterable
from dataclasses import dataclass

from driftguard.demo import credit
from driftguard.demo.labels import LabelCheck
from driftguard.demo.measurements import OUTCOMES, SCORED, Drift, Measurement

JULY, AUGUST, SEPTEMBER = "July 2005", "August 2005", "September 2005"
ROWS = 9_000
JULY_ROC_AUC = 0.886
AUGUST_ROC_AUC = 0.774
SEPTEMBER_PAY_STATUS_PSI = 0.978
TOLERANCE = 0.002


@dataclass(frozen=True, slots=True)
class Expectation:
    sentence: str
    holds: bool
    seen: str


def check(measurements: Iterable[Measurement], labels: LabelCheck) -> list[Expectation]:
    """Compare every step of the replay with the data."""
    by_step = {(one.name, one.step): one for one in measurements}
    expected = [(JULY, SCORED), (JULY, OUTCOMES), (AUGUST, SCORED)]
    expected += [(AUGUST, OUTCOMES), (SEPTEMBER, SCORED)]
    missing = [step for step in expected if step not in by_step]
    if missing:
        steps = ", ".join(f"{name} {step}" for name, step in missing)
        return [Expectation("Every step was measured.", False, f"missing: {steps}")]
    return [
        *_july(by_step[JULY, SCORED], by_step[JULY, OUTCOMES]),
        *_august_before(by_step[AUGUST, SCORED]),
        *_august_after(by_step[AUGUST, OUTCOMES]),
        *_september(by_step[SEPTEMBER, SCORED]),
        *_everywhere(by_step.values()),
        *_labels(labels),
    ]


def _july(scored: Measurement, outcomes: Measurement) -> list[Expectation]:
    return [
        Expectation(
            "July is within limits.", scored.status == "APPROVED", scored.status
        ),
        Expectation(
            "No column of July drifts.",
            all(drift.status == "ok" for drift in scored.columns.values()),
            _drifting(scored),
        ),
        Expectation(
            f"July's ROC-AUC is {JULY_ROC_AUC}, and July stays within limits.",
            _is_roc_auc(outcomes, JULY_ROC_AUC) and outcomes.status == "APPROVED",
            f"{_roc_auc(outcomes)}, {outcomes.status}",
        ),
    ]


def _august_before(scored: Measurement) -> list[Expectation]:
    return [
        Expectation(
            "Before its outcomes, August has no column in alert and only PAY_AMT in "
            "warning.",
            not scored.with_status("alert")
            and scored.with_status("warning") == {"PAY_AMT"},
            _drifting(scored),
        ),
        Expectation(
            "Before its outcomes, August is within limits.",
            scored.status == "APPROVED",
            scored.status,
        ),
    ]


def _august_after(outcomes: Measurement) -> list[Expectation]:
    reasons = " | ".join(outcomes.reasons)
    return [
        Expectation(
            f"August's ROC-AUC falls to {AUGUST_ROC_AUC}.",
            _is_roc_auc(outcomes, AUGUST_ROC_AUC),
            _roc_auc(outcomes),
        ),
        Expectation(
            "With its outcomes, August is at risk or blocked.",
            outcomes.status in {"AT_RISK", "BLOCKED"},
            outcomes.status,
        ),
        Expectation(
            "The fall of the ROC-AUC is the named reason.",
            "ROC-AUC" in reasons and f"{AUGUST_ROC_AUC:.3f}"[:4] in reasons,
            reasons,
        ),
    ]


def _september(scored: Measurement) -> list[Expectation]:
    drift = scored.columns.get("PAY_STATUS", Drift(math.nan, None, "not measured"))
    return [
        Expectation(
            f"September's PAY_STATUS has PSI {SEPTEMBER_PAY_STATUS_PSI}, an alert.",
            math.isclose(drift.psi, SEPTEMBER_PAY_STATUS_PSI, abs_tol=TOLERANCE)
            and drift.status == "alert",
            f"{drift.psi:.4f}, {drift.status}",
        ),
        Expectation(
            "September is blocked before any outcome of its own.",
            scored.status == "BLOCKED"
            and scored.realized is not None
            and scored.realized.month < scored.month,
            f"{scored.status}, newest outcomes: {_roc_auc(scored)}",
        ),
        Expectation(
            "PAY_STATUS is a named reason.",
            any("PAY_STATUS" in reason for reason in scored.reasons),
            " | ".join(scored.reasons),
        ),
    ]


def _everywhere(measurements: Iterable[Measurement]) -> list[Expectation]:
    moved = [
        f"{one.month} {name}: {one.columns.get(name, 'not measured')}"
        for one in measurements
        for name in credit.CONSTANT
        if not _is_exactly_zero(one.columns.get(name))
    ]
    wrong = [f"{one.month}: {one.rows}" for one in measurements if one.rows != ROWS]
    return [
        Expectation(
            "Who the clients are does not drift: exactly 0 in every month.",
            not moved,
            ", ".join(moved) or "all 0",
        ),
        Expectation(
            f"Every month is measured on its {ROWS:,} predictions, each once.",
            not wrong,
            ", ".join(wrong) or "all",
        ),
    ]


def _is_exactly_zero(drift: Drift | None) -> bool:
    # Whoever has no KS distance is a column of categories.
    return drift is not None and drift.psi == 0 and drift.ks in {None, 0}


def _labels(labels: LabelCheck) -> list[Expectation]:
    return [
        Expectation(
            f"Every prediction is stored once ({labels.expected:,}).",
            labels.stored == labels.expected and labels.unknown == 0,
            f"{labels.stored:,} stored, {labels.unknown} unknown",
        ),
        Expectation(
            "No prediction has another month's outcome.",
            labels.wrong == 0,
            f"{labels.wrong} wrong of {labels.joined:,}",
        ),
        Expectation(
            "No outcome that is known has missed its prediction.",
            labels.missed == 0,
            f"{labels.missed} missed of {labels.known:,}",
        ),
    ]


def _drifting(measurement: Measurement) -> str:
    """Name the columns that are not ok."""
    return (
        ", ".join(
            f"{name} {drift.status} ({drift.psi:.3f})"
            for name, drift in measurement.columns.items()
            if drift.status != "ok"
        )
        or "all ok"
    )


def _is_roc_auc(measurement: Measurement, expected: float) -> bool:
    realized = measurement.realized
    return (
        realized is not None
        and realized.month == measurement.month
        and math.isclose(realized.value, expected, abs_tol=TOLERANCE)
    )


def _roc_auc(measurement: Measurement) -> str:
    realized = measurement.realized
    return f"{realized.value:.4f} in {realized.month}" if realized else "none"
