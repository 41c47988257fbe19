"""Payloads go, with the entry that says so; the trail and its proofs stay."""

from datetime import timedelta

import pytest
from django.db import DatabaseError, IntegrityError, connection, transaction
from django.utils import timezone

from governance import merkle, tasks
from governance.actions import audit, erasure
from governance.exceptions import ConflictError, InvalidError, PermissionDeniedError
from governance.models import AuditEntry, AuditPayload, Organization
from tests import factories
from tests.governance.test_audit import assert_unbroken, body_of, trail

pytestmark = pytest.mark.django_db
REASON = "Art. 17 request of 3 May, case 4711"


def with_payloads(organization: Organization, count: int) -> list[int]:
    """Record entries with something personal; return their numbers."""
    before = len(trail(organization))
    for number in range(count):
        audit.record(
            organization,
            actor=None,
            action="thing.changed",
            object=None,
            after={"name": f"Erika Mustermann {number}"},
        )
    return list(range(before + 1, before + count + 1))


def test_erasing_takes_payload_and_salt_and_leaves_every_hash() -> None:
    alice = factories.make_alice()
    bob = factories.make_bob(alice.organization)
    seqs = with_payloads(alice.organization, 4)
    bodies = [bytes(entry.body) for entry in trail(alice.organization)]
    root = merkle.root(bodies)
    taken = [seqs[0], seqs[1], seqs[3]]
    assert erasure.erase(alice.organization, taken, actor=bob.actor, reason=REASON) == 3
    left = AuditPayload.objects.filter(entry__seq__in=seqs)
    assert [payload.entry.seq for payload in left] == [seqs[2]]
    entries = trail(alice.organization)
    assert merkle.root(bytes(entry.body) for entry in entries[:-1]) == root
    last = body_of(entries[-1])
    assert last["action"] == "payload.erased"
    assert last["reason"] == REASON
    assert last["actor"]["label"] == bob.user.email
    assert last["facts"] == {
        "erased": [[seqs[0], seqs[1]], [seqs[3], seqs[3]]],
        "payloads": 3,
    }
    assert_unbroken(alice.organization)


def test_only_a_compliance_officer_erases_and_not_what_they_did_themselves() -> None:
    alice = factories.make_alice()
    bob = factories.make_bob(alice.organization)
    [seq] = with_payloads(alice.organization, 1)
    with pytest.raises(PermissionDeniedError, match="compliance officer"):
        erasure.erase(alice.organization, [seq], actor=alice.actor, reason=REASON)
    audit.record(
        alice.organization, actor=bob.actor, action="a.b", object=None, after={"x": 1}
    )
    own = len(trail(alice.organization))
    with pytest.raises(PermissionDeniedError, match=f"did not make entry {own}"):
        erasure.erase(alice.organization, [seq, own], actor=bob.actor, reason=REASON)
    entries = trail(alice.organization)
    assert [entry.outcome for entry in entries if entry.action.startswith("perm")] == [
        "denied",
        "denied",
    ]
    assert AuditPayload.objects.filter(entry__seq__in=[seq, own]).count() == 2


def test_another_organizations_entries_are_not_there() -> None:
    alice, charlie = factories.make_alice(), factories.make_charlie()
    bob = factories.make_bob(alice.organization)
    seqs = with_payloads(charlie.organization, 60)
    with pytest.raises(ConflictError, match="None of these entries has a payload"):
        erasure.erase(alice.organization, seqs[-1:], actor=bob.actor, reason=REASON)
    assert AuditPayload.objects.for_organization(charlie.organization).filter(
        entry__seq__in=seqs
    ).count() == len(seqs)


def test_a_reason_is_needed_and_not_too_many_at_once() -> None:
    organization = factories.make_organization()
    with pytest.raises(InvalidError) as refused:
        erasure.erase(organization, range(10_001), actor=None, reason="because")
    assert [one["loc"] for one in refused.value.errors] == [["reason"], ["seq"]]


