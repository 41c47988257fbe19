"""What the counts of a thinned grid leave open, decided by the rows of the segments."""

from __future__ import annotations

from collections.abc import Collection, Mapping

import numpy as np
from numpy.typing import NDArray

from governance.models import ModelVersion
from monitoring.actions import bulk, segments
from monitoring.actions.periods import Window
from monitoring.models import Baseline
from monitoring.stats import rows
from monitoring.stats.columns import Kind
from monitoring.stats.pairs import Pair
from monitoring.stats.samples import numbers_of

# The KS distance of a feature, and of how many values it is.
Distances = Mapping[str, tuple[float, int]]

_SEGMENTS = (
    "SELECT data FROM monitoring_segment WHERE version_id = %s AND hour >= %s "
    "AND hour < %s"
)


def distances(
    version: ModelVersion, baseline: Baseline, window: Window, names: Collection[str]
) -> Distances:
    """Return the exact KS distance of some features, and of how many values it is.

    Reads the window's segments one after the other; only the columns asked for are
    kept. That a distance lies within 1/2048 of a threshold is rare enough for that.
    """
    kinds: dict[str, Kind] = dict.fromkeys(names, "numeric")
    pieces: dict[str, list[NDArray[np.float64]]] = {name: [] for name in names}
    suspended = segments.quarantined(version, window.start, window.end)

    def take(row: list[memoryview | None]) -> None:
        table = segments.without(rows.decode(row[0] or b""), suspended)
        for name, values in rows.columns_for(table, kinds)[0].items():
            pieces[name].append(np.array(values, np.float64))

    bulk.each(_SEGMENTS, (version.pk, window.start, window.end), take)
    stored = Baseline.objects.only("features").get(pk=baseline.pk)
    reference = rows.decode(bytes(stored.features))
    found = {}
    for name, parts in pieces.items():
        values = np.concatenate(parts) if parts else np.zeros(0)
        values = values[np.isfinite(values)]
        if len(values):
            before = numbers_of(rows.one_array(reference[name]))
            pair = Pair.of(before[np.isfinite(before)], values)
            found[name] = pair.largest_gap, len(values)
    return found
