"""Several processes at the queue of analyses at once."""

import threading
from typing import Any

from django.db import connection

from governance.models import ModelVersion
from monitoring.actions import baselines
from monitoring.models import AnalysisRun
from tests.monitoring import traffic
from tests.monitoring.test_analysis_runs import request
from tests.monitoring.traffic import NOW


def test_two_schedulers_at_once_make_one_run(cloned_db: str) -> None:
    version = traffic.make_watched(features=["x"], feature_types={"x": "float"})
    baselines.create(version, features={"x": [1.0]}, label="v1", actor=None)
    start = threading.Barrier(4)
    found: list[Any] = []

    def schedule() -> None:
        start.wait()
        mine = ModelVersion.objects.select_related("model").get(pk=version.pk)
        found.append(request(mine, slot=NOW, trigger="schedule").pk)
        connection.close()

    threads = [threading.Thread(target=schedule) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 4
    assert len(set(found)) == AnalysisRun.objects.count() == 1
