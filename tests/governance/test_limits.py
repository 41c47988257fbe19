from concurrent.futures import ThreadPoolExecutor

import pytest
from django.db import connection

from governance.actions import limits
from governance.exceptions import ThrottledError
from governance.models import RateLimit


@pytest.mark.django_db
def test_begins_anew_after_its_time() -> None:
    limits.hit("a", "b", limit=1, seconds=60)
    with pytest.raises(ThrottledError):
        limits.hit("a", "b", limit=1, seconds=60)
    limits.hit("a", "c", limit=1, seconds=60)
    limits.hit("b", "b", limit=1, seconds=60)
    assert limits.purge() == 0
    connection.cursor().execute(
        "UPDATE governance_ratelimit SET ends_at = now() - interval '1 second'"
    )
    limits.hit("a", "b", limit=1, seconds=60)
    assert limits.purge() == RateLimit.objects.count() + 1 == 2


def test_a_limit_counts_over_all_processes(cloned_db: str) -> None:
    def attempt(_: int) -> bool:
        try:
            limits.hit("a", "b", limit=10, seconds=60)
        except ThrottledError:
            return False
        finally:
            connection.close()
        return True

    with ThreadPoolExecutor(16) as pool:
        assert sum(pool.map(attempt, range(48))) == 10
