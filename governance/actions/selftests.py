"""What has come of a test of the controls, as evidence in the trails."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from governance.actions.audit import Actor, Outcome, deed, record
from governance.models import Organization


@deed
def file(
    organization: Organization,
    *,
    attempts: int,
    failed: Sequence[Mapping[str, str]],
    digest: str,
    actor: Actor | None,
) -> None:
    """Remember how many ways around the controls were tried, and which led anywhere.

    `digest` is the SHA-256 of the whole outcome, which is kept as a file.
    """
    record(
        organization,
        actor=actor,
        action="controls.tested",
        object=organization,
        outcome=Outcome.FAILED if failed else Outcome.DONE,
        after={"failed": list(failed)},
        facts={"attempts": attempts, "failed": len(failed), "sha256": digest},
    )
