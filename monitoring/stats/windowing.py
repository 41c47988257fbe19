"""Streams that keep a window of values: ADWIN and KSWIN (see `streaming`)."""

from __future__ import annotations

import math
import random
import warnings
from functools import lru_cache
from operator import lt
from typing import Any

import numpy as np

from monitoring.stats.streaming import Stream


class Adwin(Stream):
    """Adaptive windowing: two parts of the window have different means.

    The window is kept as sums over 1, 2, 4, … values, a few of each size, so that a
    million values need a hundred sums.

    References
    ----------
    Bifet and Gavaldà, SDM 2007, section 3.2 (ADWIN2).

    """

    name = "adwin"
    of_errors = False
    _memory = ("_n", "_total", "_squares", "_sums")

    def __init__(
        self,
        *,
        delta: float = 0.002,
        clock: int = 32,
        max_buckets: int = 5,
        min_window_length: int = 5,
        grace_period: int = 10,
    ) -> None:
        """Make a stream.

        Parameters
        ----------
        delta : float
            Level of the test, in (0, 1).
        clock : int
            Values between two tests.
        max_buckets : int
            Sums of one size.
        min_window_length : int
            Values in the smaller part.
        grace_period : int
            Values before the first test.

        """
        super().__init__(
            delta=delta,
            clock=clock,
            max_buckets=max_buckets,
            min_window_length=min_window_length,
            grace_period=grace_period,
        )

    def _start(self) -> None:
        self._n = 0
        self._total = 0.0
        self._squares = 0.0  # sum of squared deviations from the mean
        # By size, the smallest first; of one size the oldest first.
        self._sums: list[list[float]] = [[]]

    def _step(self, value: float) -> bool:
        if self._n:
            gap = value - self._total / self._n
            self._squares += self._n * gap * gap / (self._n + 1)
        self._n += 1
        self._total += value
        self._insert(value)
        known = self.parameters
        if self._n % known["clock"] or self._n <= known["grace_period"]:
            return False
        return self._has_cut()

    def _insert(self, value: float) -> None:
        """Add a sum of one value; too many of one size become one of the next."""
        for size, sums in enumerate(self._sums):
            sums.append(value)
            if len(sums) <= self.parameters["max_buckets"]:
                return
            value = sums[0] + sums[1]
            del sums[:2]
            if size + 1 == len(self._sums):
                self._sums.append([value])
                return

    def _has_cut(self) -> bool:
        """Tell whether some cut parts the window into two of different means."""
        least = self.parameters["min_window_length"]
        variance = self._squares / self._n
        level = math.log(2 * math.log(self._n) / self.parameters["delta"])
        older, newer = 0, self._n
        older_total, newer_total = 0.0, self._total
        for size in range(len(self._sums) - 1, -1, -1):
            for total in self._sums[size]:
                older += 1 << size
                newer -= 1 << size
                older_total += total
                newer_total -= total
                if older < least or newer < least:
                    continue
                harmonic = 1 / (older - least + 1) + 1 / (newer - least + 1)
                reach = math.sqrt(2 * harmonic * variance * level)
                reach += 2 / 3 * level * harmonic
                if abs(older_total / older - newer_total / newer) > reach:
                    return True
        return False


class Kswin(Stream):
    """Kolmogorov-Smirnov windowing: the newest values against a draw of the others.

    References
    ----------
    Raab, Heusinger and Schleif, Neurocomputing 416 (2020) 340-351, section 4.

    """

    name = "kswin"
    of_errors = False
    _memory = ("_window", "_random_state")

    def __init__(
        self,
        *,
        alpha: float = 0.005,
        window_size: int = 100,
        stat_size: int = 30,
        seed: int = 0,
    ) -> None:
        """Make a stream.

        Parameters
        ----------
        alpha : float
            Level of the test, in (0, 1).
        window_size : int
            Values kept.
        stat_size : int
            The newest values, and as many drawn of the others.
        seed : int
            Of the draws.

        """
        if not 0 < stat_size <= window_size - stat_size:
            msg = f"stat_size {stat_size} is more than half of {window_size}"
            raise ValueError(msg)
        self._random = random.Random(seed)  # noqa: S311 - no secret
        super().__init__(
            alpha=alpha, window_size=window_size, stat_size=stat_size, seed=seed
        )

    @property
    def _random_state(self) -> list[Any]:
        version, numbers, _ = self._random.getstate()
        return [version, list(numbers)]

    @_random_state.setter
    def _random_state(self, state: list[Any]) -> None:
        self._random.setstate((state[0], tuple(state[1]), None))

    def _start(self) -> None:
        self._window: list[float] = []
        self._random.seed(self.parameters["seed"])

    def _step(self, value: float) -> bool:
        size, newest = self.parameters["window_size"], self.parameters["stat_size"]
        self._window.append(value)
        if len(self._window) < size:
            return False
        del self._window[:-size]
        chosen = self._random.sample(range(size - newest), newest)
        drawn = sorted([self._window[place] for place in chosen])
        recent = sorted(self._window[-newest:])
        # So many steps apart are the two where a value of one sample lies below that
        # many less of the other's.
        steps = _critical_gap(newest, self.parameters["alpha"]) - 1
        return any(map(lt, drawn[steps:], recent)) or any(
            map(lt, recent[steps:], drawn)
        )


@lru_cache(maxsize=32)
def _critical_gap(size: int, alpha: float) -> int:
    """Return from which count on two samples of one size differ significantly."""
    from scipy.stats import ks_2samp

    values = np.arange(float(size))
    for gap in range(size + 1):
        if gap <= 0.1 * size:
            continue  # river calls no smaller distance a change
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", RuntimeWarning)
            # Shifted by so many ranks, the distance is as many steps.
            test = ks_2samp(values, values + gap - 0.5)
        if test.pvalue <= alpha:
            return gap
    return size + 1
