"""Alarms with hysteresis: raised at once, cleared only once it is quiet for a while.

A score that hovers around its limit raises one alarm: to clear it, every score of the
cause has to stay below 0.8 of its warning threshold in two results that count.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

from monitoring.alerting.signals import Level, Signal

QUIET_RESULTS = 2
Event = Literal["raised", "worsened", "cleared"]


@dataclass(frozen=True, slots=True)
class State:
    """Where an alarm stands."""

    is_raised: bool = False
    level: Level = Level.NONE  # the worst since it was raised
    quiet_results: int = 0  # in a row


def step(
    state: State, signal: Signal, *, counts: bool = True
) -> tuple[State, Event | None]:
    """Return where an alarm stands after a result, and what happened.

    Parameters
    ----------
    state : State
        Before.
    signal : Signal
        What the result says.
    counts : bool
        Whether the result is one of its own. A live view is measured every few seconds;
        that mustn't make two results of one.

    Examples
    --------
    >>> def seen(score, level):
    ...     return Signal("drift:x", level, score < 0.08, Level.ALERT, "", {})
    >>> state, event = step(State(), seen(0.3, Level.ALERT))
    >>> event
    'raised'
    >>> state, event = step(state, seen(0.05, Level.NONE))
    >>> state.quiet_results, event
    (1, None)
    >>> step(state, seen(0.05, Level.NONE))[1]
    'cleared'

    """
    if not state.is_raised:
        if signal.level < signal.opens_at:
            return State(), None
        return State(True, signal.level), "raised"
    if not signal.is_quiet:
        is_worse = signal.level > state.level
        return (
            State(True, max(state.level, signal.level)),
            "worsened" if is_worse else None,
        )
    if not counts:
        return state, None
    quiet = state.quiet_results + 1
    if quiet >= QUIET_RESULTS:
        return State(), "cleared"
    return replace(state, quiet_results=quiet), None
