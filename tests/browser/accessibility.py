"""What axe-core finds wrong on a page, for people who can't see or use a mouse."""

from functools import cache
from pathlib import Path

from playwright.sync_api import Page

AXE = Path(__file__).parent / "vendor" / "axe-core" / "axe.min.js"
SEVERE = ("serious", "critical")
RUN = """
async (severe) => {
    const found = await axe.run(document, {resultTypes: ["violations"]});
    return found.violations
        .filter((one) => severe.includes(one.impact))
        .flatMap((one) => one.nodes.map((node) => `${one.id}: ${node.html} `
            + `${node.failureSummary}`));
}
"""


@cache
def source() -> str:
    return AXE.read_text(encoding="utf-8")


def violations(page: Page) -> list[str]:
    """Return the serious and critical violations of the page as it is now."""
    # Evaluated by the browser's own tools: the page's policy lets no script in.
    page.evaluate(source())
    found: list[str] = page.evaluate(RUN, list(SEVERE))
    return found
