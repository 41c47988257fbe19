"""Takes the pictures of the documentation from the pages of a running demo.

``python docs/screenshots.py [ADDRESS] [DATA_DIRECTORY]`` while `make demo` is up.
"""

import json
import shutil
import sys
from pathlib import Path

from playwright.sync_api import Page, sync_playwright

IMAGES = Path(__file__).parent / "images"
ROOT = Path(__file__).parent.parent
OFFICER = "officer@demo-bank.example"
WIDTH, HEIGHT = 1400, 900


def sign_in(page: Page, address: str, password: str) -> None:
    page.goto(f"{address}/admin/login/")
    page.fill("input[name=username]", OFFICER)
    page.fill("input[name=password]", password)
    page.click("button[type=submit]")
    page.wait_for_url(f"{address}/admin/")


def picture(page: Page, name: str) -> None:
    page.wait_for_load_state("networkidle")
    page.screenshot(path=IMAGES / f"{name}.png")


def take_all(address: str, directory: Path) -> None:
    notes = json.loads((directory / "demo" / "notebook.json").read_text())
    IMAGES.mkdir(exist_ok=True)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=shutil.which("chromium"), args=["--no-sandbox"]
        )
        page = browser.new_page(viewport={"width": WIDTH, "height": HEIGHT})
        sign_in(page, address, notes["password"])
        picture(page, "command-center")
        page.goto(f"{address}/admin/governance/registeredmodel/")
        page.click("#result_list tbody tr th a")
        picture(page, "model")
        browser.close()


if __name__ == "__main__":
    given = sys.argv[1:]
    take_all(
        given[0] if given else "http://127.0.0.1:8000",
        Path(given[1]) if len(given) > 1 else ROOT / ".driftguard",
    )
