"""Checkpoints: signed, in a row, outside the database, and never against each other."""

import base64
import json
import re
import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from io import StringIO
from pathlib import Path

import pytest
from django.core.management import call_command
from django.db import connection
from django.utils import timezone

from governance import merkle, notes, signing, tasks
from governance.actions import audit, checkpoints, copies, trees
from governance.exceptions import TrailBrokenError
from governance.models import (
    AuditEntry,
    AuditTile,
    Checkpoint,
    CheckpointCopy,
    Organization,
)
from tests import factories
from tests.governance.api import Api, api_of, faults


@pytest.fixture(autouse=True)
def outside(settings, tmp_path: Path) -> Path:
    """Keep keys and copies of each test apart."""
    settings.DATA_DIR = tmp_path
    settings.CHECKPOINT_DIRECTORIES = [str(tmp_path / "outside")]
    return tmp_path / "outside"


def record(organization: Organization, count: int = 1) -> None:
    @audit.deed
    def all_at_once() -> None:
        for number in range(count):
            audit.record(
                organization, actor=None, action="a.b", object=None, after={"n": number}
            )

    all_at_once()


def bodies(organization: Organization) -> list[bytes]:
    entries = AuditEntry.objects.for_organization(organization).order_by("seq")
    return [bytes(body) for body in entries.values_list("body", flat=True)]


def signed(organization: Organization) -> Checkpoint:
    made = checkpoints.sign(organization)
    assert made is not None
    return made


def as_owner(statement: str, parameters: list[object]) -> None:
    """Do what only somebody who rules the database can."""
    cursor = connection.cursor()
    cursor.execute("SET CONSTRAINTS ALL IMMEDIATE")
    cursor.execute("SET LOCAL ROLE NONE")
    for table in ("auditentry", "audithead", "checkpoint", "audittile"):
        cursor.execute(f"ALTER TABLE governance_{table} DISABLE TRIGGER USER")
    cursor.execute(statement, parameters)
    cursor.execute("SET LOCAL ROLE driftguard_app")


@pytest.mark.django_db
class TestNote:
    def test_has_the_published_format_and_a_good_signature(self) -> None:
        organization = factories.make_organization()
        made = signed(organization)
        all_of_it = bodies(organization)
        lines = made.note.split("\n")
        assert lines[0] == checkpoints.origin(organization)
        assert re.fullmatch(rf"driftguard/{organization.pk}/[0-9a-f]{{16}}", lines[0])
        assert lines[1] == str(len(all_of_it))
        assert base64.b64decode(lines[2]) == merkle.root(all_of_it)
        assert lines[3].startswith("at 20")
        assert lines[4] == ""
        dash, name, signature = lines[5].split(" ")
        assert (dash, name, lines[6]) == ("—", lines[0], "")
        raw = base64.b64decode(signature)
        text = "\n".join(lines[:4]) + "\n"
        key = signing.public_key()
        assert key.verify(text.encode(), raw[4:])
        *_, hashed, encoded = notes.verifier_key(name, key).split("+", 2)
        assert hashed == raw[:4].hex()
        assert base64.b64decode(encoded) == b"\1" + key.raw
        assert notes.is_signed_by(made.note, key)

    # The key of the example in the documentation of Go's sumdb/note.
    def test_counts_the_hash_of_a_key_as_the_published_example(self) -> None:
        name = "PeterNeumann"
        key = signing.PublicKey(
            base64.b64decode("ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW")[1:]
        )
        assert notes.key_hash(name, key).hex() == "c74f20a3"

    def test_names_the_one_before_it(self) -> None:
        organization = factories.make_organization()
        first = signed(organization)
        record(organization)
        second = signed(organization)
        assert notes.read(first.note).after is None
        assert notes.read(second.note).after == notes.digest(first.note)

    @pytest.mark.parametrize(
        "change",
        [
            lambda note: note.replace("\n", "\r\n"),
            lambda note: note[:-1],
            lambda note: note + "\n",
            lambda note: "0" + note,
            lambda note: re.sub(r"\n(\d+)\n", r"\n0\1\n", note, count=1),
            lambda note: note.replace("at ", "At "),
            lambda note: note.replace("at 2", "at 3", 1),
            lambda note: note.replace("=\n", "A\n", 1),
            lambda note: note.replace("—", "-"),
            lambda note: "",
        ],
    )
    def test_that_is_a_little_different_is_not_signed(self, change) -> None:
        changed = change(signed(factories.make_organization()).note)
        assert not notes.is_signed_by(changed, signing.public_key())

    def test_is_found_in_a_file_of_several_and_a_torn_one_is_not(self) -> None:
        organization = factories.make_organization()
        first = signed(organization).note
        record(organization)
        second = signed(organization).note
        torn = first[:40]
        text = f"{first}\n{torn}\n\n{second}\n{second[:-20]}"
        assert list(notes.split(text))[:2] == [first, second]


