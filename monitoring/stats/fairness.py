"""Group fairness from counts: who gets the favourable outcome, and how rightly.

Equal to `fairlearn.metrics`, where the positive label is the favourable outcome. A
group of fewer than 30 rows isn't measurable; what needs labels says so until they come.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from monitoring.stats.performance import Z95
from monitoring.stats.tally import OTHER

MINIMUM_GROUP = 30


class Availability(StrEnum):
    """Whether a figure is there, and if not, why."""

    OK = "ok"
    NEEDS_LABELS = "needs_labels"  # no label has come yet
    NOT_MEASURABLE = "not_measurable"  # fewer than two groups are large enough


@dataclass(frozen=True, slots=True)
class GroupCounts:
    """Rows of one group: all with a prediction, and the labelled ones among them."""

    group: str
    n: int
    favourable: int  # predicted as favourable, of n
    # Labelled rows: predicted favourable or not, truly favourable or not.
    true_favourable: int = 0
    false_favourable: int = 0
    false_unfavourable: int = 0
    true_unfavourable: int = 0

    @property
    def labelled(self) -> int:
        """How many rows have a label."""
        return (
            self.true_favourable
            + self.false_favourable
            + self.false_unfavourable
            + self.true_unfavourable
        )


@dataclass(frozen=True, slots=True)
class GroupFairness:
    """The rates of one group; None where a rate can't be measured."""

    group: str
    n: int
    labelled: int
    selection_rate: float | None = None  # share predicted as favourable
    # Selection rate over that of the best-off group, with its 95 % interval.
    ratio: float | None = None
    ratio_low: float | None = None
    ratio_high: float | None = None
    accuracy: float | None = None
    true_positive_rate: float | None = None
    false_positive_rate: float | None = None
    precision: float | None = None

    @property
    def is_measurable(self) -> bool:
        """Whether the group is large enough."""
        return self.n >= MINIMUM_GROUP

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON."""
        return {
            "group": self.group,
            "n": self.n,
            "labelled": self.labelled,
            "measurable": self.is_measurable,
            "selection_rate": self.selection_rate,
            "ratio": self.ratio,
            "ratio_low": self.ratio_low,
            "ratio_high": self.ratio_high,
            "accuracy": self.accuracy,
            "true_positive_rate": self.true_positive_rate,
            "false_positive_rate": self.false_positive_rate,
            "precision": self.precision,
        }


@dataclass(frozen=True, slots=True)
class AttributeFairness:
    """One protected attribute: its groups and how far they lie apart."""

    attribute: str
    groups: tuple[GroupFairness, ...]
    parity: Availability  # of the demographic parity
    labels: Availability  # of what needs labels
    demographic_parity_difference: float | None = None
    demographic_parity_ratio: float | None = None
    equalized_odds_difference: float | None = None
    equalized_odds_ratio: float | None = None
    equal_opportunity_difference: float | None = None

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON."""
        return {
            "attribute": self.attribute,
            "parity": self.parity.value,
            "labels": self.labels.value,
            "demographic_parity_difference": self.demographic_parity_difference,
            "demographic_parity_ratio": self.demographic_parity_ratio,
            "equalized_odds_difference": self.equalized_odds_difference,
            "equalized_odds_ratio": self.equalized_odds_ratio,
            "equal_opportunity_difference": self.equal_opportunity_difference,
            "groups": [group.to_json() for group in self.groups],
        }


