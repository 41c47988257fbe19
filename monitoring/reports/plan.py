"""What the user said about two files: which column is what, and what to run."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from governance.schema import Task

Period = Literal["hour", "day", "week", "month"]
PERIODS: tuple[Period, ...] = ("hour", "day", "week", "month")


@dataclass(frozen=True, slots=True)
class Plan:
    """Which column is what, and what is run.

    Attributes
    ----------
    task : Task, optional
        None: told from the values, as for a registered model.
    prediction, label, timestamp : str, optional
        Columns of the answers, of what was true, and of the time.
    probabilities : tuple of str
        One column, the score of the positive class; or one for each class.
    features : tuple of str, optional
        The inputs; None: all columns that are nothing else.
    excluded, categorical : frozenset of str
        Columns to leave out, and columns whose values are names although they are
        numbers.
    protected : mapping of str to tuple of float, or None
        Protected attributes, each with the edges of its bands or by its values.
    classes : tuple of str, optional
        In the order of the probabilities.
    positive, favourable : str, optional
        See `OutcomeLayout.fit`.
    threshold : float, optional
        See `OutcomeLayout.fit`.
    chunk_rows : int, optional
        Rows of a chunk; or
    period : str, optional
        the calendar period that a chunk is. Neither: a tenth of the rows.
    algorithms : tuple of str, optional
        Those to run, and to let vote; None: all, and the registry's voters.
    """

    task: Task | None = None
    prediction: str | None = None
    probabilities: tuple[str, ...] = ()
    label: str | None = None
    timestamp: str | None = None
    features: tuple[str, ...] | None = None
    excluded: frozenset[str] = frozenset()
    categorical: frozenset[str] = frozenset()
    protected: Mapping[str, tuple[float, ...] | None] = field(default_factory=dict)
    classes: tuple[str, ...] | None = None
    positive: str | None = None
    favourable: str | None = None
    threshold: float | None = None
    chunk_rows: int | None = None
    period: Period | None = None
    algorithms: tuple[str, ...] | None = None

    @property
    def outputs(self) -> tuple[str, ...]:
        """The columns that are no inputs of the model."""
        named = (self.prediction, *self.probabilities, self.label, self.timestamp)
        return tuple(name for name in named if name is not None)
