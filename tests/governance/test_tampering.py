"""Whatever somebody who rules the database does to a trail, dg-verify finds it.

The trail is tampered with in the database, past triggers and rights, and packed by the
real exporter, whose manifest is signed: so the content alone has to give it away. The
auditor trusts the installation's key, and a checkpoint from outside the database where
the text says so.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path

import pytest
from django.db import connection, transaction

from governance import merkle, notes, signing
from governance.actions import bundles, checkpoints
from governance.models import AuditEntry, AuditTile, Checkpoint, Organization
from governance.verify import dg_verify
from tests import factories
from tests.governance import trails

pytestmark = pytest.mark.django_db
K = 10  # the entry that is tampered with: it has a payload
FLIPPED = "set_byte({0}, %s, get_byte({0}, %s) # 1)"


@pytest.fixture(autouse=True)
def outside(settings, tmp_path: Path) -> Path:
    settings.DATA_DIR = tmp_path
    settings.CHECKPOINT_DIRECTORIES = [str(tmp_path / "outside")]
    return tmp_path / "outside"


@pytest.fixture
def alice() -> factories.Person:
    alice = trails.make_trail()
    trails.sign(alice.organization)
    return alice


def size_of(organization: Organization) -> int:
    return AuditEntry.objects.for_organization(organization).count()


@contextmanager
def undone() -> Iterator[None]:
    """Take back what is done inside, so that the next mutation starts afresh."""
    save = transaction.savepoint()
    try:
        yield
    finally:
        transaction.savepoint_rollback(save)


Found = tuple[str, int | None, int | None]


def verified(organization: Organization, *trusted: str) -> Found:
    """Pack the trail as it is now, with nothing added, and verify it."""
    pieces = bundles.packed(organization, with_receipts=True, whole=True)
    bundle = b"".join(pieces)
    return trails.found_in(lambda: trails.verify(bundle, *trusted))


def test_a_trail_that_nobody_tampered_with_is_intact(alice: factories.Person) -> None:
    assert verified(alice.organization)[0] == "intact"


BYTES = [
    ("auditentry", "body", "seq = %s", 500),
    ("auditentry", "leaf_hash", "seq = %s", 32),
    ("auditpayload", "salt", "entry_id = (SELECT id FROM {} WHERE seq = %s)", 32),
    ("auditpayload", "content", "entry_id = (SELECT id FROM {} WHERE seq = %s)", 60),
]


@pytest.mark.parametrize(("table", "column", "where", "length"), BYTES)
def test_any_byte_flipped_is_found_at_its_entry(
    alice: factories.Person, table: str, column: str, where: str, length: int
) -> None:
    condition = where.format("governance_auditentry")
    step = max(1, length // 60)
    for at in range(0, length, step):
        with undone():
            trails.tamper(
                f"UPDATE governance_{table} SET {column} = {FLIPPED.format(column)} "
                f"WHERE {condition}",
                *(at, at, K),
            )
            assert verified(alice.organization) == ("tampered", K, K), at


TEXTS = [
    *("actor_type", "actor_id", "actor_label", "action", "object_type", "object_id"),
    *("object_label", "outcome", "request_id"),
]


@pytest.mark.parametrize("column", TEXTS)
def test_any_column_that_says_something_else_is_found(
    alice: factories.Person, column: str
) -> None:
    longest = "left({0}, 9) || 'x'"
    for change in (longest, "'x' || left({0}, 9)", "overlay({0} placing 'ж' from 1)"):
        with undone():
            trails.tamper(
                f"UPDATE governance_auditentry SET {column} = "
                f"{change.format(column)} WHERE seq = %s",
                K,
            )
            assert verified(alice.organization) == ("tampered", K, K)


@pytest.mark.parametrize(
    "change",
    [
        "at = at + interval '1 microsecond'",
        "approval_id = approval_id + 1",
        "approval_id = NULL",
        "override_id = 1",
        "seq = 1000",
        "body = ''",
        "body = body || '\\x0a'::bytea",
        "body = convert_to(replace(convert_from(body, 'UTF8'), ':', ': '), 'UTF8')",
    ],
)
def test_any_column_of_an_entry_that_changed_is_found(
    alice: factories.Person, change: str
) -> None:
    trails.tamper(f"UPDATE governance_auditentry SET {change} WHERE seq = %s", K)
    assert verified(alice.organization) == ("tampered", K, K)


@pytest.mark.parametrize("table", ["auditentry", "auditpayload"])
def test_what_was_moved_to_another_organization_is_missed_here(
    alice: factories.Person, table: str
) -> None:
    other = Organization.objects.create(name="Empty", slug="empty")
    column = "id" if table == "auditentry" else "entry_id"
    trails.tamper(
        f"UPDATE governance_{table} SET organization_id = %s WHERE {column} = "
        "(SELECT id FROM governance_auditentry WHERE seq = %s)",
        *(other.pk, K),
    )
    assert verified(alice.organization) == ("tampered", K, K)


def test_what_was_moved_here_from_another_organization_is_found(
    alice: factories.Person,
) -> None:
    charlie = factories.make_charlie()
    trails.say(charlie.organization, 20)
    delete(alice.organization, [K])
    trails.tamper(
        "UPDATE governance_auditentry SET organization_id = %s "
        "WHERE organization_id = %s AND seq = %s",
        *(alice.organization.pk, charlie.organization.pk, K),
    )
    assert verified(alice.organization) == ("tampered", K, K)


def delete(organization: Organization, seqs: list[int]) -> None:
    for table, column in (("auditpayload", "entry_id"), ("auditentry", "id")):
        trails.tamper(
            f"DELETE FROM governance_{table} WHERE {column} IN (SELECT id FROM "
            "governance_auditentry WHERE organization_id = %s AND seq = ANY(%s))",
            *(organization.pk, seqs),
        )


@pytest.mark.parametrize("seqs", [[1], [1, 2, 3], [K], [K, K + 1], [7, 9, 14]])
def test_entries_that_were_deleted_are_missed(
    alice: factories.Person, seqs: list[int]
) -> None:
    delete(alice.organization, seqs)
    assert verified(alice.organization) == ("tampered", seqs[0], seqs[0])


def renumber(organization: Organization, first: int, by: int) -> None:
    """Shift the numbers of entries; in two steps, as no two may be the same."""
    for offset in (1000, by - 1000):
        trails.tamper(
            "UPDATE governance_auditentry SET seq = seq + %s "
            "WHERE organization_id = %s AND seq >= %s",
            *(offset, organization.pk, first),
        )


def test_a_gap_that_was_closed_by_renumbering_is_found(
    alice: factories.Person,
) -> None:
    delete(alice.organization, [K])
    renumber(alice.organization, K, -1)
    assert verified(alice.organization) == ("tampered", K, K)


def test_an_entry_that_was_inserted_is_found(alice: factories.Person) -> None:
    renumber(alice.organization, K, +1)
    trails.tamper(
        "INSERT INTO governance_auditentry (organization_id, seq, body, leaf_hash, at, "
        "actor_type, actor_id, actor_label, action, object_type, object_id, "
        "object_label, outcome, request_id) SELECT organization_id, %s, body, "
        "leaf_hash, at, actor_type, actor_id, actor_label, action, object_type, "
        "object_id, object_label, outcome, request_id "
        "FROM governance_auditentry WHERE organization_id = %s AND seq = %s",
        *(K, alice.organization.pk, K - 1),
    )
    assert verified(alice.organization) == ("tampered", K, K)


@pytest.mark.parametrize(("one", "other"), [(K, K + 1), (2, 12), (1, 2)])
def test_entries_that_were_swapped_are_found(
    alice: factories.Person, one: int, other: int
) -> None:
    for before, after in ((one, 1000), (other, one), (1000, other)):
        trails.tamper(
            "UPDATE governance_auditentry SET seq = %s "
            "WHERE organization_id = %s AND seq = %s",
            *(after, alice.organization.pk, before),
        )
    assert verified(alice.organization) == ("tampered", one, one)


def test_payloads_that_were_swapped_are_found(alice: factories.Person) -> None:
    trails.tamper(
        "UPDATE governance_auditpayload SET content = '{}' WHERE entry_id = "
        "(SELECT id FROM governance_auditentry WHERE seq = %s)",
        K,
    )
    assert verified(alice.organization) == ("tampered", K, K)


def test_a_payload_that_was_erased_without_an_event_is_missed(
    alice: factories.Person,
) -> None:
    trails.tamper(
        "DELETE FROM governance_auditpayload WHERE entry_id = "
        "(SELECT id FROM governance_auditentry WHERE seq = %s)",
        K,
    )
    assert verified(alice.organization) == ("tampered", K, K)
    # Another thing that is wrong later on does not hide it.
    trails.tamper(
        "UPDATE governance_auditentry SET outcome = 'x' WHERE seq = %s", K + 2
    )
    assert verified(alice.organization) == ("tampered", K, K)


def test_a_payload_that_came_back_after_its_erasure_is_found(
    alice: factories.Person,
) -> None:
    trails.tamper(
        "INSERT INTO governance_auditpayload (organization_id, entry_id, salt, content)"
        " SELECT organization_id, id, decode(repeat('00', 32), 'hex'), '{}' "
        "FROM governance_auditentry WHERE organization_id = %s AND seq = 6",
        alice.organization.pk,
    )
    assert verified(alice.organization) == ("tampered", 6, 6)


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ("seq = seq + 1", +1),
        ("seq = seq - 1", 0),
        ("digest = " + FLIPPED.format("digest").replace("%s", "7"), 0),
    ],
)
def test_a_head_that_is_another_one_is_found(
    alice: factories.Person, change: str, expected: int
) -> None:
    trails.tamper(
        f"UPDATE governance_audithead SET {change} WHERE organization_id = %s",
        alice.organization.pk,
    )
    last = size_of(alice.organization) + expected
    assert verified(alice.organization) == ("tampered", last, last)


class TestCheckpoints:
    def middle(self, organization: Organization) -> Checkpoint:
        found: Checkpoint = Checkpoint.objects.for_organization(organization)[1]
        return found

    @pytest.mark.parametrize("column", ["root", "key_id", "at", "note", "size"])
    def test_that_say_something_else_are_found(
        self, alice: factories.Person, column: str
    ) -> None:
        middle = self.middle(alice.organization)
        changes = {
            "root": [FLIPPED.format("root").replace("%s", "3")],
            "key_id": ["overlay(key_id placing 'x' from 1)"],
            "at": ["at + interval '1 microsecond'"],
            "size": ["size + 1", "size - 1"],
            "note": [
                f"overlay(note placing 'Z' from {at})"
                for at in range(1, len(middle.note))
                if middle.note[at - 1] != "Z"
            ],
        }
        for change in changes[column]:
            with undone():
                trails.tamper(
                    f"UPDATE governance_checkpoint SET {column} = {change} "
                    "WHERE id = %s",
                    middle.pk,
                )
                result, first, last = verified(alice.organization)
                assert result == "tampered"
                before = Checkpoint.objects.for_organization(alice.organization)[2]
                assert first is not None
                assert last is not None
                # A note that can't be read is known by the one before it only.
                assert before.size < first <= middle.size + 1

    @pytest.mark.parametrize("which", [0, 1, 2])
    def test_that_were_cut_out_of_the_list_are_missed(
        self, alice: factories.Person, which: int
    ) -> None:
        organization = alice.organization
        in_order = list(Checkpoint.objects.for_organization(organization))[::-1]
        trails.tamper(
            "DELETE FROM governance_checkpoint WHERE id = %s", in_order[which].pk
        )
        following = in_order[which + 1].size
        assert verified(organization) == ("tampered", following, following)

    def test_that_were_cut_off_its_end_are_known_to_whoever_has_one(
        self, alice: factories.Person
    ) -> None:
        organization = alice.organization
        last, before = Checkpoint.objects.for_organization(organization)[:2]
        trails.tamper("DELETE FROM governance_checkpoint WHERE id = %s", last.pk)
        # Nobody has signed the last entries: that is not what intact means.
        assert verified(organization)[0] == "incomplete"
        assert verified(organization, last.note) == ("tampered", last.size, last.size)
        assert verified(organization, before.note)[0] == "incomplete"

    def test_that_another_key_signed_are_not_believed(
        self, alice: factories.Person
    ) -> None:
        trusted = signing.public_key().raw
        signing.prepare_next()
        signing.take_next()
        sign_anew(alice.organization)
        pieces = bundles.packed(alice.organization, with_receipts=True)
        bundle = b"".join(pieces)
        result, first, last = trails.found_in(
            lambda: trails.verify(bundle, keys=[trusted])
        )
        assert (result, first) == ("tampered", 1)
        assert last == size_of(alice.organization)


def sign_anew(organization: Organization) -> None:
    """Sign every checkpoint again, with the key in use, over what is there now."""
    sizes = [
        checkpoint.size
        for checkpoint in Checkpoint.objects.for_organization(organization)
    ][::-1]
    trails.tamper(
        "DELETE FROM governance_checkpoint WHERE organization_id = %s", organization.pk
    )
    leaves = [
        bytes(leaf)
        for leaf in AuditEntry.objects.for_organization(organization)
        .order_by("seq")
        .values_list("leaf_hash", flat=True)
    ]
    before: str | None = None
    for size in sizes:
        entry = AuditEntry.objects.for_organization(organization).get(seq=size)
        statement = notes.Statement(
            origin=checkpoints.origin(organization),
            size=size,
            root=merkle.root_of_leaves(leaves[:size]),
            at=entry.at,
            after=notes.digest(before) if before else None,
        )
        signature = signing.sign(statement.text.encode())
        before = notes.signed(statement, signature)
        Checkpoint.objects.create(
            organization=organization,
            size=size,
            root=statement.root,
            key_id=signature.key.id,
            at=entry.at,
            note=before,
        )


def rewrite(organization: Organization, first: int) -> None:
    """Change an entry, and give it and all that follow fresh hashes, and the head."""
    trail = AuditEntry.objects.for_organization(organization).order_by("seq")
    previous = b""
    for entry in trail:
        body = bytes(entry.body)
        if entry.seq == first:
            body = body.replace(b'"channel":""', b'"channel":"api"')
        elif entry.seq > first:
            old = dg_verify.read_json(body)["prev"].encode()
            body = body.replace(old, previous.hex().encode())
        trails.tamper(
            "UPDATE governance_auditentry SET body = %s, leaf_hash = %s WHERE id = %s",
            *(body, merkle.leaf_hash(body), entry.pk),
        )
        previous = sha256(body).digest()
    trails.tamper(
        "UPDATE governance_audithead SET digest = %s WHERE organization_id = %s",
        *(previous, organization.pk),
    )


class TestRewriting:
    """The chain is whole again, and every hash beside an entry is its own."""

    def test_is_found_between_the_checkpoints_that_it_contradicts(
        self, alice: factories.Person
    ) -> None:
        sizes = [
            checkpoint.size
            for checkpoint in Checkpoint.objects.for_organization(alice.organization)
        ][::-1]
        for first in range(1, sizes[-1]):
            with undone():
                rewrite(alice.organization, first)
                result, low, high = verified(alice.organization)
                assert result == "tampered"
                assert low is not None
                assert high is not None
                # Of a new first entry the name of the trail tells as well.
                before = max((size for size in sizes if size < first), default=0)
                assert low <= first <= high
                assert low > before or first == 1

    def test_with_the_stolen_key_is_known_to_whoever_has_a_checkpoint(
        self, alice: factories.Person
    ) -> None:
        trusted = Checkpoint.objects.for_organization(alice.organization)[1]
        rewrite(alice.organization, K)
        sign_anew(alice.organization)
        # Nothing inside contradicts it: that is what the checkpoint is for.
        assert verified(alice.organization)[0] == "intact"
        result, low, high = verified(alice.organization, trusted.note)
        assert (result, low, high) == ("tampered", 1, trusted.size)

    def test_of_another_trail_altogether_is_known_likewise(
        self, alice: factories.Person
    ) -> None:
        trusted = Checkpoint.objects.for_organization(alice.organization)[1]
        rewrite(alice.organization, 1)
        sign_anew(alice.organization)
        assert verified(alice.organization)[0] == "intact"
        assert verified(alice.organization, trusted.note)[:2] == ("tampered", 1)


class TestOlderState:
    def restore(self, organization: Organization, size: int) -> None:
        """Leave the database as it was when it had that many entries."""
        trails.tamper(
            "DELETE FROM governance_checkpoint "
            "WHERE organization_id = %s AND size > %s",
            *(organization.pk, size),
        )
        delete(organization, list(range(size + 1, 1000)))
        trails.tamper(
            "UPDATE governance_audithead SET seq = %s, digest = (SELECT sha256(body) "
            "FROM governance_auditentry WHERE organization_id = %s AND seq = %s) "
            "WHERE organization_id = %s",
            *(size, organization.pk, size, organization.pk),
        )

    def test_is_known_to_whoever_has_a_checkpoint_of_a_later_one(
        self, alice: factories.Person
    ) -> None:
        organization = alice.organization
        last, earlier = Checkpoint.objects.for_organization(organization)[:2]
        self.restore(organization, earlier.size)
        assert verified(organization)[0] == "intact"
        missing = earlier.size + 1
        assert verified(organization, last.note) == ("tampered", missing, missing)

    def test_is_known_to_the_copies_outside_so_that_nothing_more_is_signed(
        self, alice: factories.Person
    ) -> None:
        organization = alice.organization
        first = list(Checkpoint.objects.for_organization(organization))[-1]
        self.restore(organization, first.size)
        trails.say(organization, 2)
        with pytest.raises(checkpoints.TrailBrokenError, match="some are missing"):
            checkpoints.sign(organization)

    @pytest.mark.parametrize("count", [1, 2, 5])
    def test_of_entries_alone_is_found_without_any(
        self, alice: factories.Person, count: int
    ) -> None:
        last = size_of(alice.organization)
        delete(alice.organization, list(range(last - count + 1, last + 1)))
        missing = last - count + 1
        assert verified(alice.organization) == ("tampered", missing, missing)


@pytest.mark.parametrize("tile", [0, 1])
def test_a_tile_of_the_tree_that_was_changed_is_found(tile: int) -> None:
    """Where proofs from one checkpoint to the next use it; fsck looks at every one."""
    alice = factories.make_alice()
    organization = alice.organization
    for _ in range(2):
        trails.say(organization, 300)
        trails.sign(organization)
    assert AuditTile.objects.count() == 2
    assert verified(organization)[0] == "intact"
    column = ("root", "hashes")[tile]
    trails.tamper(
        f"UPDATE governance_audittile SET {column} = {FLIPPED.format(column)} "
        "WHERE index = %s",
        *(5, 5, tile),
    )
    assert verified(organization)[:2] == ("tampered", size_of(organization))


def test_receipts_that_were_changed_are_found_at_their_seal(
    alice: factories.Person,
) -> None:
    [seal] = AuditEntry.objects.filter(action="receipts.sealed")
    for change in (
        "rows = rows + 1",
        "digest = sha256(digest)",
        "merkle_root = sha256(digest)",
        "received_at = received_at + interval '1 microsecond'",
        "channel = 'file'",
        "seal = NULL",
    ):
        with undone():
            connection.cursor().execute(
                f"UPDATE monitoring_receipt SET {change} WHERE rows = 2"
            )
            assert verified(alice.organization) == ("tampered", seal.seq, seal.seq)