@pytest.mark.django_db
class TestTree:
    @pytest.mark.parametrize("size", [1, 255, 256, 257, 511, 513, 700])
    def test_has_the_root_of_all_entries_however_it_is_tiled(self, size: int) -> None:
        organization = factories.make_organization()
        record(organization, size)
        all_of_it = bodies(organization)
        for grown in (min(size, 300), len(all_of_it)):
            trees.grow(organization, grown)
            assert trees.root(organization, grown) == merkle.root(all_of_it[:grown])
        full = AuditTile.objects.for_organization(organization).filter(level=0)
        assert full.count() == len(all_of_it) // 256

    def test_of_sixty_six_thousand_has_two_levels_of_tiles(self) -> None:
        organization = factories.make_organization()
        # Leaves are what counts here: a second level takes 65,536 of them.
        leaves = [merkle.leaf_hash(b"%d" % number) for number in range(66_000)]
        AuditTile.objects.bulk_create(
            AuditTile(
                organization=organization,
                level=0,
                index=index,
                hashes=b"".join(leaves[index * 256 : index * 256 + 256]),
                root=merkle.root_of_leaves(leaves[index * 256 : index * 256 + 256]),
            )
            for index in range(257)
        )
        trees.grow(organization, 257 * 256)
        [top] = AuditTile.objects.for_organization(organization).filter(level=1)
        assert bytes(top.root) == merkle.root_of_leaves(leaves[:65_536])
        size = 257 * 256
        assert trees.root(organization, size) == merkle.root_of_leaves(leaves[:size])
        subtrees = trees.subtrees(organization)
        for index in (0, 300, 65_535, 65_536, size - 1):
            proof = merkle.inclusion_proof(index, size, subtrees)
            root = merkle.root_of_leaves(leaves[:size])
            assert merkle.is_included(leaves[index], index, size, proof, root)

    def test_costs_no_more_queries_where_there_is_more_behind_it(
        self, django_assert_max_num_queries
    ) -> None:
        organization = factories.make_organization()
        record(organization, 1_000)
        signed(organization)
        record(organization, 10)
        with django_assert_max_num_queries(20):
            signed(organization)


