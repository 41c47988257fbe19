"""Artifacts in their processes: killed when they hang, and started again."""

import hashlib
import os
import signal
import socket
import threading
from collections.abc import Iterator
from typing import Any

import psutil
import pytest

from monitoring.inference import running
from monitoring.inference.running import BusyError, Limits, LostError, UnsoundError
from tests import artifacts
from tests.monitoring.inference.test_soundness import SCHEMA

UNTASKED = {**SCHEMA, "task": None, "classes": None}
LIMITS = Limits(seconds=5.0)
ROW = {"age": [70], "income": [10.0]}
HANGS = {"age": [6_000.0], "income": [0.0]}


@pytest.fixture
def pool() -> Iterator[running.Pool]:
    made = running.Pool()
    yield made
    made.end()


def made_of(content: bytes, schema: dict[str, Any] = UNTASKED) -> running.Artifact:
    signature = running.check(content, schema, LIMITS)
    digest = hashlib.sha256(content).hexdigest()
    return running.Artifact(digest, signature, lambda: content)


def test_it_predicts_as_the_artifact_says(pool: running.Pool) -> None:
    columns = {"age": [70, 20], "income": [10.0, 10.0]}
    said = pool.predict(made_of(artifacts.classifier()), columns, LIMITS)
    assert said["label"] == [1, 0]
    # A logistic regression of 0.1 * 70 - 5, each class with its own sign.
    assert said["probabilities"][0] == pytest.approx([0.01799, 0.98201], abs=1e-4)
    said = pool.predict(made_of(artifacts.regressor()), columns, LIMITS)
    assert said["value"] == [150.0, 50.0]


def test_one_that_hangs_is_killed_and_started_again(pool: running.Pool) -> None:
    artifact = made_of(artifacts.slow())
    pool.predict(artifact, ROW, LIMITS)
    before = pool.process_of(artifact.digest)
    with pytest.raises(LostError):
        pool.predict(artifact, HANGS, Limits(seconds=0.3))
    assert before is not None
    assert not psutil.pid_exists(before)
    assert pool.predict(artifact, ROW, LIMITS)["value"] == [0.0]
    assert pool.process_of(artifact.digest) != before


def test_one_that_is_killed_is_started_again(pool: running.Pool) -> None:
    artifact = made_of(artifacts.regressor())
    pool.predict(artifact, ROW, LIMITS)
    number = pool.process_of(artifact.digest)
    assert number is not None
    os.kill(number, signal.SIGKILL)
    psutil.Process(number).wait()
    assert pool.predict(artifact, ROW, LIMITS)["value"] == [150.0]


def test_one_that_takes_too_much_memory_says_so(pool: running.Pool) -> None:
    artifact = made_of(artifacts.slow())
    huge = {"age": [60_000.0], "income": [0.0]}
    with pytest.raises(UnsoundError, match="more memory than is allowed"):
        pool.predict(artifact, huge, LIMITS)
    assert pool.predict(artifact, ROW, LIMITS)["value"] == [0.0]


def test_its_process_has_nothing_of_ours(
    pool: running.Pool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SECRET_KEY", "very secret")
    artifact = made_of(artifacts.regressor())
    pool.predict(artifact, ROW, LIMITS)
    process = psutil.Process(pool.process_of(artifact.digest))
    assert "SECRET_KEY" not in process.environ()
    # Not even the directory that it stands in is there any more.
    assert "deleted" in os.readlink(f"/proc/{process.pid}/cwd")
    assert not process.open_files()


def test_its_libraries_call_nobody(pool: running.Pool) -> None:
    artifact = made_of(artifacts.regressor())
    pool.predict(artifact, ROW, LIMITS)
    process = psutil.Process(pool.process_of(artifact.digest))
    # The telemetry of onnxruntime has threads and sockets of its own.
    assert process.environ()["ORT_DISABLE_TELEMETRY"] == "1"
    assert process.num_threads() == 1
    assert {one.family for one in process.net_connections("all")} == {socket.AF_UNIX}


def test_it_ends_with_whoever_asked(pool: running.Pool) -> None:
    artifact = made_of(artifacts.regressor())
    pool.predict(artifact, ROW, LIMITS)
    process = psutil.Process(pool.process_of(artifact.digest))
    pool._processes[artifact.digest]._link.close()  # type: ignore[union-attr]
    process.wait(timeout=30)
    assert not process.is_running()


def test_the_least_recently_asked_gives_way(pool: running.Pool) -> None:
    few = Limits(seconds=5.0, processes=2)
    made = [made_of(artifacts.regressor([weight, 1.0])) for weight in (1.0, 2.0, 3.0)]
    for artifact in (made[0], made[1], made[0], made[2]):
        pool.predict(artifact, ROW, few)
    assert pool.process_of(made[0].digest) is not None
    assert pool.process_of(made[1].digest) is None
    assert pool.process_of(made[2].digest) is not None


def test_others_wait_for_their_turn_for_so_long_only(pool: running.Pool) -> None:
    artifact = made_of(artifacts.slow())
    pool.predict(artifact, ROW, LIMITS)
    outcome: list[BaseException] = []

    def hang() -> None:
        try:
            pool.predict(artifact, HANGS, Limits(seconds=1.0))
        except LostError as error:
            outcome.append(error)

    thread = threading.Thread(target=hang)
    thread.start()
    while not pool._processes[artifact.digest].lock.locked():
        pass
    with pytest.raises(BusyError):
        pool.predict(artifact, ROW, Limits(seconds=0.2))
    thread.join()
    assert len(outcome) == 1


def test_other_bytes_than_those_checked_do_not_run(pool: running.Pool) -> None:
    good = made_of(artifacts.regressor())
    swapped = running.Artifact(
        good.digest, good.signature, lambda: artifacts.regressor([9.0, 9.0])
    )
    with pytest.raises(UnsoundError, match="aren't those that were checked"):
        pool.predict(swapped, ROW, LIMITS)


def test_one_that_cannot_run_is_refused_when_it_is_checked() -> None:
    made = artifacts.changed(artifacts.classifier())
    # Too few coefficients for two features.
    [coefficients] = [
        one for one in made.graph.node[0].attribute if one.name == "coefficients"
    ]
    del coefficients.floats[1:]
    with pytest.raises(UnsoundError, match=r"failed|loaded"):
        running.check(made.SerializeToString(), SCHEMA, LIMITS)


def test_what_are_no_probabilities_are_refused() -> None:
    made = artifacts.changed(artifacts.classifier())
    for attribute in made.graph.node[0].attribute:
        if attribute.name == "post_transform":
            attribute.s = b"NONE"
    with pytest.raises(UnsoundError, match="probabilities are none"):
        running.check(made.SerializeToString(), SCHEMA, LIMITS)
