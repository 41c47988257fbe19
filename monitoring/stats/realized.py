"""What a tally of outcomes says: the realized metrics and the groups for fairness."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from governance.schema import Task
from monitoring.stats import performance
from monitoring.stats.fairness import GroupCounts
from monitoring.stats.outcomes import ERROR_SUMS, OutcomeLayout, group_part
from monitoring.stats.performance import ErrorSums, Metrics
from monitoring.stats.tally import OTHER, Tally

_NO_CLASS_SCORES = (
    "the counts keep the probability of the predicted class; one class against the "
    "rest needs those of all classes"
)


class Realized(NamedTuple):
    """What is known of a window's performance."""

    rows: int
    labelled: int  # rows with a label that the task knows
    metrics: Metrics
    # Rows predicted by labels, by `OutcomeLayout.class_names`; None if not kept.
    confusion: list[list[int]] | None

    @property
    def labelled_share(self) -> float:
        """The share of the rows whose label is in, in [0, 1]."""
        return self.labelled / self.rows if self.rows > 0 else 0.0

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON."""
        return {
            "rows": self.rows,
            "labelled": self.labelled,
            "metrics": {name: one.to_json() for name, one in self.metrics.items()},
            "confusion": self.confusion,
        }


def realized(layout: OutcomeLayout, tally: Tally) -> Realized:
    """Return what the labels of a window say of the model.

    Parameters
    ----------
    layout : OutcomeLayout
        Under which the tally was counted.
    tally : Tally
        Of any rows: an hour, or the sum of hours.

    """
    labelled = int(layout.view(tally, "labels")[0])
    rows = int(layout.view(tally, "rows")[0])
    if layout.task is Task.REGRESSION:
        n, n_relative = layout.view(tally, "errors").tolist()
        named = dict(zip(ERROR_SUMS, tally.sums.tolist(), strict=True))
        sums = ErrorSums(n=n, n_relative=n_relative, **named)
        return Realized(rows, labelled, performance.regression_metrics(sums), None)
    confusion = layout.view(tally, "confusion")
    is_full = len(confusion) == len(layout.class_names)
    metrics = (
        performance.confusion_metrics(confusion)
        if is_full
        else performance.class_metrics(*confusion)
    )
    if layout.task is Task.BINARY:
        by_label = layout.view(tally, "labelled")
        between = np.arange(0, len(by_label), 2)
        metrics["roc_auc"] = performance.roc_auc(
            by_label[:, 1], by_label[:, 0], between
        )
    else:
        metrics["roc_auc"] = performance.absent(labelled, _NO_CLASS_SCORES)
    losses, squares = tally.sums.tolist()
    chances = int(layout.view(tally, "chances")[0])
    metrics |= performance.chance_metrics(chances, losses, squares)
    return Realized(rows, labelled, metrics, confusion.tolist() if is_full else None)


def groups(layout: OutcomeLayout, tally: Tally) -> dict[str, list[GroupCounts]]:
    """Return the groups of each protected attribute that occur in a window."""
    if not layout.can_judge_groups:
        return {}
    found = {}
    for attribute, known in layout.groups.items():
        table = layout.view(tally, group_part(attribute)).tolist()
        found[attribute] = [
            GroupCounts(
                name,
                n,
                favourable,
                true_favourable=true_yes,
                false_favourable=false_yes,
                false_unfavourable=false_no,
                true_unfavourable=true_no,
            )
            for name, (n, favourable, true_no, false_no, false_yes, true_yes) in zip(
                (*known, OTHER), table, strict=True
            )
            if n > 0
        ]
    return found
