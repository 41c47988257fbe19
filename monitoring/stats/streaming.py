"""Changes in a stream of errors or values, found row by row as the rows come.

A stream sees each row once, in the order of time. What it remembers is small and goes
to bytes and back, so that it lives with the model and survives a restart. After a
change it starts anew. Each finds the same indices as the detector of that name in
river 0.26, whose state is an object in memory.
"""

from __future__ import annotations

import json
import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, ClassVar, Self

import numpy as np

from monitoring.stats.moments import MOST
from monitoring.stats.tally import Floats

_VERSION = 1


@dataclass(frozen=True, slots=True)
class Change:
    """A change that was noticed, which is some time after it happened."""

    index: int  # of the row among all that the stream has seen, from 0
    at: datetime | None  # time stamp of that row

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON."""
        at = None if self.at is None else self.at.isoformat()
        return {"index": self.index, "at": at}


class Stream(ABC):
    """A detector of changes with its memory.

    Attributes
    ----------
    name : str
        In the registry.
    parameters : dict
        As given at the start; a stream keeps them.
    seen : int
        Values fed since the start.
    is_warned : bool
        Whether the last value was in the detector's warning zone, if it has one.

    """

    name: ClassVar[str]
    # Attributes that change as values come; each is plain JSON.
    _memory: ClassVar[tuple[str, ...]]
    # Whether values are errors: 0 right, 1 wrong, or between.
    of_errors: ClassVar[bool] = True

    def __init__(self, **parameters: Any) -> None:
        self.parameters = parameters
        self.seen = 0
        self.is_warned = False
        self._start()

    @abstractmethod
    def _start(self) -> None:
        """Forget everything, at the start and after a change."""

    @abstractmethod
    def _step(self, value: float) -> bool:
        """Take one value in and tell whether there was a change."""

    def feed(
        self, values: Floats, times: Sequence[datetime] | None = None
    ) -> list[Change]:
        """Take values in and return the changes noticed on the way.

        Parameters
        ----------
        values : float array, shape (n,)
            In the order of time, none of them fed before. NaN is passed over.
        times : sequence of datetime, optional
            Time stamps of the values.

        Raises
        ------
        ValueError
            A value is infinite, or an error is outside of [0, 1].

        """
        self._check(values)
        changes = []
        for place, value in enumerate(np.clip(values, -MOST, MOST).tolist()):
            if value != value:
                continue
            self.seen += 1
            if self._step(value):
                at = None if times is None else times[place]
                changes.append(Change(self.seen - 1, at))
                self.is_warned = False
                self._start()
        return changes

    def _check(self, values: Floats) -> None:
        known = values[values == values]
        if not len(known):
            return
        low, high = float(known.min()), float(known.max())
        if self.of_errors and (low < 0 or high > 1):
            msg = f"{self.name} takes errors in [0, 1], not {low:g} to {high:g}"
            raise ValueError(msg)
        if math.isinf(low) or math.isinf(high):
            raise ValueError("an infinite value")

    def to_bytes(self) -> bytes:
        """Return what `from_bytes` reads."""
        state = {
            "version": _VERSION,
            "name": self.name,
            "parameters": self.parameters,
            "seen": self.seen,
            "is_warned": self.is_warned,
            "memory": [getattr(self, name) for name in self._memory],
        }
        return json.dumps(state, separators=(",", ":"), allow_nan=False).encode()

    @classmethod
    def resume(cls, data: bytes | memoryview | None, **parameters: Any) -> Self:
        """Return the stored stream if it has these parameters, otherwise a new one."""
        fresh = cls(**parameters)
        if data is None:
            return fresh
        stored = cls.from_bytes(data)
        return stored if stored.parameters == fresh.parameters else fresh

    @classmethod
    def from_bytes(cls, data: bytes | memoryview) -> Self:
        """Return the stream that `to_bytes` wrote.

        Raises
        ------
        ValueError
            The bytes are of another version, or of another detector.

        """
        state = json.loads(bytes(data))
        found = state.get("version"), state.get("name")
        if found != (_VERSION, cls.name):
            raise ValueError(f"a state of {found[1]}, version {found[0]}")
        stream = cls(**state["parameters"])
        stream.seen, stream.is_warned = state["seen"], state["is_warned"]
        for name, value in zip(cls._memory, state["memory"], strict=True):
            setattr(stream, name, value)
        return stream


class Ddm(Stream):
    """Drift detection method: the error rate rises above the lowest it has been.

    References
    ----------
    Gama, Medas, Castillo and Rodrigues, SBIA 2004, section 3.

    """

    name = "ddm"
    _memory = ("_n", "_rate", "_errors", "_least")

    def __init__(
        self,
        *,
        warm_start: int = 30,
        warning_threshold: float = 2.0,
        drift_threshold: float = 3.0,
        min_errors: int = 5,
    ) -> None:
        """Make a stream.

        Parameters
        ----------
        warm_start : int
            Values before the first verdict.
        warning_threshold, drift_threshold : float
            Standard deviations above the lowest rate.
        min_errors : int
            Errors before the first verdict: after thirty right answers the first
            error is three standard deviations off, whatever the rate is. river has no
            such limit (0).

        """
        super().__init__(
            warm_start=warm_start,
            warning_threshold=warning_threshold,
            drift_threshold=drift_threshold,
            min_errors=min_errors,
        )

    def _start(self) -> None:
        self._n = 0
        self._rate = 0.0
        self._errors = 0.0
        self._least: list[float] | None = None  # rate and deviation at their lowest

    def _step(self, value: float) -> bool:
        self._n += 1
        self._errors += value
        self._rate += (value - self._rate) / self._n
        rate = self._rate
        if self._n <= self.parameters["warm_start"]:
            return False
        deviation = math.sqrt(max(rate * (1 - rate), 0.0) / self._n)
        if self._least is None or rate + deviation <= sum(self._least):
            self._least = [rate, deviation]
        low, unit = self._least
        if self._errors < self.parameters["min_errors"]:
            return False
        excess = rate + deviation
        self.is_warned = excess > low + self.parameters["warning_threshold"] * unit
        return excess > low + float(self.parameters["drift_threshold"]) * unit


class Eddm(Stream):
    """Early drift detection method: errors come closer to each other than ever.

    References
    ----------
    Baena-García et al., IWKDDS 2006, section 3.

    """

    name = "eddm"
    _memory = ("_n", "_errors", "_last", "_mean", "_squares", "_most")

    def __init__(
        self, *, warm_start: int = 30, alpha: float = 0.95, beta: float = 0.9
    ) -> None:
        """Make a stream.

        Parameters
        ----------
        warm_start : int
            Values and errors before the first verdict.
        alpha, beta : float
            Shares of the largest distance that are a warning and a change.

        """
        super().__init__(warm_start=warm_start, alpha=alpha, beta=beta)

    def _start(self) -> None:
        self._n = 0
        self._errors = 0
        self._last = 0
        # Of the distances between errors: mean, sum of squared deviations.
        self._mean = self._squares = 0.0
        self._most = -1.0

    def _step(self, value: float) -> bool:
        self._n += 1
        if value != 1:
            return False
        self._errors += 1
        gap = self._n - self._last
        self._last = self._n
        before = self._mean
        self._mean += (gap - before) / self._errors
        self._squares += (gap - before) * (gap - self._mean)
        if self._n <= self.parameters["warm_start"]:
            return False
        variance = self._squares / (self._errors - 1) if self._errors > 1 else 0.0
        spread = self._mean + 2 * math.sqrt(variance)
        if spread > self._most:
            self._most = spread
            return False
        if self._errors <= self.parameters["warm_start"]:
            return False
        level = spread / self._most
        self.is_warned = level < self.parameters["alpha"]
        return level < float(self.parameters["beta"])


class HddmA(Stream):
    """Hoeffding's bound on the mean: errors have become more frequent than before.

    References
    ----------
    Frías-Blanco et al., IEEE TKDE 27 (2015) 810-823, section 3.

    """

    name = "hddm_a"
    _memory = ("_n", "_mean", "_low", "_high")

    def __init__(
        self,
        *,
        drift_confidence: float = 0.001,
        warning_confidence: float = 0.005,
        two_sided_test: bool = False,
    ) -> None:
        """Make a stream.

        Parameters
        ----------
        drift_confidence, warning_confidence : float
            Levels of the tests, in (0, 1).
        two_sided_test : bool
            Notice falling errors too.

        """
        super().__init__(
            drift_confidence=drift_confidence,
            warning_confidence=warning_confidence,
            two_sided_test=two_sided_test,
        )

    def _start(self) -> None:
        self._n = 0
        self._mean = 0.0
        # Rows and mean where the mean was lowest and highest, with its bound.
        self._low: list[float] | None = None
        self._high: list[float] | None = None

    def _step(self, value: float) -> bool:
        self._n += 1
        n = self._n
        self._mean += (value - self._mean) / n
        mean = self._mean
        here = [n, mean]
        bound = self._bound(n)
        if self._low is None or self._high is None:
            self._low = self._high = here
        if self._low[1] + self._bound(self._low[0]) >= mean + bound:
            self._low = here
        if self._high[1] - self._bound(self._high[0]) <= mean - bound:
            self._high = here
        rise = [mean - self._low[1], self._low[0]]
        fall = [self._high[1] - mean, self._high[0]]
        cuts = [rise, fall] if self.parameters["two_sided_test"] else [rise]
        self.is_warned = self._is_change(cuts, self.parameters["warning_confidence"])
        return self._is_change(cuts, self.parameters["drift_confidence"])

    def _bound(self, n: float) -> float:
        confidence = self.parameters["drift_confidence"]
        return math.sqrt(1.0 / (2 * n) * math.log(1.0 / confidence))

    def _is_change(self, cuts: list[list[float]], confidence: float) -> bool:
        n = self._n
        for gap, before in cuts:
            if before == n:
                continue
            weight = (n - before) / before * (1.0 / n)
            if gap >= math.sqrt(weight / 2 * math.log(2.0 / confidence)):
                return True
        return False


class HddmW(Stream):
    """McDiarmid's bound on a fading mean: as `HddmA`, for gradual changes.

    References
    ----------
    Frías-Blanco et al., IEEE TKDE 27 (2015) 810-823, section 4.

    """

    name = "hddm_w"
    _memory = ("_total", "_rise", "_fall")

    def __init__(
        self,
        *,
        drift_confidence: float = 0.001,
        warning_confidence: float = 0.005,
        lambda_val: float = 0.05,
        two_sided_test: bool = False,
    ) -> None:
        """Make a stream.

        Parameters
        ----------
        drift_confidence, warning_confidence : float
            Levels of the tests, in (0, 1).
        lambda_val : float
            Weight of the newest value, in (0, 1).
        two_sided_test : bool
            Notice falling errors too.

        """
        super().__init__(
            drift_confidence=drift_confidence,
            warning_confidence=warning_confidence,
            lambda_val=lambda_val,
            two_sided_test=two_sided_test,
        )

    def _start(self) -> None:
        # Each a fading mean and its bound condition; none before the first value.
        self._total: list[float] | None = None
        # Cut point, the mean before it, the mean since.
        self._rise: list[Any] = [None, None, None]
        self._fall: list[Any] = [None, None, None]

    def _step(self, value: float) -> bool:
        self._total = self._faded(self._total, value)
        mean, condition = self._total
        reach = self._bound(condition, self.parameters["drift_confidence"])
        for cut, end in ((self._rise, mean + reach), (self._fall, reach - mean)):
            if cut[0] is None or end < cut[0]:
                cut[:] = [end, self._total, None]
            else:
                cut[2] = self._faded(cut[2], value)
        self.is_warned = self._is_change(self.parameters["warning_confidence"])
        return self._is_change(self.parameters["drift_confidence"])

    def _faded(self, sample: list[float] | None, value: float) -> list[float]:
        weight = self.parameters["lambda_val"]
        condition = 1.0 if sample is None else sample[1]
        condition = weight * weight + (1 - weight) ** 2 * condition
        if sample is None:
            return [value, condition]
        return [weight * value + (1 - weight) * sample[0], condition]

    def _is_change(self, confidence: float) -> bool:
        sides = [(self._rise, 1.0)]
        if self.parameters["two_sided_test"]:
            sides.append((self._fall, -1.0))
        for (_, before, since), sign in sides:
            if before is None or since is None:
                continue
            bound = self._bound(before[1] + since[1], confidence)
            if sign * (since[0] - before[0]) > bound:
                return True
        return False

    @staticmethod
    def _bound(condition: float, confidence: float) -> float:
        return math.sqrt(condition * math.log(1 / confidence) / 2)


class PageHinkley(Stream):
    """Page-Hinkley test: the sum of deviations from the mean leaves its lowest point.

    References
    ----------
    Page, Biometrika 41 (1954) 100-115.

    """

    name = "page_hinkley"
    of_errors = False
    _memory = ("_n", "_mean", "_up", "_down", "_least", "_most")

    def __init__(
        self,
        *,
        min_instances: int = 30,
        delta: float = 0.005,
        threshold: float = 50.0,
        alpha: float = 1 - 0.0001,
        mode: str = "both",
        scale: float = 1.0,
    ) -> None:
        """Make a stream.

        Parameters
        ----------
        min_instances : int
            Values before the first verdict.
        delta : float
            Deviation that is no change, in units of `scale`.
        threshold : float
            Sum of deviations that is a change, in units of `scale`.
        alpha : float
            What is left of the sum with each value.
        mode : {"up", "down", "both"}
            Changes to look for.
        scale : float
            The baseline's standard deviation, so that `threshold` means the same in
            whatever unit the values are.

        """
        if not scale > 0:
            raise ValueError(f"scale {scale} isn't above 0")
        if mode not in {"up", "down", "both"}:
            raise ValueError(f'mode {mode!r} is none of "up", "down", "both"')
        super().__init__(
            min_instances=min_instances,
            delta=delta,
            threshold=threshold,
            alpha=alpha,
            mode=mode,
            scale=scale,
        )

    def _start(self) -> None:
        self._n = 0
        self._mean = self._up = self._down = 0.0
        self._least: float | None = None
        self._most = -1.0

    def _step(self, value: float) -> bool:
        known = self.parameters
        value /= known["scale"]
        self._n += 1
        self._mean += (value - self._mean) / self._n
        deviation = value - self._mean
        self._up = known["alpha"] * self._up + deviation - known["delta"]
        self._down = known["alpha"] * self._down + deviation + known["delta"]
        if self._least is None or self._up < self._least:
            self._least = self._up
        self._most = max(self._most, self._down)
        if self._n < known["min_instances"]:
            return False
        rise, fall = self._up - self._least, self._most - self._down
        found = {"up": rise, "down": fall, "both": max(rise, fall)}[known["mode"]]
        return found > float(known["threshold"])