@dataclass(frozen=True, slots=True)
class FairnessReport:
    """The fairness of a model over all its protected attributes."""

    attributes: tuple[AttributeFairness, ...] = ()

    @property
    def score(self) -> float | None:
        """The smallest demographic-parity ratio, in [0, 1]; 1 is parity."""
        ratios = [
            attribute.demographic_parity_ratio
            for attribute in self.attributes
            if attribute.demographic_parity_ratio is not None
        ]
        return min(ratios, default=None)

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON."""
        return {
            "score": self.score,
            "attributes": [attribute.to_json() for attribute in self.attributes],
        }


def report(groups: Mapping[str, Sequence[GroupCounts]]) -> FairnessReport:
    """Return the fairness over attributes, each with the counts of its groups."""
    return FairnessReport(
        tuple(attribute_fairness(name, counts) for name, counts in groups.items())
    )


def attribute_fairness(
    attribute: str, counts: Sequence[GroupCounts]
) -> AttributeFairness:
    """Return rates, differences and ratios over the groups of one attribute.

    Differences are the largest minus the smallest rate over the measurable groups,
    ratios the smallest over the largest. Equalized odds takes the worse of the true and
    the false positive rate. With fewer than two measurable groups, or where a rate has
    no denominator in some group, a figure is None.

    Groups that the baseline doesn't name are counted together, as ``__other__``. Nobody
    knows whom that would compare, so it is shown and left out of every comparison.

    Examples
    --------
    >>> women, men = GroupCounts("2", 100, 40), GroupCounts("1", 100, 50)
    >>> attribute_fairness("SEX", [women, men]).demographic_parity_ratio
    0.8

    """
    named = [one for one in counts if one.group != OTHER]
    large = [one for one in named if one.n >= MINIMUM_GROUP]
    best = max(large, key=lambda one: one.favourable / one.n, default=None)
    groups = tuple(_group(one, best) for one in counts)
    rates = [one.favourable / one.n for one in large]
    labelled = [one for one in named if one.labelled >= MINIMUM_GROUP]
    true_rates = [_rate(*_true_positive(one)) for one in labelled]
    false_rates = [_rate(*_false_positive(one)) for one in labelled]
    return AttributeFairness(
        attribute,
        groups,
        parity=_availability(len(large)),
        labels=_availability(len(labelled), any(one.labelled for one in counts)),
        demographic_parity_difference=_difference(rates),
        demographic_parity_ratio=_ratio(rates),
        equalized_odds_difference=max(
            _complete([_difference(true_rates), _difference(false_rates)]), default=None
        ),
        equalized_odds_ratio=min(
            _complete([_ratio(true_rates), _ratio(false_rates)]), default=None
        ),
        equal_opportunity_difference=_difference(true_rates),
    )


def _availability(groups: int, any_labels: bool = True) -> Availability:
    if not any_labels:
        return Availability.NEEDS_LABELS
    return Availability.OK if groups >= 2 else Availability.NOT_MEASURABLE


def _group(counts: GroupCounts, best: GroupCounts | None) -> GroupFairness:
    if counts.n < MINIMUM_GROUP:
        return GroupFairness(counts.group, counts.n, counts.labelled)
    ratio = low = high = None
    if best is not None and best.favourable > 0 and counts.group != OTHER:
        ratio = counts.favourable / counts.n / (best.favourable / best.n)
        if counts is not best:
            low, high = ratio_interval(
                counts.favourable, counts.n, best.favourable, best.n
            )
    rates: dict[str, float | None] = {}
    if counts.labelled >= MINIMUM_GROUP:
        right = counts.true_favourable + counts.true_unfavourable
        chosen = counts.true_favourable + counts.false_favourable
        rates = {
            "accuracy": _rate(right, counts.labelled),
            "true_positive_rate": _rate(*_true_positive(counts)),
            "false_positive_rate": _rate(*_false_positive(counts)),
            "precision": _rate(counts.true_favourable, chosen),
        }
    return GroupFairness(
        counts.group,
        counts.n,
        counts.labelled,
        selection_rate=counts.favourable / counts.n,
        ratio=ratio,
        ratio_low=low,
        ratio_high=high,
        **rates,
    )


def ratio_interval(
    hits: int, n: int, reference_hits: int, reference_n: int
) -> tuple[float, float]:
    """Return the 95 % interval of a ratio of two shares.

    On the logarithmic scale by the delta method, with half a row added to each count so
    that a share of 0 or 1 has an interval too.

    References
    ----------
    Walter, Biometrics 31 (1975) 371-374; Katz et al., Biometrics 34 (1978) 469-474.

    Examples
    --------
    >>> low, high = ratio_interval(754, 10000, 1000, 10000)
    >>> round(low, 2), round(high, 2)
    (0.69, 0.83)

    """
    a, b = hits + 0.5, reference_hits + 0.5
    middle = math.log(a / (n + 0.5)) - math.log(b / (reference_n + 0.5))
    variance = 1 / a - 1 / (n + 0.5) + 1 / b - 1 / (reference_n + 0.5)
    half = Z95 * math.sqrt(max(variance, 0.0))
    return math.exp(middle - half), math.exp(middle + half)


def _true_positive(one: GroupCounts) -> tuple[int, int]:
    return one.true_favourable, one.true_favourable + one.false_unfavourable


def _false_positive(one: GroupCounts) -> tuple[int, int]:
    return one.false_favourable, one.false_favourable + one.true_unfavourable


def _rate(part: int, whole: int) -> float | None:
    return part / whole if whole > 0 else None


def _complete(rates: Iterable[float | None]) -> list[float]:
    """Return the rates, or none if one is missing or there is nothing to compare."""
    known = list(rates)
    found = [rate for rate in known if rate is not None]
    return found if len(found) == len(known) >= 2 else []


def _difference(rates: Iterable[float | None]) -> float | None:
    known = _complete(rates)
    return max(known) - min(known) if known else None


def _ratio(rates: Iterable[float | None]) -> float | None:
    known = _complete(rates)
    if not known or max(known) <= 0:
        return None
    return min(known) / max(known)


def from_rows(
    attribute: str, groups: ArrayLike, predicted: ArrayLike, labels: ArrayLike
) -> AttributeFairness:
    """Return the fairness of one attribute from rows.

    Parameters
    ----------
    groups : array of str or None, shape (n,)
        None is left out.
    predicted, labels : array, shape (n,)
        1 favourable, 0 not, NaN unknown.

    """
    names = np.asarray(groups, object)
    chosen = np.asarray(predicted, np.float64)
    truth = np.asarray(labels, np.float64)
    counts = []
    for name in sorted({one for one in names.tolist() if one is not None}):
        mine = (names == name) & ~np.isnan(chosen)
        cells = np.zeros(4, np.int64)
        known = mine & ~np.isnan(truth)
        np.add.at(cells, (2 * chosen[known] + truth[known]).astype(np.int64), 1)
        true_no, false_no, false_yes, true_yes = cells.tolist()
        counts.append(
            GroupCounts(
                name,
                int(mine.sum()),
                int(chosen[mine].sum()),
                true_favourable=true_yes,
                false_favourable=false_yes,
                false_unfavourable=false_no,
                true_unfavourable=true_no,
            )
        )
    return attribute_fairness(attribute, counts)
