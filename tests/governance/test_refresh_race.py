from concurrent.futures import ThreadPoolExecutor

from django.db import connection

from governance.actions import sessions
from governance.models import TokenSession
from tests import factories
from tests.governance.api import Api


def test_one_of_two_refreshes_at_once_wins_and_the_session_ends(cloned_db: str) -> None:
    alice = factories.make_alice()
    made = sessions.start(alice.user, alice.organization, actor=alice.actor)

    def attempt(_: int) -> int:
        try:
            return (
                Api()
                .post("/api/auth/refresh", {"refresh_token": made.refresh})
                .status_code
            )
        finally:
            connection.close()

    with ThreadPoolExecutor(2) as pool:
        assert sorted(pool.map(attempt, range(2))) == [200, 401]
    assert TokenSession.objects.get().revoked_at is not None
