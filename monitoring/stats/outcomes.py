"""Answers and what came of them, as counts that add.

An hour's tally has a part for all rows and a part for the labelled ones. A label that
comes later adds to the second part of its prediction's hour; a correction takes the old
label out and puts the new one in. From a merged tally come the realized metrics and the
groups of the fairness report (`monitoring.stats.realized`).
"""

from __future__ import annotations

import hashlib
import json
import math
import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from governance.labels import canonical
from governance.schema import Task
from monitoring.stats import performance
from monitoring.stats.answers import Answers, is_given, numbers, positions
from monitoring.stats.columns import NumericColumn, Values
from monitoring.stats.performance import ErrorSums
from monitoring.stats.tally import OTHER, Floats, Ints, Tally

# Beyond these many classes only the margins and the diagonal of the confusion are kept.
MAX_CONFUSION = 50
# A baseline of few scores, such as hard labels, mustn't blind the grid to later ones.
_EVEN_POINTS = np.linspace(0, 1, 257)
_GROUP_COUNTS = 6  # n, favourable, then labelled: predicted favourable by truly so

_VERSION = 1
_HEADER = struct.Struct("<BIII")  # version, bytes of JSON, points, bytes of the tally
_FLOAT = np.dtype("<f8")

ERROR_SUMS = ("e", "absolute", "squares", "fourths", "y", "y_squares", "relative")
_CHANCE_SUMS = ("losses", "squares")


class Part(NamedTuple):
    """Where one table of counts stands in a tally's ints."""

    cells: slice
    shape: tuple[int, ...]


