"""After a restore the trail is shorter than its copies; somebody has to say so."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from io import StringIO
from pathlib import Path

import pytest
from django.core.management import CommandError, call_command
from django.db import transaction

from governance import notes
from governance.actions import checkpoints, copies, restores, verification
from governance.exceptions import ConflictError, InvalidError, TrailBrokenError
from governance.models import AuditEntry, Checkpoint, Organization
from tests.governance import trails

pytestmark = pytest.mark.django_db
REASON = "Disk failure on 3 May; the backup of 02:00 was restored."


@pytest.fixture(autouse=True)
def places(settings, tmp_path: Path) -> list[Path]:
    found = [tmp_path / "one", tmp_path / "two"]
    settings.DATA_DIR = tmp_path
    settings.CHECKPOINT_DIRECTORIES = list(map(str, found))
    return found


@pytest.fixture
def organization() -> Organization:
    return trails.make_trail().organization


@contextmanager
def lost_again() -> Iterator[None]:
    """Take the database back to before what is done inside; the copies stay."""
    save = transaction.savepoint()
    yield
    transaction.savepoint_rollback(save)


@pytest.fixture
def restored(organization: Organization) -> Organization:
    trails.sign(organization)
    with lost_again():
        trails.say(organization, 300)
        trails.sign(organization)
    # Work has gone on since.
    trails.say(organization, 2)
    return organization


def test_it_is_said_in_the_trail_and_checkpoints_are_signed_again(
    restored: Organization, places: list[Path]
) -> None:
    size = AuditEntry.objects.for_organization(restored).count()
    with pytest.raises(TrailBrokenError):
        checkpoints.sign(restored)
    assert verification.examine(restored, whole=True).result == "tampered"
    lost = restores.acknowledge(restored, reason=REASON, actor=None)
    entry = AuditEntry.objects.get(organization=restored, action="trail.restored")
    body = json.loads(bytes(entry.body))
    assert body["reason"] == REASON
    assert body["facts"] == {
        "entries": size,
        "lost_size": lost.size,
        "lost_root": lost.root.hex(),
        "lost_at": lost.at.isoformat(),
    }
    assert Checkpoint.objects.for_organization(restored)[0].size == entry.seq
    assert verification.verify(restored, actor=None).is_intact
    for place in places:
        (aside,) = place.glob(f"{restored.pk}-lost-{lost.root.hex()[:16]}")
        assert f"\n{lost.size}\n" in next(aside.iterdir()).read_text()
    # What is there now has all checkpoints of the trail as it is.
    kept = {note.size for note in map(_read, copies.stored(restored))}
    own = Checkpoint.objects.for_organization(restored)
    assert kept == set(own.values_list("size", flat=True))


def _read(text: str) -> notes.Statement:
    return notes.read(text)


def test_whoever_holds_a_checkpoint_of_what_is_lost_still_sees_it(
    organization: Organization,
) -> None:
    with lost_again():
        trails.say(organization, 3)
        note = trails.sign(organization)
    restores.acknowledge(organization, reason=REASON, actor=None)
    bundle = trails.bundle_of(organization)
    assert trails.found_in(lambda: trails.verify(bundle))[0] == "intact"
    assert trails.found_in(lambda: trails.verify(bundle, note))[0] != "intact"


def test_nothing_is_acknowledged_where_nothing_is_missing(
    organization: Organization,
) -> None:
    trails.sign(organization)
    with pytest.raises(ConflictError, match="Nothing is missing"):
        restores.acknowledge(organization, reason=REASON, actor=None)


def test_nor_where_what_is_left_was_tampered_with(restored: Organization) -> None:
    trails.tamper(
        "UPDATE governance_auditentry SET actor_label = 'Mallory' "
        "WHERE organization_id = %s AND seq = 4",
        restored.pk,
    )
    with pytest.raises(ConflictError, match="Restore another backup"):
        restores.acknowledge(restored, reason=REASON, actor=None)


def test_it_takes_a_reason(restored: Organization) -> None:
    with pytest.raises(InvalidError):
        restores.acknowledge(restored, reason=" ", actor=None)


def test_a_place_that_keeps_everything_is_named(
    restored: Organization, places: list[Path]
) -> None:
    occupied = restores._lost(restored).root.hex()[:16]
    target = places[1] / f"{restored.pk}-lost-{occupied}"
    target.mkdir()
    (target / "full").write_text("")
    with pytest.raises(ConflictError, match=f"rename {places[1]}"):
        restores.acknowledge(restored, reason=REASON, actor=None)
    (target / "full").unlink()
    restores.acknowledge(restored, reason=REASON, actor=None)
    assert verification.examine(restored, whole=True).is_intact


def test_the_command_says_what_was_acknowledged(restored: Organization) -> None:
    out = StringIO()
    call_command("acknowledge_restore", restored.slug, reason=REASON, stdout=out)
    assert "Acknowledged" in out.getvalue()
    with pytest.raises(CommandError, match="Nothing is missing"):
        call_command("acknowledge_restore", restored.slug, reason=REASON)
    with pytest.raises(CommandError, match="no organization"):
        call_command("acknowledge_restore", "nobody", reason=REASON)
