"""A real browser on a real server, over a database that really commits."""

import os
import shutil
from collections.abc import Iterator
from dataclasses import dataclass, field

import pytest
from django.contrib.staticfiles.handlers import StaticFilesHandler
from django.core.handlers.wsgi import WSGIHandler
from django.db import connections
from django.test.testcases import LiveServerThread
from playwright.sync_api import Browser, ConsoleMessage, Page, Request, sync_playwright

from tests.factories import PASSWORD, Person


# Not longer: what Playwright needs would deceive the tests that come after.
@pytest.fixture(scope="package")
def chromium() -> Iterator[Browser]:
    names = ("chromium", "chromium-browser", "google-chrome")
    path = next(filter(None, map(shutil.which, names)))
    # Playwright keeps an event loop in this thread, which Django takes for a sign
    # of asynchronous code that must not query.
    before = os.environ.get("DJANGO_ALLOW_ASYNC_UNSAFE")
    os.environ["DJANGO_ALLOW_ASYNC_UNSAFE"] = "true"
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=path, args=["--no-sandbox", "--disable-dev-shm-usage"]
        )
        yield browser
        browser.close()
    os.environ.pop("DJANGO_ALLOW_ASYNC_UNSAFE")
    if before is not None:
        os.environ["DJANGO_ALLOW_ASYNC_UNSAFE"] = before


@pytest.fixture
def site(cloned_db: str) -> Iterator[str]:
    """Serve the pages from a thread; yields their address."""

    class Static(StaticFilesHandler):
        def get_base_url(self) -> str:
            return "/static/"

    class Application(LiveServerThread):
        def run(self) -> None:
            connections["default"].inc_thread_sharing()
            try:
                super().run()
            finally:
                connections["default"].dec_thread_sharing()

    thread = Application("127.0.0.1", lambda _: Static(WSGIHandler()))
    thread.daemon = True
    thread.start()
    thread.is_ready.wait()
    if thread.error:
        raise thread.error
    yield f"http://127.0.0.1:{thread.port}"
    thread.terminate()


@dataclass
class Visitor:
    """A person in front of a browser, and all that went wrong there."""

    page: Page
    site: str
    faults: list[str] = field(default_factory=list)

    def watch(self) -> None:
        self.page.on("console", self._hear)
        self.page.on("pageerror", lambda error: self.faults.append(str(error)))
        self.page.on("requestfailed", self._miss)
        self.page.on("request", self._see)

    def _hear(self, message: ConsoleMessage) -> None:
        # Violations of the content security policy are errors on the console.
        if message.type in {"error", "warning"}:
            self.faults.append(message.text)

    def _miss(self, request: Request) -> None:
        # Who leaves a page gives up what it was still loading.
        if request.failure != "net::ERR_ABORTED":
            self._note("failed", request)

    def _see(self, request: Request) -> None:
        if not request.url.startswith((self.site, "data:", f"blob:{self.site}")):
            self._note("outside", request)

    def _note(self, what: str, request: Request) -> None:
        self.faults.append(f"{what}: {request.url}")

    def open(self, path: str) -> None:
        answer = self.page.goto(self.site + path)
        assert answer is not None
        assert answer.ok, f"{answer.status} for {path}"

    def log_in(self, person: Person) -> None:
        self.open("/admin/login/")
        self.page.get_by_label("E-mail").fill(person.user.email)
        self.page.get_by_label("Password").fill(PASSWORD)
        self.page.get_by_role("button", name="Log in").click()
        self.page.wait_for_url(f"{self.site}/admin/")

    def overflow(self) -> int:
        """Return by how many pixels the page is wider than the window."""
        width: int = self.page.evaluate(
            "document.documentElement.scrollWidth"
            " - document.documentElement.clientWidth"
        )
        return width


@pytest.fixture
def visitor(chromium: Browser, site: str) -> Iterator[Visitor]:
    context = chromium.new_context(viewport={"width": 1400, "height": 900})
    someone = Visitor(context.new_page(), site)
    someone.watch()
    yield someone
    context.close()
