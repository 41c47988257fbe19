"""``python -m tests.bench.profiles``: the live view from profiles, and the profiler.

The live view of 7 days, with the read, on 15 thinned numeric and 5 categorical columns:
its time is compared for 10,000 and for 10,000,000 predictions over the same hours. The
hours of the latter are real counts of sampled columns, a thousand times over.
"""

import datetime as dt
import io
import json
import sys
import time
from collections.abc import Callable

import numpy as np

from tests.bench import database

NUMERIC = [f"x{i}" for i in range(15)]
CATEGORICAL = [f"c{i}" for i in range(5)]
CATEGORIES = [f"category {i}" for i in range(8)]
HOURS = 7 * 24
FEW, MANY = 10_000, 10_000_000
STORED_ROWS = 200_000
WARM_UP_ROWS = 50_000  # a worker lives long: what is loaded once isn't measured
ROWS_PER_RECEIPT = 1_000
READ_LIMIT_MS = 50.0
GROWTH_LIMIT = 1.5
PROFILER_LIMIT = 150_000


def best(measure: Callable[[], object], times: int = 9) -> float:
    found = []
    for _ in range(times):
        start = time.perf_counter()
        measure()
        found.append(time.perf_counter() - start)
    return min(found)


def make_version(name: str):
    from monitoring.actions import baselines
    from tests.monitoring import traffic

    types = dict.fromkeys(NUMERIC, "float") | dict.fromkeys(CATEGORICAL, "categorical")
    version = traffic.make_watched(
        name=name, features=list(types), feature_types=types, task="binary"
    )
    rng = np.random.default_rng(0)
    baselines.create(
        version,
        features={n: rng.normal(size=10_000).tolist() for n in NUMERIC}
        | {n: rng.choice(CATEGORIES, 10_000).tolist() for n in CATEGORICAL},
        label="baseline",
        actor=None,
    )
    return version


def fill_hours(version, predictions: int) -> None:
    """Store the counts of so many predictions, spread over seven days."""
    from monitoring.actions import hours, standards
    from tests.monitoring.traffic import NOW

    gauge = standards.gauge(standards.wanted(version).baseline.pk)
    rng = np.random.default_rng(1)
    last = NOW.replace(minute=0)
    sampled = min(predictions // HOURS, 2_000)
    times = predictions // HOURS // sampled
    for hour in range(HOURS):
        table = sample(rng, sampled)
        counts = gauge.count(table, version.schema)
        counts.columns.ints[:] *= times
        counts.columns.sums[:] *= times
        start = last - dt.timedelta(hours=hour)
        added = rows_of(counts, sampled * times)
        hours.add(
            version, standards.wanted(version).baseline.pk, {start: gauge.pack(added)}
        )


def rows_of(counts, rows: int):
    from dataclasses import replace

    return replace(counts, rows=rows)


def sample(rng: np.random.Generator, size: int):
    import pyarrow as pa

    from monitoring.stats import rows

    columns = {"value": pa.array(rng.random(size))}
    for name in NUMERIC:
        columns[rows.FEATURE + name] = pa.array(rng.normal(size=size))
    for name in CATEGORICAL:
        codes = rng.integers(0, len(CATEGORIES), size)
        columns[rows.FEATURE + name] = rows.coded(codes, CATEGORIES)
    return pa.table(columns)


def live_view(version) -> Callable[[], object]:
    from governance.decision import Thresholds
    from monitoring.actions import analyses, hours, periods, standards

    baseline = standards.wanted(version).baseline
    gauge = standards.gauge(baseline.pk)
    policy = Thresholds()

    def measure() -> object:
        newest = periods.newest_hour(version, baseline.pk)
        assert newest is not None
        window = periods.window_of("stream", newest)
        merged = hours.merged(
            version, baseline.pk, window.start, window.end, recent=window.recent
        )
        return analyses.drift_of(version, gauge, merged.counts, policy).to_json()

    return measure


def store_rows(version, count: int) -> None:
    """Store predictions as ingestion does: COPY, a receipt for a thousand of them."""
    from django.db import connection

    from governance.identifiers import uuid7s
    from monitoring.models import Receipt
    from tests.monitoring import traffic

    rng = np.random.default_rng(2)
    numbers = rng.normal(size=(count, len(NUMERIC))).round(6).tolist()
    codes = rng.integers(0, len(CATEGORIES), (count, len(CATEGORICAL))).tolist()
    scores = rng.random(count).round(6).tolist()
    for first in range(0, count, ROWS_PER_RECEIPT):
        ids = uuid7s(ROWS_PER_RECEIPT)
        receipt = traffic.make_receipt(
            version, ids, [traffic.NOW], Receipt.Kind.PREDICTIONS
        )
        lines = io.StringIO()
        for place, key in enumerate(ids, first):
            features = dict(zip(NUMERIC, numbers[place], strict=True))
            for name, code in zip(CATEGORICAL, codes[place], strict=True):
                features[name] = CATEGORIES[code]
            score = scores[place]
            lines.write(
                f"{key}\t{version.organization_id}\t{version.model_id}\t{version.pk}\t"
                f"{receipt.pk}\t{traffic.NOW}\t{json.dumps(features)}\t{score}\t{score}\t"
                f"{{{1 - score},{score}}}\tAPPROVED\n"
            )
        lines.seek(0)
        with connection.cursor() as cursor:
            cursor.copy_expert(
                "COPY monitoring_prediction (id, organization_id, model_id, version_id,"
                ' receipt_id, "timestamp", features, prediction, prediction_value,'
                " probabilities, verdict) FROM STDIN",
                lines,
            )


def profile_all() -> int:
    from monitoring.actions import profiles

    done = 0
    while claimed := profiles.profile_pending():
        done += claimed
    return done


def profiler_rate(version) -> float:
    """Return how many stored rows a second become segments and counts."""
    store_rows(version, STORED_ROWS)
    start = time.perf_counter()
    profile_all()
    return STORED_ROWS / (time.perf_counter() - start)


def report(what: str, figure: float, limit: float, *, at_most: bool) -> bool:
    holds = figure <= limit if at_most else figure >= limit
    sign = "<=" if at_most else ">="
    print(f"  {what}: {figure:,.2f} ({sign} {limit:,g}) {'ok' if holds else 'MISSED'}")
    return holds


def main() -> int:
    with database.fresh():
        few, many = make_version("few"), make_version("many")
        fill_hours(few, FEW)
        fill_hours(many, MANY)
        views = live_view(few), live_view(many)
        for view in views:
            view()
        times = [best(view) * 1_000 for view in views]
        logged = make_version("logged")
        store_rows(logged, WARM_UP_ROWS)
        profile_all()
        rate = max(profiler_rate(logged) for _ in range(3))
        print(f"  live drift of 10,000 predictions: {times[0]:.1f} ms")
        holds = [
            report(
                "live drift of 10,000,000 predictions, ms",
                times[1],
                READ_LIMIT_MS,
                at_most=True,
            ),
            report(
                "its time over that for 10,000",
                times[1] / times[0],
                GROWTH_LIMIT,
                at_most=True,
            ),
            report("profiler, stored rows/s", rate, PROFILER_LIMIT, at_most=False),
        ]
    return 0 if all(holds) else 1


if __name__ == "__main__":
    sys.exit(main())
