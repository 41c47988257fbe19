"""A limit on attempts that holds over all processes: one statement, one row."""

from __future__ import annotations

import hashlib

from django.db import connection

from governance.exceptions import ThrottledError
from governance.models import RateLimit

HIT = """
    INSERT INTO governance_ratelimit AS one (key, hits, ends_at)
    VALUES (%(key)s, 1, clock_timestamp() + %(seconds)s * interval '1 second')
    ON CONFLICT (key) DO UPDATE SET
        hits = CASE WHEN one.ends_at <= clock_timestamp() THEN 1 ELSE one.hits + 1 END,
        ends_at = CASE WHEN one.ends_at <= clock_timestamp()
            THEN EXCLUDED.ends_at ELSE one.ends_at END
    RETURNING hits, ceil(extract(epoch FROM ends_at - clock_timestamp()))::int
"""


def hit(kind: str, who: str, *, limit: int, seconds: int) -> int:
    """Count one attempt, and return the count; ThrottledError from `limit` + 1 on.

    Call it outside a transaction: the count must stay, whatever comes of the attempt.
    """
    key = hashlib.sha256(f"{kind}\0{who}".encode()).hexdigest()
    with connection.cursor() as cursor:
        cursor.execute(HIT, {"key": key, "seconds": seconds})
        hits, seconds_left = cursor.fetchone()
    if hits > limit:
        raise ThrottledError(
            f"Too many attempts; try again in {seconds_left} seconds.",
            retry_after=seconds_left,
        )
    return int(hits)


def purge() -> int:
    """Delete the windows that have passed; return how many."""
    deleted, _ = RateLimit.objects.over().delete()
    return deleted
