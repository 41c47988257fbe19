"""How firmly a rule holds."""

from enum import StrEnum


class Level(StrEnum):
    """How firmly a rule holds at the gate."""

    ADVISORY = "advisory"  # is shown, changes nothing
    SOFT = "soft"  # an active override may pass it
    HARD = "hard"  # only another policy version changes it
