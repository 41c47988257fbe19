"""How much each column weighs."""

import math
from collections.abc import Mapping


def normalised(importances: Mapping[str, float | None]) -> dict[str, float]:
    """Scale importances to the sum 1.

    All are equal if none is known. An unknown one among known ones counts as their
    mean, so that no column goes unwatched because nobody described it.
    """
    known = [value for value in importances.values() if value is not None]
    largest = max(known, default=0.0)
    if largest <= 0:
        return dict.fromkeys(importances, 1 / max(len(importances), 1))
    # Scaled by the largest first: neither huge nor tiny units lose anything.
    scaled = {
        name: None if value is None else value / largest
        for name, value in importances.items()
    }
    mean = math.fsum(value for value in scaled.values() if value is not None)
    mean /= len(known)
    whole = mean * len(scaled)
    return {
        name: (mean if value is None else value) / whole
        for name, value in scaled.items()
    }
