"""``python -m tests.bench.segments``: reading rows for an analysis, in ratios.

Half of the rows were logged singly: a receipt for each, counted a few at a time, so
that their segments had to be merged.
"""

import datetime as dt
import io
import json
import sys
import time
from typing import Any

import numpy as np

from tests.bench import database
from tests.bench.profiles import CATEGORICAL, NUMERIC, make_version, store_rows

BULK_ROWS = 60_000
SINGLE_ROWS = 60_000
SINGLES_PER_POLL = 1_000
ORM_ROWS = 5_000
RATE_LIMIT = 1_000_000
RATIO_LIMIT = 15


def store_singles(version: Any, count: int) -> None:
    """Store predictions each with a receipt of its own, as single requests do."""
    from django.db import connection

    from governance.identifiers import uuid7s
    from monitoring.actions import profiles
    from monitoring.models import Receipt
    from tests.monitoring import traffic

    rng = np.random.default_rng(3)
    for _ in range(0, count, SINGLES_PER_POLL):
        keys, receipts = uuid7s(SINGLES_PER_POLL), uuid7s(SINGLES_PER_POLL)
        Receipt.objects.bulk_create(
            Receipt(
                id=receipt,
                organization_id=version.organization_id,
                model_id=version.model_id,
                version=version,
                kind=Receipt.Kind.PREDICTIONS,
                channel=Receipt.Channel.HTTP,
                rows=1,
                first_id=key,
                last_id=key,
                first_event=traffic.NOW,
                last_event=traffic.NOW,
                digest=bytes(32),
                merkle_root=bytes(32),
            )
            for key, receipt in zip(keys, receipts, strict=True)
        )
        lines = io.StringIO()
        numbers = rng.normal(size=(SINGLES_PER_POLL, len(NUMERIC))).round(6).tolist()
        for key, receipt, row in zip(keys, receipts, numbers, strict=True):
            features = dict(zip(NUMERIC, row, strict=True))
            features |= dict.fromkeys(CATEGORICAL, "category 1")
            lines.write(
                f"{key}\t{version.organization_id}\t{version.model_id}\t{version.pk}\t"
                f"{receipt}\t{traffic.NOW}\t{json.dumps(features)}\t0.5\t0.5\t"
                "{0.5,0.5}\tAPPROVED\n"
            )
        lines.seek(0)
        with connection.cursor() as cursor:
            cursor.copy_expert(
                "COPY monitoring_prediction (id, organization_id, model_id, version_id,"
                ' receipt_id, "timestamp", features, prediction, prediction_value,'
                " probabilities, verdict) FROM STDIN",
                lines,
            )
        while profiles.profile_pending():
            pass


def through_segments(version: Any) -> dict[str, Any]:
    """Read a window as an analysis does: one array for each column."""
    from monitoring.actions import segments
    from monitoring.stats import rows
    from tests.monitoring.traffic import HOUR, NOW

    table = segments.read(version, NOW - 24 * HOUR, NOW + HOUR)
    assert table is not None
    kinds = dict.fromkeys(NUMERIC, "numeric") | dict.fromkeys(
        CATEGORICAL, "categorical"
    )
    columns, _ = rows.columns_for(table, kinds)
    return columns


def through_orm(version: Any) -> dict[str, Any]:
    from monitoring.models import Prediction

    rows = [
        one.decoded_features
        for one in Prediction.objects.filter(version_id=version.pk).order_by("id")[
            :ORM_ROWS
        ]
    ]
    return {
        name: np.array([row[name] for row in rows]) for name in NUMERIC + CATEGORICAL
    }


def seconds(work: Any, version: Any, times: int) -> float:
    found = []
    for _ in range(times):
        start = time.perf_counter()
        work(version)
        found.append(time.perf_counter() - start)
    return min(found)


def main() -> int:
    with database.fresh():
        from django.utils import timezone

        from monitoring.actions import profiles, segments
        from monitoring.models import Segment

        version = make_version("read")
        store_rows(version, BULK_ROWS)
        while profiles.profile_pending():
            pass
        store_singles(version, SINGLE_ROWS)
        Segment.objects.update(created_at=timezone.now() - dt.timedelta(hours=1))
        segments.compact()
        total = sum(Segment.objects.values_list("rows", flat=True))
        pieces = Segment.objects.count()
        assert total == BULK_ROWS + SINGLE_ROWS
        rate = total / seconds(through_segments, version, 5)
        orm_rate = ORM_ROWS / seconds(through_orm, version, 3)
        print(f"  {total:,} rows x 20 features in {pieces} segments")
        print(f"  the ORM reads {orm_rate:,.0f} rows/s")
        ratio = rate / orm_rate
        fast, better = rate >= RATE_LIMIT, ratio >= RATIO_LIMIT
        words = {True: "ok", False: "MISSED"}
        print(f"  segments, rows/s: {rate:,.0f} (>= {RATE_LIMIT:,}) {words[fast]}")
        print(f"  over the ORM: {ratio:.1f} (>= {RATIO_LIMIT}) {words[better]}")
    return 0 if fast and better else 1


if __name__ == "__main__":
    sys.exit(main())