@dataclass(frozen=True, eq=False)
class OutcomeLayout:
    """What is counted of a model's outcomes, and where in a tally it stands."""

    task: Task
    classes: tuple[str, ...] = ()  # the order of the probabilities
    positive: str | None = None  # binary only
    favourable: str | None = None  # the outcome that a person wishes for
    threshold: float | None = None
    points: Floats = field(default_factory=lambda: np.zeros(0))  # of the score grid
    centre: float = 0.0  # keeps the variance of a regression's labels from cancelling
    groups: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    # The baseline's own outcomes; of no rows until `with_baseline`.
    baseline_bytes: bytes = b""

    @classmethod
    def fit(
        cls,
        task: Task,
        *,
        classes: Sequence[object] | None = None,
        positive: object = None,
        favourable: object = None,
        threshold: float | None = None,
        scores: Values | None = None,
        groups: Mapping[str, Sequence[str]] | None = None,
    ) -> Self:
        """Return the layout for a model.

        Parameters
        ----------
        task : Task
            Decides what is counted.
        classes : sequence of labels or None
            The order of the probabilities; None is ``("0", "1")`` for a binary model.
        positive, favourable : label or None
            Binary: if not given, the positive class is `1`, or the second one if the
            classes are others, and the favourable outcome is the positive class.
            Without a favourable outcome a multiclass model has no group fairness. A
            regression's is `1` from the threshold on or `0` below it.
        threshold : float or None
            From which score on a binary model predicts the positive class where it
            doesn't say, 0.5 if None; for a regression see `favourable`.
        scores : array or None
            The baseline's scores (confidences, predictions): the grid is made of them.
        groups : mapping of str to sequence of str
            The known groups of each protected attribute; others count together.

        """
        task = Task(task)
        names = tuple(
            text for text in map(canonical, classes or ()) if text is not None
        )
        if task is Task.REGRESSION:
            names = ()
        elif not names:
            names = ("0", "1") if task is Task.BINARY else ()
        if task is Task.BINARY and len(names) != 2:
            msg = f"a binary model has two classes, not {len(names)}"
            raise ValueError(msg)
        chosen = canonical(positive) if task is Task.BINARY else None
        if task is Task.BINARY and chosen is None:
            chosen = "1" if "1" in names else names[1]
        if chosen is not None and chosen not in names:
            msg = f"the positive class {chosen!r} is none of {', '.join(names)}"
            raise ValueError(msg)
        wished = canonical(favourable)
        return cls(
            task,
            names,
            chosen,
            chosen if wished is None else wished,
            threshold,
            *_grid(task, scores),
            {name: tuple(known) for name, known in (groups or {}).items()},
        )

    @property
    def class_names(self) -> tuple[str, ...]:
        """The classes in the order of the confusion matrix."""
        if self.task is Task.BINARY:
            negative = next(name for name in self.classes if name != self.positive)
            return (negative, self.positive or "")
        return (*self.classes, OTHER)

    @property
    def can_judge_groups(self) -> bool:
        """Whether it is known which outcome is the favourable one."""
        if self.task is Task.REGRESSION:
            return self.threshold is not None
        return self.favourable in self.classes

    @cached_property
    def parts(self) -> dict[str, Part]:
        """Every table of counts by its name."""
        shapes: dict[str, tuple[int, ...]] = {
            "rows": (1,),
            "labels": (2,),  # known to the task, not known
        }
        cells, k = 2 * len(self.points) + 1, len(self.class_names)
        if self.task is Task.REGRESSION:
            shapes["errors"] = (2,)  # labelled with a prediction; with a label not 0
        else:
            by = 3 if self.task is Task.BINARY else 1
            shapes["scores"] = (cells, by)  # by predicted class; the last: none
            shapes["labelled"] = (
                cells,
                2,
            )  # binary: by label; multiclass: wrong, right
            shapes["predicted"] = (k + 1,)  # the last: none
            shapes["chances"] = (1,)  # labelled rows with probabilities
            full = k <= MAX_CONFUSION
            # Predicted by label, or: hits, predicted, labels of each class.
            shapes["confusion"] = (k, k) if full else (3, k)
        for attribute, known in self.groups.items():
            shapes[group_part(attribute)] = (len(known) + 1, _GROUP_COUNTS)
        parts, start = {}, 0
        for name, shape in shapes.items():
            stop = start + math.prod(shape)
            parts[name] = Part(slice(start, stop), shape)
            start = stop
        return parts

    @property
    def ints_length(self) -> int:
        """Length of the ints of every tally of this layout."""
        stops = [part.cells.stop for part in self.parts.values()]
        return int(stops[-1])

    @property
    def sums_length(self) -> int:
        """Length of the sums of every tally of this layout."""
        return len(ERROR_SUMS if self.task is Task.REGRESSION else _CHANCE_SUMS)

    def empty(self) -> Tally:
        """Return the tally of no rows."""
        return Tally.empty(self.ints_length, self.sums_length)

    def merge(self, blobs: Sequence[bytes | memoryview]) -> Tally:
        """Return the sum of stored tallies."""
        return Tally.merge_bytes(blobs, self.ints_length, self.sums_length)

    def view(self, tally: Tally, name: str) -> Ints:
        """Return one table of a tally; writing into it writes into the tally."""
        part = self.parts[name]
        return tally.ints[part.cells].reshape(part.shape)

    @cached_property
    def baseline(self) -> Tally:
        """The baseline's own outcomes."""
        if not self.baseline_bytes:
            return self.empty()
        return self.merge([self.baseline_bytes])

    def with_baseline(self, tally: Tally) -> Self:
        """Return the layout with the baseline's outcomes kept in it."""
        return replace(self, baseline_bytes=tally.to_bytes())

    def answers(
        self,
        values: Values | None = None,
        texts: Values | None = None,
        probabilities: Floats | None = None,
    ) -> Answers:
        """Read logged predictions.

        A binary score is the probability of the positive class where there are
        probabilities (one column is that of the positive class), else the prediction
        as a number. A prediction that names a class is the predicted class; otherwise
        the score decides by the threshold, or the largest probability.

        Parameters
        ----------
        values : float array, shape (n,), or None
            Predictions as numbers, NaN where they are none.
        texts : labels or Codes, length n, or None
            Predictions as labels.
        probabilities : float array, shape (n, k), or None
            In the order of the classes, NaN where there are none.

        """
        length = _length(values, texts, probabilities)
        known = np.full(length, np.nan) if values is None else numbers(values)
        if self.task is Task.REGRESSION:
            if values is None and texts is not None:
                known = numbers(texts)
            return Answers(known, np.full(length, -1))
        predicted = np.full(length, -1)
        for given in (values, texts):
            if given is not None:
                named = positions(given, self.classes)
                predicted = np.where(
                    (named >= 0) & (named < len(self.classes)), named, predicted
                )
        if self.task is Task.BINARY:
            return self._binary_answers(known, predicted, probabilities)
        unnamed = (predicted < 0) & _are_given(texts, length)
        predicted[unnamed] = len(self.classes)
        if probabilities is None:
            return Answers(np.full(length, np.nan), predicted)
        confidence = probabilities.max(1, initial=-np.inf)
        confidence[~np.isfinite(confidence)] = np.nan
        if probabilities.shape[1] != len(self.classes):
            return Answers(confidence, predicted)
        silent = (predicted < 0) & ~np.isnan(confidence)
        predicted[silent] = probabilities[silent].argmax(1)
        return Answers(confidence, predicted, probabilities)

    def _binary_answers(
        self, values: Floats, named: Ints, probabilities: Floats | None
    ) -> Answers:
        scores = values
        place = self.classes.index(self.positive or "")
        if probabilities is not None and probabilities.shape[1] in {1, 2}:
            column = min(place, probabilities.shape[1] - 1)
            given = probabilities[:, column]
            scores = np.where(np.isnan(given), values, given)
        limit = 0.5 if self.threshold is None else self.threshold
        predicted = np.where(np.isnan(scores), -1, scores >= limit)
        return Answers(scores, np.where(named >= 0, named == place, predicted))

    def count(
        self,
        answers: Answers,
        labels: Values | None = None,
        groups: Mapping[str, Values] | None = None,
    ) -> Tally:
        """Count rows, and the labels of those that have one.

        Parameters
        ----------
        answers : Answers
            See `OutcomeLayout.answers`.
        labels : labels, numbers or Codes, or None
            None (NaN, -1) where the label isn't in yet.
        groups : mapping of str to group names or Codes
            Of each protected attribute; None where it is unknown.

        """
        tally = (
            self.empty()
            if labels is None
            else self.count_labels(answers, labels, groups)
        )
        self.view(tally, "rows")[0] += len(answers)
        if self.task is not Task.REGRESSION:
            k = len(self.class_names)
            predicted = np.where(answers.predicted < 0, k, answers.predicted)
            self.view(tally, "predicted")[:] += np.bincount(predicted, minlength=k + 1)
            by = predicted if self.task is Task.BINARY else np.zeros(len(answers), int)
            self._add_cells(tally, "scores", answers.scores, by)
        for name, places in self._places(groups):
            table = self.view(tally, group_part(name))
            chosen = self._is_favourable(answers.predicted, answers.scores)
            known = (places >= 0) & (chosen >= 0)
            table[:, 0] += np.bincount(places[known], minlength=len(table))
            wished = known & (chosen == 1)
            table[:, 1] += np.bincount(places[wished], minlength=len(table))
        return tally

    def count_labels(
        self,
        answers: Answers,
        labels: Values,
        groups: Mapping[str, Values] | None = None,
    ) -> Tally:
        """Count the labels alone, of rows that are counted already.

        Add the result to the tally of the predictions' hour; subtract it to take
        labels out.
        """
        tally = self.empty()
        counts = self.view(tally, "labels")
        if self.task is Task.REGRESSION:
            truth = numbers(labels)
            codes = np.full(len(truth), -1)
            counts[0] += np.count_nonzero(~np.isnan(truth))
            counts[1] += np.count_nonzero(np.isnan(truth) & is_given(labels))
            self._add_errors(tally, answers.scores, truth)
        else:
            codes = self.label_codes(labels)
            truth = np.full(len(codes), np.nan)
            counts[0] += np.count_nonzero(codes >= 0)
            counts[1] += np.count_nonzero(codes < -1)
            self._add_classes(tally, answers, codes)
        for name, places in self._places(groups):
            table = self.view(tally, group_part(name))
            chosen = self._is_favourable(answers.predicted, answers.scores)
            truly = self._is_favourable(codes, truth)
            known = (places >= 0) & (chosen >= 0) & (truly >= 0)
            index = 4 * places[known] + 2 * chosen[known] + truly[known]
            found = np.bincount(index, minlength=4 * len(table))
            table[:, 2:] += found.reshape(-1, 4)
        return tally

    def label_codes(self, labels: Values) -> Ints:
        """Return the class of each label, -1 without one.

        A label that is no class is -2; of several classes it stands behind the last.
        """
        codes = positions(labels, self.classes)
        if self.task is not Task.BINARY:
            return codes
        place = self.classes.index(self.positive or "")
        strange = codes == len(self.classes)
        return np.where(strange, -2, np.where(codes < 0, -1, codes == place))

    def _add_cells(self, tally: Tally, name: str, scores: Floats, by: Ints) -> None:
        """Count scores by their cell on the grid and by a second code."""
        table = self.view(tally, name)
        known = ~np.isnan(scores)
        size = len(self.points)
        index = np.searchsorted(self.points, scores[known])
        equal = self.points[np.minimum(index, size - 1)] == scores[known]
        cells = (2 * index + equal) * table.shape[1] + by[known]
        table += np.bincount(cells, minlength=table.size).reshape(table.shape)

    def _add_classes(self, tally: Tally, answers: Answers, codes: Ints) -> None:
        labelled = codes >= 0
        mine, truth = answers.at(labelled), codes[labelled]
        known = mine.predicted >= 0
        k = len(self.class_names)
        predicted, actual = mine.predicted[known], truth[known]
        table = self.view(tally, "confusion")
        if len(table) == k:
            found = np.bincount(predicted * k + actual, minlength=k * k)
            table += found.reshape(k, k)
        else:
            hits = predicted[predicted == actual]
            for row, one in enumerate((hits, predicted, actual)):
                table[row] += np.bincount(one, minlength=k)
        if self.task is Task.BINARY:
            self._add_cells(tally, "labelled", mine.scores, truth)
            scored = ~np.isnan(mine.scores)
            sums = performance.chance_sums(mine.scores[scored], truth[scored] == 1)
        else:
            right = (mine.predicted == truth).astype(np.int64)
            self._add_cells(tally, "labelled", mine.scores, right)
            sums = self._class_sums(mine, truth)
        self.view(tally, "chances")[0] += sums[0]
        tally.sums += sums[1:]

    def _class_sums(self, answers: Answers, truth: Ints) -> tuple[int, float, float]:
        chances = answers.probabilities
        if chances is None:
            return 0, 0.0, 0.0
        known = ~np.isnan(chances).any(1) & (truth < len(self.classes))
        return performance.class_chance_sums(chances[known], truth[known])

    def _add_errors(self, tally: Tally, scores: Floats, truth: Floats) -> None:
        known = ~np.isnan(scores) & ~np.isnan(truth)
        sums = ErrorSums.of(scores[known], truth[known], self.centre)
        self.view(tally, "errors")[:] += (sums.n, sums.n_relative)
        tally.sums += [getattr(sums, name) for name in ERROR_SUMS]

    def _is_favourable(self, codes: Ints, values: Floats) -> Ints:
        """Return 1 for the favourable outcome, 0 for another, -1 if it isn't known."""
        if self.task is Task.REGRESSION:
            above = (values >= (self.threshold or 0.0)) == (self.favourable != "0")
            return np.where(np.isnan(values), -1, above)
        wished = self.class_names.index(self.favourable or "")
        return np.where(codes < 0, -1, codes == wished)

    def _places(self, groups: Mapping[str, Values] | None) -> list[tuple[str, Ints]]:
        if not self.can_judge_groups:
            return []
        return [
            (name, positions(values, self.groups[name]))
            for name, values in (groups or {}).items()
            if name in self.groups
        ]

    def to_bytes(self) -> bytes:
        """Return what `from_bytes` reads; equal layouts give equal bytes."""
        text = json.dumps(
            {
                "task": self.task.value,
                "classes": self.classes,
                "positive": self.positive,
                "favourable": self.favourable,
                "threshold": self.threshold,
                "centre": self.centre,
                "groups": list(self.groups.items()),
            },
            separators=(",", ":"),
        ).encode("ascii")
        header = _HEADER.pack(
            _VERSION, len(text), len(self.points), len(self.baseline_bytes)
        )
        points = self.points.astype(_FLOAT).tobytes()
        return b"".join((header, text, points, self.baseline_bytes))

    @classmethod
    def from_bytes(cls, data: bytes | memoryview) -> Self:
        """Return what `to_bytes` wrote, or raise ValueError."""
        try:
            version, length, size, tally = _HEADER.unpack_from(data)
        except struct.error as error:
            msg = f"not a layout of outcomes: {len(data)} bytes"
            raise ValueError(msg) from error
        start = _HEADER.size + length
        stop = start + size * _FLOAT.itemsize
        if version != _VERSION or len(data) != stop + tally:
            msg = f"layout of version {version} in {len(data)} bytes can't be read"
            raise ValueError(msg)
        values = json.loads(bytes(data[_HEADER.size : start]))
        return cls(
            Task(values["task"]),
            tuple(values["classes"]),
            values["positive"],
            values["favourable"],
            values["threshold"],
            np.frombuffer(data, _FLOAT, size, start),
            values["centre"],
            {name: tuple(known) for name, known in values["groups"]},
            bytes(data[stop:]),
        )

    @cached_property
    def digest(self) -> str:
        """SHA-256, in hex, of the bytes."""
        return hashlib.sha256(self.to_bytes()).hexdigest()


def _are_given(values: Values | None, length: int) -> NDArray[np.bool_]:
    return np.zeros(length, bool) if values is None else is_given(values)


def _length(*columns: Values | None) -> int:
    return max((len(one) for one in columns if one is not None), default=0)


def _grid(task: Task, scores: Values | None) -> tuple[Floats, float]:
    """Return the points of the score grid and the centre of the scores."""
    known = np.zeros(0) if scores is None else numbers(scores)
    known = known[~np.isnan(known)]
    if task is Task.REGRESSION:
        return np.zeros(0), float(np.median(known)) if len(known) else 0.0
    points = NumericColumn.fit("score", known, 0, 0).points
    if not len(points) or (points[0] >= 0 and points[-1] <= 1):
        points = np.union1d(points, _EVEN_POINTS)
    return points, 0.0


def group_part(attribute: str) -> str:
    """Return the name of an attribute's table of groups."""
    return f"group {attribute}"
