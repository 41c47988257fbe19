"""The self-test of the controls: it finds none open, and any that somebody opened."""

import hashlib
import json
from io import StringIO
from pathlib import Path

import pytest
from django.core.management import CommandError, call_command
from django.db import connection

from driftguard import selftest
from driftguard.selftest import Result
from governance.models import AuditEntry, Organization, User
from tests import factories

pytestmark = pytest.mark.usefixtures("cloned_db")


@pytest.fixture(autouse=True)
def _data_directory(settings, tmp_path: Path) -> None:
    settings.DATA_DIR = tmp_path
    # What is tried anew here every second need not be hard to guess.
    settings.PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]


def as_owner(statement: str) -> None:
    with connection.cursor() as cursor:
        cursor.execute("SET ROLE driftguard_owner")
        cursor.execute(statement)
        cursor.execute("SET ROLE driftguard_app")


def test_every_way_around_the_controls_is_refused_and_leaves_nothing(
    tmp_path: Path,
) -> None:
    organization = factories.make_alice().organization
    before = Organization.objects.count(), User.objects.count()
    out = StringIO()
    call_command("selftest_controls", stdout=out)
    lines = out.getvalue().splitlines()
    assert lines[0].split() == ["area", "what", "way", "result"]
    assert all(line.endswith("  refused") for line in lines[1:-1]), out.getvalue()
    assert len(lines) > 120
    assert (Organization.objects.count(), User.objects.count()) == before
    (kept,) = (tmp_path / "selftests").iterdir()
    content = kept.read_bytes()
    assert len(json.loads(content)["outcomes"]) == len(lines) - 2
    entry = AuditEntry.objects.get(action="controls.tested")
    assert (entry.organization, entry.outcome) == (organization, "done")
    assert json.loads(bytes(entry.body))["facts"] == {
        "attempts": len(lines) - 2,
        "failed": 0,
        "sha256": hashlib.sha256(content).hexdigest(),
    }


OPENED = [
    ("approvals", "DROP TRIGGER vote_counts ON governance_approvalvote"),
    ("approvals", "DROP TRIGGER vote_in_time ON governance_approvalvote"),
    (
        "overrides",
        "ALTER TABLE governance_override DROP CONSTRAINT override_decided_by_another",
    ),
    ("overrides", "DROP TRIGGER deployment_in_time ON governance_deployment"),
    ("deployments", "DROP TRIGGER deployment_is_let_through ON governance_deployment"),
    (
        "deployments",
        "ALTER TABLE governance_deployment DROP CONSTRAINT deployment_is_approved",
    ),
    ("policies", "DROP TRIGGER policy_goes_on ON governance_policyversion"),
    ("audit", "GRANT INSERT ON governance_auditentry TO driftguard_app"),
    (
        "audit",
        "DROP TRIGGER audit_payload_goes_with_an_entry ON governance_auditpayload; "
        "GRANT DELETE ON governance_auditpayload TO driftguard_app",
    ),
]


@pytest.mark.parametrize(("area", "statement"), OPENED)
def test_a_control_that_somebody_opened_is_found(area: str, statement: str) -> None:
    organization = factories.make_organization()
    as_owner(statement)
    with pytest.raises(CommandError, match="attempts were not refused") as caught:
        call_command("selftest_controls", "--area", area, stdout=StringIO())
    assert caught.value.returncode == 1
    entry = AuditEntry.objects.get(
        organization=organization, action="controls.tested", outcome="failed"
    )
    assert json.loads(bytes(entry.payload.content))["after"]["failed"]


def test_where_no_refusal_is_for_its_own_reason_nothing_is_shown() -> None:
    """A gate that never opens holds nobody back who should be."""
    as_owner(
        "CREATE FUNCTION never() RETURNS trigger LANGUAGE plpgsql AS "
        "'BEGIN RAISE restrict_violation; END'; "
        "CREATE TRIGGER never BEFORE INSERT ON governance_deployment "
        "FOR EACH ROW EXECUTE FUNCTION never()"
    )
    outcomes = selftest.run(["deployments"])
    unclear = {one.what for one in outcomes if one.result is Result.UNCLEAR}
    assert unclear == {
        "an approved version is deployed",
        "a deployment made out to be an intake",
    }


def test_nobody_is_tested_who_could_do_anything_anyway() -> None:
    with connection.cursor() as cursor:
        cursor.execute("RESET ROLE")
    with pytest.raises(CommandError, match="connected as"):
        call_command("selftest_controls", stdout=StringIO())