def test_erasing_twice_finds_nothing() -> None:
    organization = factories.make_organization()
    seqs = with_payloads(organization, 1)
    erasure.erase(organization, seqs, actor=None, reason=REASON)
    count = len(trail(organization))
    with pytest.raises(ConflictError):
        erasure.erase(organization, seqs, actor=None, reason=REASON)
    assert len(trail(organization)) == count


def test_an_erasure_that_was_denied_erases_nothing() -> None:
    organization = factories.make_organization()
    seqs = with_payloads(organization, 2)
    audit.record(
        organization,
        actor=None,
        action="payload.erased",
        object=None,
        outcome="denied",
        facts={"erased": [[seqs[0], seqs[1]]]},
    )
    assert AuditPayload.objects.filter(entry__seq__in=seqs).count() == 2


DELETE = "DELETE FROM governance_auditpayload WHERE organization_id = %s"


@pytest.mark.parametrize("named", ["", "{first}", "{erasing}", "999999999"])
def test_not_even_the_owner_of_the_tables_deletes_a_payload_silently(
    named: str,
) -> None:
    organization = factories.make_organization()
    seqs = with_payloads(organization, 2)
    erasure.erase(organization, seqs[:1], actor=None, reason=REASON)
    entries = trail(organization)
    setting = named.format(first=entries[0].pk, erasing=entries[-1].pk)
    cursor = connection.cursor()
    cursor.execute("SET LOCAL ROLE NONE")
    cursor.execute("SELECT set_config('driftguard.erasure', %s, true)", [setting])
    with (
        pytest.raises(IntegrityError, match="only with the entry"),
        transaction.atomic(),
    ):
        cursor.execute(DELETE, [organization.pk])


def test_the_application_deletes_none_at_all() -> None:
    organization = factories.make_organization()
    with pytest.raises(DatabaseError, match="permission denied"), transaction.atomic():
        connection.cursor().execute(DELETE, [organization.pk])


def test_payloads_go_when_their_time_is_over_and_the_trail_says_so(settings) -> None:
    first, second = factories.make_organization(), factories.make_organization()
    with_payloads(first, 3)
    tasks.purge_payloads()
    kept = AuditPayload.objects.count()
    assert kept >= 3
    settings.AUDIT_PAYLOAD_DAYS = 30
    tasks.purge_payloads()
    assert AuditPayload.objects.count() == kept
    later = timezone.now() + timedelta(seconds=1)
    for organization in (first, second):
        with_payload = AuditPayload.objects.for_organization(organization)
        seqs = list(with_payload.values_list("entry__seq", flat=True))
        assert erasure.purge(organization, before=later, actor=None) == len(seqs)
        entry = trail(organization)[-1]
        assert entry.action == "payload.purged"
        assert body_of(entry)["facts"] == {
            "erased": [[min(seqs), max(seqs)]],
            "payloads": len(seqs),
        }
        assert_unbroken(organization)
    assert not AuditPayload.objects.exists()


def test_purging_spares_what_is_not_old_enough() -> None:
    organization = factories.make_organization()
    [first, second, third] = with_payloads(organization, 3)
    moments = dict(AuditEntry.objects.values_list("seq", "at"))
    # The clock went back: the second was made before the first, as it seems.
    cursor = connection.cursor()
    cursor.execute("SET LOCAL ROLE NONE")
    cursor.execute("SET CONSTRAINTS ALL IMMEDIATE")
    cursor.execute("ALTER TABLE governance_auditentry DISABLE TRIGGER USER")
    cursor.execute(
        "UPDATE governance_auditentry SET at = %s WHERE seq IN %s",
        [moments[first] - timedelta(hours=1), (first, third)],
    )
    cursor.execute("SET LOCAL ROLE driftguard_app")
    erasure.purge(organization, before=moments[first], actor=None)
    spans = body_of(trail(organization)[-1])["facts"]["erased"]
    assert spans[-1] == [third, third]
    assert not any(low <= second <= up for low, up in spans)
    left = AuditPayload.objects.for_organization(organization)
    assert list(left.values_list("entry__seq", flat=True)) == [second]