@pytest.mark.django_db
class TestSigning:
    def test_again_without_anything_new_gives_the_same(self) -> None:
        organization = factories.make_organization()
        assert signed(organization) == signed(organization)
        assert Checkpoint.objects.count() == 1

    def test_of_nothing_is_nothing(self) -> None:
        assert checkpoints.sign(Organization.objects.create(slug="x")) is None

    def test_refuses_a_trail_that_was_cut(self) -> None:
        organization = factories.make_organization()
        record(organization, 5)
        size = signed(organization).size
        as_owner(
            "UPDATE governance_audithead SET seq = %s WHERE organization_id = %s",
            [size - 2, organization.pk],
        )
        with pytest.raises(TrailBrokenError, match=f"has {size - 2} .* had {size}"):
            checkpoints.sign(organization)

    def test_refuses_a_trail_whose_entries_were_changed(self) -> None:
        organization = factories.make_organization()
        record(organization, 5)
        signed(organization)
        as_owner(
            "UPDATE governance_auditentry SET leaf_hash = '{}' "
            "WHERE organization_id = %s AND seq = 3",
            [organization.pk],
        )
        record(organization)
        with pytest.raises(TrailBrokenError, match="are not those of"):
            checkpoints.sign(organization)

    def test_refuses_a_trail_that_begins_otherwise(self) -> None:
        organization = factories.make_organization()
        signed(organization)
        as_owner(
            "UPDATE governance_auditentry SET body = '{}' "
            "WHERE organization_id = %s AND seq = 1",
            [organization.pk],
        )
        record(organization)
        with pytest.raises(TrailBrokenError, match="but was driftguard/"):
            checkpoints.sign(organization)

    def test_refuses_what_the_copies_outside_contradict(self) -> None:
        organization = factories.make_organization()
        record(organization, 5)
        size = signed(organization).size
        assert copies.bring_up_to_date(organization)
        # The database was restored to an older state, with no trace left inside.
        as_owner(
            "UPDATE governance_audithead SET seq = %s WHERE organization_id = %s",
            [size - 1, organization.pk],
        )
        as_owner("DELETE FROM governance_checkpoint", [])
        with pytest.raises(TrailBrokenError, match="some are missing"):
            checkpoints.sign(organization)

    def test_of_one_trail_that_fails_holds_up_no_other(self, outside: Path) -> None:
        first, second = factories.make_organization(), factories.make_organization()
        tasks.sign_checkpoints()
        for organization in (first, second):
            record(organization)
        as_owner(
            "UPDATE governance_auditentry SET leaf_hash = '{}' "
            "WHERE organization_id = %s AND seq = 2",
            [first.pk],
        )
        as_owner("UPDATE governance_checkpoint SET at = at - interval '1 hour'", [])
        assert checkpoints.sign_due() == 1
        assert Checkpoint.objects.for_organization(first).count() == 1
        assert Checkpoint.objects.for_organization(second).count() == 2

    def test_is_due_once_there_is_something_and_then_not_too_often(self) -> None:
        organization = factories.make_organization()
        now = timezone.now()
        assert organization in checkpoints.due(now)
        signed(organization)
        record(organization)
        assert organization not in checkpoints.due(now)
        assert organization in checkpoints.due(now + timedelta(seconds=301))
        signed(organization)
        assert organization not in checkpoints.due(now + timedelta(days=1))


def test_signed_by_many_at_once_checkpoints_stand_in_one_row(
    cloned_db: str, settings, tmp_path: Path
) -> None:
    settings.CHECKPOINT_DIRECTORIES = [str(tmp_path / "outside")]
    organization = factories.make_organization()
    started = threading.Barrier(8)

    def work(number: int) -> None:
        started.wait()
        try:
            for _ in range(5):
                record(organization, 60)
                checkpoints.sign(organization)
        finally:
            connection.close()

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(work, range(8)))
    signed(organization)
    all_of_it = bodies(organization)
    before = None
    for checkpoint in Checkpoint.objects.order_by("size"):
        said = notes.read(checkpoint.note)
        assert said.after == before
        assert said.root == merkle.root(all_of_it[: said.size])
        before = notes.digest(checkpoint.note)
    assert checkpoint.size == len(all_of_it) > 8 * 5 * 60


