"""C4 on the real processes: a PostgreSQL that froze keeps nobody waiting.

SIGSTOP leaves every connection open and answers on none. Meanwhile clients go on with
whatever there is: single rows, batches, outcomes, lists, logins and pages.
"""

import contextlib
import logging
import signal
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import httpx
import psutil
import pytest

from tests.fragile import postgres, query, register, wait_until
from tests.running_server import RunningServer
from tests.senders import BatchSender, Sender, SingleSender, features

pytestmark = pytest.mark.server
logger = logging.getLogger(__name__)
PASSPHRASE = "a long enough passphrase"
# So many of each kind at once: more than one web process has threads for.
CLIENTS = 8
BATCH = [{"input_features": features(n), "prediction": n % 2} for n in range(1_000)]


@dataclass
class Answer:
    kind: str
    started: float
    seconds: float
    status: int


@dataclass(eq=False)
class Client(threading.Thread):
    """Sends one kind of request again and again, and notes every answer."""

    kind: str
    url: str
    call: Callable[[httpx.Client], httpx.Response]
    enough: threading.Event
    answers: list[Answer] = field(default_factory=list)
    error: BaseException | None = None

    def __post_init__(self) -> None:
        super().__init__(name=self.kind)

    def run(self) -> None:
        # Longer than anybody is meant to wait, shorter than for ever.
        with httpx.Client(base_url=self.url, timeout=60, trust_env=False) as client:
            try:
                while not self.enough.is_set():
                    # A web process that is killed leaves its clients without an answer.
                    with contextlib.suppress(httpx.NetworkError, httpx.ProtocolError):
                        self.note(client)
                    # Refusals come fast; the machine has to do other things as well.
                    time.sleep(0.05)
            except BaseException as error:  # noqa: BLE001 - the test's thread raises it
                self.error = error

    def note(self, client: httpx.Client) -> None:
        started = time.monotonic()
        status = self.call(client).status_code
        taken = time.monotonic() - started
        self.answers.append(Answer(self.kind, started, taken, status))

    def since(self, moment: float) -> list[Answer]:
        """Return the answers that came after a moment, asked for before it or not."""
        return [one for one in list(self.answers) if one.started + one.seconds > moment]


@pytest.fixture(scope="module")
def fragile(start_server: Callable[..., RunningServer]) -> RunningServer:
    return start_server()


@pytest.fixture(scope="module")
def registered(fragile: RunningServer) -> tuple[str, str]:
    person = {"email": "ada@example.com", "password": PASSPHRASE, "name": "Ada"}
    httpx.post(f"{fragile.url}/api/auth/register", json=person).raise_for_status()
    return register(fragile)


def calls(key: str, model: str) -> dict[str, Callable[[httpx.Client], httpx.Response]]:
    headers = {"Authorization": f"Bearer {key}"}
    one = {"model_id": model, "input_features": features(1), "prediction": 1}
    outcomes = [{"entityId": f"nobody {n}", "actualOutcome": "1"} for n in range(50)]
    login = {"username": "ada@example.com", "password": PASSPHRASE}
    cookie = {"Cookie": "sessionid=" + "a" * 32, "Accept": "text/html"}

    def post(path: str, body: object) -> Callable[[httpx.Client], httpx.Response]:
        return lambda client: client.post(path, json=body, headers=headers)

    return {
        "single": post("/api/logs/prediction", one),
        "batch": post(
            "/api/logs/prediction/batch", {"model_id": model, "predictions": BATCH}
        ),
        "outcomes": post(
            "/api/v1/drift/ground-truth/batch", {"modelId": model, "records": outcomes}
        ),
        "list": lambda client: client.get("/api/models", headers=headers),
        "drift": lambda client: client.get(
            f"/api/models/{model}/drift", headers=headers
        ),
        "login": lambda client: client.post("/api/auth/login", json=login),
        "page": lambda client: client.get("/admin/login/", headers=cookie),
    }


