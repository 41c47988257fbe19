"""Several workers that measure the same version at once."""

import threading
from typing import Any

from django.db import connection

from governance.models import ModelVersion, RiskScore
from monitoring.actions import analyses
from monitoring.models import LiveResult
from tests.monitoring import traffic
from tests.monitoring.test_refresh import give_baseline, make_version, rows


def test_two_refreshes_at_once_are_one(cloned_db: str) -> None:
    version = make_version()
    give_baseline(version)
    traffic.log(version, rows(200))
    traffic.count_all()
    together = threading.Barrier(4)
    found: list[Any] = []

    def work() -> None:
        try:
            together.wait()
            found.append(analyses.refresh(ModelVersion.objects.get(pk=version.pk)))
        except BaseException as error:  # noqa: BLE001 (the main thread raises it)
            found.append(error)
        finally:
            connection.close()

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not [one for one in found if isinstance(one, BaseException)]
    assert any(one is not None for one in found)
    assert LiveResult.objects.get(version=version).predictions == 200
    assert RiskScore.objects.filter(version=version).count() == 1
