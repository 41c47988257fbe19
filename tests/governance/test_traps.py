"""The traps that other systems fell into: each has a barrier, and a test of it here.

`TRAPS` names the tests, which are looked up, so that none goes unnoticed; what has no
better place is tested in this module. `manage.py selftest_controls` tries most of these
on a running installation (tests/test_selftest.py).
"""

import ast
from pathlib import Path

import pytest
from django.apps import apps
from django.contrib.auth.models import Group, Permission
from django.db import connection, models

from governance.actions import deployments, votes
from governance.exceptions import PermissionDeniedError
from governance.models import Membership, User
from tests import factories
from tests.governance.deploying import make_ready

ROOT = Path(__file__).parents[2]
TRAPS = {
    "self-approval through a group": [
        "governance/test_traps.py::test_a_group_of_django_gives_no_vote",
        "governance/test_approvals.py::"
        "test_an_owner_who_is_officer_too_does_not_count_for_the_quorum",
        "governance/test_voting_roles.py::test_nobody_gives_one_to_themselves",
    ],
    "self-approval through the last editor": [
        "governance/test_approvals.py::test_nobody_votes_on_what_they_last_changed",
        "governance/test_approval_guard.py::test_nor_has_who_last_changed_the_subject",
        "governance/test_policies.py::test_takes_somebody_else_than_the_last_editor",
    ],
    "self-approval through the interface while only the form forbids it": [
        "governance/test_approvals.py::test_a_key_never_votes",
        "governance/test_approvals.py::test_a_key_counts_as_its_owner_and_its_creator",
        "test_selftest.py::"
        "test_every_way_around_the_controls_is_refused_and_leaves_nothing",
    ],
    "a reject route without a role check": [
        "governance/test_approvals.py::test_every_way_of_voting_needs_the_role",
        "governance/test_overrides.py::"
        "test_who_asked_does_not_grant_whatever_their_roles",
    ],
    "quorum 0": [
        "governance/test_approval_guard.py::test_no_quorum_is_zero_nor_lowered",
        "governance/test_approvals.py::test_is_refused_where_nobody_else_may_vote",
    ],
    "a vote by somebody removed meanwhile": [
        "governance/test_approvals.py::test_takes_the_approval_along_until_it_is_used",
        "governance/test_concurrent_votes.py::"
        "test_a_voter_removed_during_the_vote_counts_or_not_but_never_half",
        "governance/test_deployments.py::"
        "test_the_vote_of_somebody_removed_before_the_deployment_does_not_count",
    ],
    "an approval kept after the subject changed": [
        "governance/test_deployments.py::"
        "test_an_approval_kept_after_its_subject_changed_does_not_count",
        "governance/test_concurrent_votes.py::"
        "test_a_change_during_the_last_vote_never_slips_in_between",
        "governance/test_reachable_states.py::"
        "test_no_order_of_deeds_leads_past_the_controls",
    ],
    "a scheduled or bulk path around the gate": [
        "governance/test_approvals.py::test_each_is_a_vote_of_its_own",
        "governance/test_deadlines.py::test_a_subject_that_changed_unseen_is_found",
        "governance/test_admin_deployments.py::"
        "test_a_deployment_is_suspended_at_once_and_resumed_through_the_gate",
    ],
    "the admin around the deeds": [
        "governance/test_admin_tenancy.py::test_nothing_is_ever_deleted",
        "governance/test_admin_tenancy.py::test_history_is_neither_added_nor_changed",
    ],
    "queryset.update() around the deeds": [
        "governance/test_approval_guard.py::"
        "test_a_version_is_not_approved_by_writing_it",
        "governance/test_approval_guard.py::test_is_not_published_by_writing_it",
        "governance/test_overrides.py::test_it_refuses_what_the_deeds_refuse",
    ],
    "CASCADE from user or model into history, SET_NULL that erases a name": [
        "governance/test_traps.py::test_no_row_goes_or_forgets_because_another_goes",
        "governance/test_traps.py::test_the_database_does_not_delete_along_either",
        "governance/test_approvals.py::test_leaves_their_name_in_the_record",
    ],
    "superuser bypass": [
        "governance/test_approvals.py::test_a_superuser_is_nobody_here",
        "governance/test_deployments.py::"
        "test_a_superuser_without_the_role_does_not_deploy",
        "governance/test_admin_tenancy.py::"
        "test_a_superuser_without_a_membership_sees_only_the_login",
    ],
    "overrides that never expire": [
        "governance/test_overrides.py::test_what_is_beyond_the_policy_is_refused",
        "governance/test_overrides.py::test_from_the_moment_itself_the_gate_is_closed",
        "governance/test_overrides.py::test_beat_reverts_what_it_made_possible",
        "governance/test_overrides.py::"
        "test_deployments_while_it_expires_never_outlive_it",
    ],
    "a breach nobody hears of because the owner never logs in": [
        "governance/test_findings.py::"
        "test_a_critical_one_that_nobody_begins_with_is_told_to_the_officers",
        "governance/test_findings.py::"
        "test_an_overdue_one_is_told_weekly_until_it_is_closed",
    ],
    "two concurrent last votes": [
        "governance/test_concurrent_votes.py::test_of_twenty_last_votes_one_decides",
        "governance/test_concurrent_votes.py::test_expiry_during_a_vote_is_one_of_both",
    ],
}


