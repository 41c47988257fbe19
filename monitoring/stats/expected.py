"""What a model's answers say of the labels, and the metrics that follow.

There are three things to know of an answer: the score of the positive class, the
probability of each class, or the confidence in the predicted one. For each there is a
class here that calibrates it, and computes metrics from *chances*: of being positive,
of being each class, of being right. A label that is known is a chance of 0 or 1, so
realized and estimated metrics are one function.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from monitoring.stats import calibration, performance, spreads
from monitoring.stats.answers import Answers
from monitoring.stats.calibration import Calibrator
from monitoring.stats.measure import InsufficientDataError
from monitoring.stats.performance import Counts, Metric, Metrics, absent
from monitoring.stats.spreads import Spreads
from monitoring.stats.tally import Floats, Ints

Calibrators = tuple[Calibrator, ...]


class Knowledge(Protocol):
    """How labels, probabilities and metrics of some answers hang together."""

    @property
    def name(self) -> str:
        """What is known, in words."""

    def is_usable(self, answers: Answers) -> NDArray[np.bool_]:
        """Tell which rows have all that is needed."""

    def calibrate(self, answers: Answers, labels: Ints) -> Calibrators:
        """Return calibrations fitted on labelled rows."""

    def certain(self, answers: Answers, labels: Ints) -> Floats:
        """Return the chances of rows whose label is known."""

    def chances(self, answers: Answers, calibrators: Calibrators) -> Floats:
        """Return the chances of rows whose label is not known."""

    def metrics(self, answers: Answers, chances: Floats) -> Metrics:
        """Return every metric, each expected from the chances."""

    def spreads(self, answers: Answers, certain: Floats) -> Spreads:
        """Return how much each metric varies with single rows."""


@dataclass(frozen=True, slots=True)
class Scores:
    """The score of the positive class of a binary model; chances: of being positive."""

    name: str = "the score of the positive class"

    def is_usable(self, answers: Answers) -> NDArray[np.bool_]:
        """Tell which rows have a score and a predicted class."""
        return np.isfinite(answers.scores) & (answers.predicted >= 0)

    def calibrate(self, answers: Answers, labels: Ints) -> Calibrators:
        """Return one calibration, of the score."""
        return (calibration.fit(answers.scores, labels == 1),)

    def certain(self, answers: Answers, labels: Ints) -> Floats:
        """Return 1 for a positive label."""
        return np.equal(labels, 1).astype(np.float64)

    def chances(self, answers: Answers, calibrators: Calibrators) -> Floats:
        """Return the calibrated score."""
        return calibrators[0](answers.scores)

    def metrics(self, answers: Answers, chances: Floats) -> Metrics:
        """Return the metrics of the expected confusion matrix, and ROC-AUC."""
        predicted = np.bincount(answers.predicted, minlength=2)
        positive = np.bincount(answers.predicted, chances, minlength=2)
        matrix = np.column_stack((predicted - positive, positive))
        metrics = performance.confusion_metrics(np.maximum(matrix, 0.0))
        return metrics | {"roc_auc": _area(answers.scores, chances)}

    def spreads(self, answers: Answers, certain: Floats) -> Spreads:
        """Return the spread of each metric that the baseline has."""
        return spreads.positive_spreads(
            answers.predicted == 1, certain == 1, answers.scores
        )


@dataclass(frozen=True, slots=True)
class Probabilities:
    """The probability of each of `size` classes; chances: of being each class."""

    size: int

    @property
    def name(self) -> str:
        """What is known, in words."""
        return f"the probabilities of {self.size} classes"

    def is_usable(self, answers: Answers) -> NDArray[np.bool_]:
        """Tell which rows have all probabilities and a predicted class."""
        known = np.logical_and.reduce(np.isfinite(_table(answers)), axis=1)
        return np.logical_and(known, answers.predicted >= 0)

    def calibrate(self, answers: Answers, labels: Ints) -> Calibrators:
        """Return a calibration of each class against the rest.

        One more, which is constant, if there are labels of no class.

        Raises
        ------
        InsufficientDataError
            A class has no label, or there are too few.

        """
        found = np.bincount(labels, minlength=self.size)[: self.size]
        absent_classes = int(np.count_nonzero(found == 0))
        if absent_classes:
            msg = f"{absent_classes} of {self.size} classes have no labelled row"
            raise InsufficientDataError(msg)
        columns = np.ascontiguousarray(_table(answers).T)
        fitted = [
            calibration.fit(scores, labels == one) for one, scores in enumerate(columns)
        ]
        strange = float(np.mean(labels >= self.size))
        if strange:
            constant = Calibrator("isotonic", np.zeros(1), np.array([strange]))
            fitted.append(replace(constant, rows=len(labels)))
        return tuple(fitted)

    def certain(self, answers: Answers, labels: Ints) -> Floats:
        """Return 1 in the column of the label; a label of no class has none."""
        return np.equal(labels[:, None], np.arange(self.size)).astype(np.float64)

    def chances(self, answers: Answers, calibrators: Calibrators) -> Floats:
        """Return the calibrated probabilities, made to add up to 1.

        Less if the baseline has labels of no class: their share is left.
        """
        table = _table(answers)
        columns = [calibrators[one](table[:, one]) for one in range(self.size)]
        found = np.column_stack(columns)
        total = found.sum(1, keepdims=True)
        even = np.full_like(found, 1 / self.size)
        result: Floats = np.divide(found, total, out=even, where=total > 0)
        for strange in calibrators[self.size :]:
            result *= 1 - strange.heights[0]
        return result

    def metrics(self, answers: Answers, chances: Floats) -> Metrics:
        """Return accuracy and the macro metrics, ROC-AUC of each against the rest.

        What was predicted, or is labelled, as no known class counts as one more.
        """
        table = _table(answers)
        areas = [
            _area(table[:, one], chances[:, one]).value for one in range(self.size)
        ]
        return self.metrics_of(self.totals(answers, chances), areas)

    def totals(self, answers: Answers, chances: Floats) -> Floats:
        """Return what the confusion metrics are functions of, and what adds.

        Parameters
        ----------
        answers : Answers
            Of n rows.
        chances : float array, shape (n, size)
            Of each class.

        Returns
        -------
        float array, shape (3, size + 1)
            Expected right answers, answers, and expected labels of each class; the
            last one is what is no known class.

        """
        size, rows = self.size + 1, len(chances)
        predicted = np.bincount(answers.predicted, minlength=size)
        known = answers.predicted < self.size
        right = chances[known, answers.predicted[known]]
        hits = np.bincount(answers.predicted[known], right, minlength=size)
        sums = chances.sum(0)
        actual = np.append(sums, max(rows - float(sums.sum()), 0.0))
        return np.stack((hits, predicted.astype(np.float64), actual))

    def metrics_of(self, totals: Floats, areas: Sequence[float | None]) -> Metrics:
        """Return the metrics of summed totals, and of the area of each class."""
        hits, predicted, actual = totals
        rows = float(predicted.sum())
        # What rounding leaves is no class.
        actual = np.where(actual < 1e-9 * rows, 0.0, actual)
        metrics = performance.class_metrics(hits, predicted, actual)
        metrics["roc_auc"] = absent(rows, "not every class occurs")
        if None not in areas:
            mean = math.fsum(area for area in areas if area is not None) / self.size
            metrics["roc_auc"] = Metric(mean, rows)
        return metrics

    def spreads(self, answers: Answers, certain: Floats) -> Spreads:
        """Return the spread of accuracy and of each macro metric."""
        return spreads.class_spreads(answers.predicted, certain == 1, _table(answers))


@dataclass(frozen=True, slots=True)
class Confidence:
    """The confidence in the predicted class alone; chances: of being right.

    Accuracy is all that can be known of it: the other metrics need to know which class
    it would be otherwise.
    """

    name: str = "the confidence in the predicted class"

    def is_usable(self, answers: Answers) -> NDArray[np.bool_]:
        """Tell which rows have a confidence and a predicted class."""
        return np.isfinite(answers.scores) & (answers.predicted >= 0)

    def calibrate(self, answers: Answers, labels: Ints) -> Calibrators:
        """Return one calibration, of being right."""
        return (calibration.fit(answers.scores, np.equal(answers.predicted, labels)),)

    def certain(self, answers: Answers, labels: Ints) -> Floats:
        """Return 1 for a right answer."""
        return np.equal(answers.predicted, labels).astype(np.float64)

    def chances(self, answers: Answers, calibrators: Calibrators) -> Floats:
        """Return the calibrated confidence."""
        return calibrators[0](answers.scores)

    def metrics(self, answers: Answers, chances: Floats) -> Metrics:
        """Return accuracy, and why there is nothing else."""
        rows, reason = len(chances), "the probability of each class isn't known"
        names = (*performance.MACRO, "roc_auc")
        accuracy = performance.share(float(chances.sum()), rows)
        return {name: absent(rows, reason) for name in names} | {"accuracy": accuracy}

    def spreads(self, answers: Answers, certain: Floats) -> Spreads:
        """Return the spread of accuracy."""
        return {"accuracy": float(np.std(certain))}


def _table(answers: Answers) -> Floats:
    if answers.probabilities is None:
        raise ValueError("the answers have no probabilities")
    return answers.probabilities


def _area(scores: Floats, chances: Floats) -> Metric:
    """Return the area under the ROC curve by scores, each row positive by a chance."""
    if (scores[1:] < scores[:-1]).any():
        order = np.argsort(scores)
        scores, chances = scores[order], chances[order]
    starts = np.flatnonzero(np.append(True, scores[1:] != scores[:-1]))
    positives: Counts = np.add.reduceat(chances, starts)
    rows = np.diff(starts, append=len(scores))
    return performance.roc_auc(positives, np.maximum(rows - positives, 0.0))