@contextmanager
def clients(
    server: RunningServer, registered: tuple[str, str]
) -> Iterator[tuple[list[Client], list[Sender]]]:
    """Keep every kind of client at work, and those that count what they store."""
    key, model = registered
    enough = threading.Event()
    busy = [
        Client(kind, server.url, call, enough)
        for kind, call in calls(key, model).items()
        for _ in range(1 if kind == "login" else CLIENTS)
    ]
    stamp = time.monotonic_ns()
    senders: list[Sender] = [
        BatchSender(server.url, key, model, f"batch{stamp}", enough),
        SingleSender(server.url, key, model, f"single{stamp}", enough),
    ]
    for thread in (*busy, *senders):
        thread.start()
    try:
        wait_until(
            lambda: all(one.answers for one in busy), "everybody has had an answer"
        )
        yield busy, senders
    finally:
        enough.set()
        for thread in (*busy, *senders):
            thread.join()
    for one in (*busy, *senders):
        if one.error is not None:
            raise one.error


@contextmanager
def frozen(processes: list[psutil.Process]) -> Iterator[float]:
    """Stop the processes where they stand; yields since when."""
    for process in processes:
        process.send_signal(signal.SIGSTOP)
    try:
        yield time.monotonic()
    finally:
        for process in processes:
            process.send_signal(signal.SIGCONT)


def told(what: str, answers: list[Answer]) -> float:
    """Log how long answers took, and return the longest."""
    longest = {
        kind: max(one.seconds for one in answers if one.kind == kind)
        for kind in sorted({one.kind for one in answers})
    }
    shown = ", ".join(f"{kind} {seconds:.2f}" for kind, seconds in longest.items())
    logger.info("%s: %s s", what, shown)
    return max(longest.values())


def wait_for_answers(busy: list[Client], since: float, what: str) -> float:
    """Wait until everybody has been answered some requests made after a moment."""
    wait_until(
        lambda: all(
            sum(one.started > since for one in list(client.answers)) >= 3
            for client in busy
        ),
        what,
    )
    return time.monotonic()


def wait_for_service(busy: list[Client], since: float) -> float:
    """Wait until everybody is served again; return how long the slowest waited."""

    def served(client: Client) -> list[float]:
        return [
            one.started + one.seconds for one in client.since(since) if one.status < 300
        ]

    wait_until(lambda: all(map(served, busy)), "everybody is served again")
    return max(min(served(client)) for client in busy) - since


def stored_as_acknowledged(server: RunningServer, senders: list[Sender]) -> bool:
    stored = query(
        server,
        "SELECT entity_id FROM monitoring_prediction WHERE entity_id IS NOT NULL",
    )
    sent = Counter(one.entity(number) for one in senders for number in one.numbers)
    return Counter(str(entity) for (entity,) in stored) == sent


def test_a_database_that_freezes_keeps_nobody_waiting_and_loses_nothing(
    fragile: RunningServer, registered: tuple[str, str]
) -> None:
    with clients(fragile, registered) as (busy, senders):
        with frozen(postgres(fragile)) as since:
            wait_until(lambda: all(one.since(since) for one in busy), "all are refused")
            known = wait_for_answers(busy, since, "and refused")
            over = wait_for_answers(busy, known, "and refused again")
            answers = [one for client in busy for one in client.since(since)]
        back = wait_for_service(busy, over)
    first = [min(client.since(since), key=lambda one: one.started) for client in busy]
    later = [one for one in answers if one.started > known]
    slow, quick = told("the first answers", first), told("once known", later)
    logger.info("served again after %.2f s", back)
    # The fault hit: whoever asked while it was frozen was refused.
    during = [one for one in answers if one.started > since]
    assert {one.status for one in during} == {503}
    assert {one.kind for one in during} == {client.kind for client in busy}
    # Only the first had to wait for the news.
    assert quick < slow
    assert sum(one.api.retries for one in senders) >= len(senders)
    assert stored_as_acknowledged(fragile, senders)


def test_a_postmaster_that_freezes_alone_keeps_nobody_waiting_either(
    fragile: RunningServer, registered: tuple[str, str]
) -> None:
    [main, *_] = postgres(fragile)
    [web, *_] = fragile.find("granian --interface=wsgi")
    with clients(fragile, registered) as (busy, _):
        with frozen([main]) as since:
            # Processes that come now have no connection yet, and get none.
            for process in web.children():
                process.kill()
            known = wait_for_answers(busy, since, "all have an answer")
            over = wait_for_answers(busy, known, "and another one")
            answers = [one for client in busy for one in client.since(since)]
        back = wait_for_service(busy, over)
    told("all answers", [one for one in answers if one.started > since])
    logger.info("served again after %.2f s", back)
    refused = {one.kind for one in answers if one.status == 503}
    assert refused == {client.kind for client in busy}