@pytest.mark.parametrize("trap", TRAPS)
def test_each_trap_has_its_tests(trap: str) -> None:
    for name in TRAPS[trap]:
        file, _, test = name.partition("::")
        tree = ast.parse((ROOT / "tests" / file).read_text(encoding="utf-8"))
        found = {
            node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)
        }
        assert test in found, name


@pytest.mark.django_db
def test_a_group_of_django_gives_no_vote() -> None:
    alice = factories.make_alice()
    factories.make_bob(alice.organization)
    everything = Group.objects.create(name="Everything")
    everything.permissions.set(Permission.objects.all())
    for person in (alice, factories.make_member(alice.organization, "auditor")):
        person.user.groups.add(everything)
        version = make_ready(alice, name=f"Model of {person.user.pk}")
        request = factories.submit(version)
        with pytest.raises(PermissionDeniedError):
            votes.cast(request, votes.Ballot("approve"), actor=person.actor)
    auditor = Membership.objects.get(role="auditor").user
    actor = factories.Person(auditor, alice.organization).actor
    with pytest.raises(PermissionDeniedError):
        deployments.deploy(version, environment="production", actor=actor)


# Django's own: who is signed in, and which rights of its own somebody has.
NO_HISTORY = {"User_groups", "User_user_permissions"}


def foreign_keys() -> list[models.ForeignKey]:  # type: ignore[type-arg]
    ours = [
        model
        for model in apps.get_models(include_auto_created=True)
        if model._meta.app_label in {"governance", "monitoring"}
    ]
    return [
        field
        for model in ours
        if model.__name__ not in NO_HISTORY
        for field in model._meta.concrete_fields
        if isinstance(field, models.ForeignKey)
    ]


def test_no_row_goes_or_forgets_because_another_goes() -> None:
    allowed = {models.PROTECT, models.DO_NOTHING}
    wrong = [
        str(field)
        for field in foreign_keys()
        if field.remote_field.on_delete not in allowed
    ]
    assert not wrong
    assert len(foreign_keys()) > 150


@pytest.mark.django_db
def test_the_database_does_not_delete_along_either() -> None:
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT conrelid::regclass::text, conname, confdeltype "
            "FROM pg_constraint WHERE contype = 'f' "
            "AND conrelid::regclass::text ~ '^(governance|monitoring)_'"
        )
        keys = cursor.fetchall()
    assert len(keys) > 150
    # a: no action, r: restrict; neither c (cascade) nor n (set null) nor d.
    assert [key for key in keys if key[2] not in {"a", "r"}] == []


@pytest.mark.django_db
def test_a_person_with_a_past_is_not_deleted() -> None:
    alice = factories.make_alice()
    factories.approve(make_ready(alice))
    with pytest.raises(models.ProtectedError):
        User.objects.get(pk=alice.user.pk).delete()