@pytest.mark.django_db
class TestCopies:
    def test_hold_every_note_word_for_word(self, outside: Path) -> None:
        organization = factories.make_organization()
        made = [signed(organization).note]
        tasks.sign_checkpoints()
        record(organization)
        made.append(signed(organization).note)
        tasks.sign_checkpoints()
        [file] = (outside / str(organization.pk)).iterdir()
        assert list(notes.split(file.read_text())) == made
        assert list(copies.stored(organization)) == made
        assert not copies.due()

    def test_written_twice_after_a_crash_stand_there_once(self) -> None:
        organization = factories.make_organization()
        note = signed(organization).note
        copies.bring_up_to_date(organization)
        CheckpointCopy.objects.update(size=0)
        assert copies.bring_up_to_date(organization)
        assert list(copies.stored(organization)) == [note]
        assert CheckpointCopy.objects.get().size == notes.read(note).size

    def test_go_on_after_one_that_was_torn(self, outside: Path) -> None:
        organization = factories.make_organization()
        first = signed(organization).note
        copies.bring_up_to_date(organization)
        [file] = (outside / str(organization.pk)).iterdir()
        record(organization)
        second = signed(organization).note
        file.write_text(file.read_text() + second[: len(second) // 2])
        assert copies.bring_up_to_date(organization)
        assert list(copies.stored(organization)) == [first, second]

    def test_to_a_place_that_is_away_are_made_up_for(
        self, settings, tmp_path: Path
    ) -> None:
        blocked = tmp_path / "blocked"
        settings.CHECKPOINT_DIRECTORIES = [str(blocked), str(tmp_path / "good")]
        blocked.write_text("a file where a directory should be")
        organization = factories.make_organization()
        tasks.sign_checkpoints()
        failed = CheckpointCopy.objects.get(place=str(blocked))
        assert "blocked" in failed.error
        assert failed.size == 0
        assert len(list((tmp_path / "good" / str(organization.pk)).iterdir())) == 1
        blocked.unlink()
        tasks.sign_checkpoints()
        failed.refresh_from_db()
        assert (failed.error, failed.size) == ("", Checkpoint.objects.get().size)


@pytest.mark.django_db
class TestKeyRotation:
    def test_is_told_in_the_trail_under_a_signature_of_the_old_key(self) -> None:
        organization = factories.make_organization()
        old = signing.public_key()
        said = StringIO()
        call_command("rotate_signing_key", stdout=said)
        new = signing.public_key()
        assert new != old
        assert new.text in said.getvalue()
        assert "SIGNING_KEY=" not in said.getvalue()
        entry = json.loads(bodies(organization)[-1])
        assert entry["action"] == "signing_key.rotated"
        assert entry["facts"] == {"key": new.text, "before": old.text}
        last = Checkpoint.objects.for_organization(organization)[0]
        assert last.size == entry["seq"]
        assert notes.is_signed_by(last.note, old)
        record(organization)
        assert notes.is_signed_by(signed(organization).note, new)

    def test_of_a_key_of_the_environment_says_what_to_set(self, settings) -> None:
        organization = factories.make_organization()
        secret = base64.b64encode(bytes(range(32))).decode()
        settings.SIGNING_KEY = secret
        old = signing.public_key()
        said = StringIO()
        call_command("rotate_signing_key", stdout=said)
        assert signing.public_key() == old
        announced = json.loads(bodies(organization)[-1])["facts"]["key"]
        values = dict(re.findall(r"^(\w+)=(.*)$", said.getvalue(), re.M))
        settings.SIGNING_KEY = values["SIGNING_KEY"]
        settings.SIGNING_KEYS_BEFORE = values["SIGNING_KEYS_BEFORE"].split(",")
        assert [key.text for key in signing.public_keys()] == [announced, old.text]


@pytest.mark.django_db
class TestApi:
    def test_gives_a_checkpoint_that_anybody_can_verify(self) -> None:
        alice = factories.make_alice()
        api = api_of(alice, scopes=["audit:read"])
        answer = api.get("/api/audit/checkpoint")
        assert answer.status_code == 200
        said = answer.json()
        keys = api.get("/api/audit/keys").json()
        assert said["key_id"] == keys[0]["id"]
        key = signing.PublicKey(base64.b64decode(keys[0]["public_key"]))
        assert notes.is_signed_by(said["note"], key)
        assert said["size"] == len(bodies(alice.organization))
        assert said["root"] == notes.read(said["note"]).root.hex()
        assert said["origin"] == checkpoints.origin(alice.organization)
        assert keys[0]["verifier_key"].startswith(said["origin"] + "+")
        # It is copied outside at once, not only at the next beat.
        assert list(copies.stored(alice.organization)) == [said["note"]]
        # Asking again and again signs no more than one a minute.
        record(alice.organization)
        assert api.get("/api/audit/checkpoint").json() == said

    def test_proves_that_entries_are_included(self) -> None:
        alice = factories.make_alice()
        api = api_of(alice, scopes=["audit:read"])
        record(alice.organization, 300)
        all_of_it = bodies(alice.organization)
        checkpoint = api.get("/api/audit/checkpoint").json()
        for seq, size in ((1, None), (150, 260), (260, 260), (300, 301)):
            query = f"seq={seq}" + (f"&size={size}" if size else "")
            proof = api.get(f"/api/audit/proof/inclusion?{query}").json()
            assert proof["size"] == size or checkpoint["size"]
            assert proof["root"] == merkle.root(all_of_it[: proof["size"]]).hex()
            assert merkle.is_included(
                merkle.leaf_hash(all_of_it[seq - 1]),
                proof["leaf_index"],
                proof["size"],
                [bytes.fromhex(one) for one in proof["hashes"]],
                bytes.fromhex(proof["root"]),
            )

    def test_proves_that_a_later_state_goes_on_from_an_earlier_one(self) -> None:
        alice = factories.make_alice()
        api = api_of(alice, scopes=["audit:read"])
        record(alice.organization, 300)
        api.get("/api/audit/checkpoint")
        for first, second in ((1, 300), (256, 300), (299, 300), (300, 300)):
            path = f"/api/audit/proof/consistency?first={first}&second={second}"
            proof = api.get(path).json()
            assert merkle.is_consistent(
                first,
                second,
                bytes.fromhex(proof["first_root"]),
                bytes.fromhex(proof["second_root"]),
                [bytes.fromhex(one) for one in proof["hashes"]],
            )

    @pytest.mark.parametrize(
        ("path", "where"),
        [
            ("inclusion", {"seq": "required"}),
            ("inclusion?seq=0", {"seq": "range"}),
            ("inclusion?seq=99999", {"seq": "range"}),
            ("inclusion?seq=-1", {"seq": "integer"}),
            ("inclusion?seq=1e3", {"seq": "integer"}),
            ("inclusion?seq=9999999999999999999999", {"seq": "integer"}),
            ("inclusion?seq=1&size=99999", {"size": "range"}),
            ("inclusion?seq=2&size=1", {"seq": "range"}),
            ("inclusion?seq=1&of=2", {"of": "unknown_parameter"}),
            ("consistency", {"first": "required"}),
            ("consistency?first=3&second=2", {"first": "range"}),
            ("consistency?first=1&second=0", {"second": "range"}),
            ("consistency?first=%D9%A1", {"first": "integer"}),
        ],
    )
    def test_refuses_what_can_not_be_proven(
        self, path: str, where: dict[str, str]
    ) -> None:
        alice = factories.make_alice()
        api = api_of(alice, scopes=["audit:read"])
        api.get("/api/audit/checkpoint")
        answer = api.get(f"/api/audit/proof/{path}")
        assert answer.status_code == 422
        assert faults(answer) == where

    def test_tells_nothing_without_the_scope_and_nothing_of_others(self) -> None:
        alice, charlie = factories.make_alice(), factories.make_charlie()
        record(alice.organization, 200)
        for path in (
            "checkpoint",
            "keys",
            "proof/inclusion?seq=1",
            "proof/consistency?first=1",
        ):
            assert Api().get(f"/api/audit/{path}").status_code == 401
            reader = api_of(alice, scopes=["models:read", "governance:write"])
            assert reader.get(f"/api/audit/{path}").status_code == 403
        theirs = api_of(charlie, scopes=["audit:read"])
        said = theirs.get("/api/audit/checkpoint").json()
        assert said["size"] == len(bodies(charlie.organization))
        answer = theirs.get("/api/audit/proof/inclusion?seq=150")
        assert answer.status_code == 422

    def test_says_409_of_a_trail_that_was_tampered_with(self) -> None:
        alice = factories.make_alice()
        api = api_of(alice, scopes=["audit:read"])
        signed(alice.organization)
        as_owner(
            "UPDATE governance_auditentry SET leaf_hash = '{}' "
            "WHERE organization_id = %s AND seq = 2",
            [alice.organization.pk],
        )
        record(alice.organization)
        as_owner("UPDATE governance_checkpoint SET at = at - interval '1 hour'", [])
        answer = api.get("/api/audit/checkpoint")
        assert answer.status_code == 409
        assert answer.json()["code"] == "trail_broken"
