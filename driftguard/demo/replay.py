"""The steps of the replay in their order, each sent and then measured."""

from collections.abc import Callable, Iterator

from driftguard.demo import watch
from driftguard.demo.measurements import OUTCOMES, SCORED, Measurement
from driftguard.demo.notebook import Notebook
from driftguard.demo.story import Month, Progress, Story

Announce = Callable[[str], None]


def steps(story: Story) -> Iterator[tuple[Month, str]]:
    """Yield what happens: a month's outcomes come just before the next month's batch.

    The newest month's are still to come.
    """
    before = None
    for month in story.months:
        if before is not None:
            yield before, OUTCOMES
        yield month, SCORED
        before = month


def rows(story: Story) -> int:
    """Return how many predictions and outcomes the whole replay sends."""
    return sum(len(month.batch) for month, _ in steps(story))


def run(
    story: Story, notebook: Notebook, progress: Progress, announce: Announce
) -> list[Measurement]:
    """Send every step, wait for DriftGuard to measure it, and return what it found.

    What was noted of an earlier run is believed, but for the newest step: that one is
    looked at again. A step that was overtaken before it was noted can't be measured
    any more and is left out.
    """
    noted = {(one.month, one.step): one for one in notebook.measurements(story.slug)}
    newest = story.months[-1]
    overtaken = story.is_scored(newest)
    for month, step in steps(story):
        if step == SCORED:
            announce(f"{month.name}: predictions")
            story.send_scores(month, progress)
        else:
            announce(f"{month.name}: outcomes")
            story.send_outcomes(month, progress)
        is_newest = (month, step) == (newest, SCORED)
        if is_newest or ((month.label, step) not in noted and not overtaken):
            announce(f"{month.name}: measuring")
            notebook.add(story.slug, watch.measure(story.api, story.slug, month, step))
    return notebook.measurements(story.slug)
