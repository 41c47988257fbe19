"""`manage.py fsck` finds whatever doesn't agree, and nothing where all does.

Each fault is made by the owner of the tables, past the application and its triggers.
"""

import datetime as dt
import json
from io import StringIO
from typing import Any, NamedTuple

import pytest
from django.apps import apps
from django.core.management import CommandError, call_command
from django.db import connection

from driftguard.fsck import references
from governance.models import ModelVersion, Organization
from monitoring.actions import baselines, quarantine, seals
from monitoring.models import GroundTruth, Prediction, Profile, Receipt, Segment
from tests import factories
from tests.monitoring import traffic
from tests.monitoring.calls import Caller
from tests.senders import features

pytestmark = pytest.mark.django_db
ROWS = 60
START = dt.datetime(2026, 3, 2, 9, 30, tzinfo=dt.UTC)


class Watched(NamedTuple):
    version: ModelVersion
    call: Caller

    @property
    def organization(self) -> Organization:
        return self.version.organization

    def log(self, count: int = ROWS, start: dt.datetime = START) -> None:
        """Log rows of three hours, each with its outcome, through the API."""
        slug = self.version.model.slug
        rows = [
            {
                "input_features": features(number),
                "prediction": number % 2,
                "entity_id": f"{start:%d} {number}",
                "timestamp": (start + number % 3 * dt.timedelta(hours=1)).isoformat(),
            }
            for number in range(count)
        ]
        body = {"model_id": slug, "predictions": rows}
        status, answer = self.call.post("/api/logs/prediction/batch", body)
        assert status == 201, answer
        outcomes = [
            {"entityId": row["entity_id"], "actualOutcome": str(number // 2 % 2)}
            for number, row in enumerate(rows)
        ]
        status, answer = self.call.post(
            "/api/v1/drift/ground-truth/batch", {"modelId": slug, "records": outcomes}
        )
        assert status < 300, answer
        traffic.count_all()


@pytest.fixture
def watched() -> Watched:
    alice = factories.make_alice()
    version = traffic.make_watched(
        alice,
        features=["amount", "country"],
        feature_types={"amount": "float", "country": "categorical"},
        task="binary",
        classes=[0, 1],
    )
    give_baseline(version, "at launch")
    watched = Watched(version, Caller(factories.make_api_key(alice)[1]))
    watched.log()
    traffic.live(version)
    seals.seal_due()
    return watched


def give_baseline(version: ModelVersion, label: str) -> Any:
    known = [features(number) for number in range(200)]
    labels = [number % 2 for number in range(200)]
    return baselines.create(
        version,
        features={name: [row[name] for row in known] for name in known[0]},
        labeled={
            "probabilities": [[0.75, 0.25], [0.25, 0.75]] * 100,
            "predictedLabels": labels,
            "actualLabels": labels,
        },
        label=label,
        actor=None,
    )


def faults(*arguments: str) -> list[dict[str, str]]:
    """Return what the command finds; it fails exactly if that is anything."""
    out = StringIO()
    status = 0
    try:
        call_command("fsck", "--json", *arguments, stdout=out)
    except CommandError as error:
        status = error.returncode
    *found, last = map(json.loads, out.getvalue().splitlines())
    assert last["checked"]["faults"] == len(found)
    assert status == (1 if found else 0)
    return found


def as_owner(statement: str, *parameters: Any) -> None:
    with connection.cursor() as cursor:
        cursor.execute("SET CONSTRAINTS ALL IMMEDIATE")
        cursor.execute("SET LOCAL ROLE driftguard_owner")
        # A foreign key is no obstacle to whoever owns the tables.
        cursor.execute(statement, parameters)
        assert cursor.rowcount != 0
        cursor.execute("SET CONSTRAINTS ALL IMMEDIATE")
        cursor.execute("SET LOCAL ROLE driftguard_app")


def test_where_all_agrees_nothing_is_found(watched: Watched) -> None:
    out = StringIO()
    call_command("fsck", stdout=out)
    assert out.getvalue().startswith("1 organizations, 2 receipts, 120 rows, 3 hours")
    assert ", 0 waiting, 0 faults" in out.getvalue()


def test_corrections_quarantines_and_other_baselines_agree_too(
    watched: Watched,
) -> None:
    version = watched.version
    first = Receipt.objects.get(kind=Receipt.Kind.PREDICTIONS)
    traffic.count_all()
    watched.call.post(
        "/api/v1/drift/ground-truth",
        {"modelId": version.model.slug, "entityId": "02 7", "actualOutcome": "0"},
    )
    watched.log(10, START + dt.timedelta(days=1))
    later = give_baseline_of_ones(version)
    baselines.activate(later, actor=None)
    traffic.live(version)
    assert faults() == []
    quarantine.quarantine(
        version.model,
        api_key=None,
        received_from=first.received_at,
        received_until=first.received_at + dt.timedelta(microseconds=1),
        reason="A load test.",
        actor=None,
    )
    # It is about to be taken out: what it touches is not compared yet.
    assert faults() == []
    traffic.live(version)
    assert faults() == []


def give_baseline_of_ones(version: ModelVersion) -> Any:
    values = {"amount": [1.0, 2.0, 3.0] * 20, "country": ["DE", "NO", None] * 20}
    return baselines.create(version, features=values, label="other", actor=None)


def test_a_baseline_that_comes_back_has_what_came_in_meanwhile(
    watched: Watched,
) -> None:
    version = watched.version
    first = version.baselines.get()
    baselines.activate(give_baseline_of_ones(version), actor=None)
    traffic.live(version)
    watched.call.post(
        "/api/v1/drift/ground-truth",
        {"modelId": version.model.slug, "entityId": "02 7", "actualOutcome": "0"},
    )
    traffic.live(version)
    baselines.activate(first, actor=None)
    traffic.live(version)
    assert faults() == []


PREDICTION, RECEIPT, LABEL, PROFILE, SEGMENT = (
    model._meta.db_table
    for model in (Prediction, Receipt, GroundTruth, Profile, Segment)
)
ONE = "(SELECT min(id::text)::uuid FROM {})"
BROKEN = [
    # What is broken, and where and as what it is found.
    (
        f"DELETE FROM {PREDICTION} WHERE id = {ONE.format(PREDICTION)}",
        {
            RECEIPT: "says 60 rows, 59 are there",
            SEGMENT: "holds 20 rows of 19",
            PROFILE: "counts 20 rows, 19 are there",
        },
    ),
    (
        f"UPDATE {PREDICTION} SET features = replace(features, 'DE', 'DK') "
        f"WHERE id = {ONE.format(PREDICTION)}",
        {RECEIPT: "their digest is another", PROFILE: "column country: cell"},
    ),
    (
        f"UPDATE {PREDICTION} SET latency_ms = 4 WHERE id = {ONE.format(PREDICTION)}",
        {RECEIPT: "their digest is another"},
    ),
    (
        f"UPDATE {RECEIPT} SET last_id = first_id WHERE kind = 'predictions'",
        {
            RECEIPT: "says 60 rows, 1 are there",
            PREDICTION: "doesn't cover it",
            # Its seal says something else.
            "governance_auditentry": "tampered",
        },
    ),
    (
        f"UPDATE {LABEL} SET outcome = '5' WHERE id = {ONE.format(LABEL)}",
        {RECEIPT: "their digest is another", PROFILE: "outcomes: cell"},
    ),
    (
        f"DELETE FROM {LABEL} WHERE id = {ONE.format(LABEL)}",
        {RECEIPT: "says 60 rows, 59 are there", PROFILE: "counts 20 labels, 19 are"},
    ),
    (
        f"UPDATE {PROFILE} SET rows = rows + 1 "
        f"WHERE id = (SELECT min(id) FROM {PROFILE} WHERE period = 'hour')",
        {PROFILE: "counts 21 rows, 20 are there"},
    ),
    (
        f"UPDATE {PROFILE} SET columns = other.columns FROM {PROFILE} AS other "
        f"WHERE {PROFILE}.id = (SELECT min(id) FROM {PROFILE} WHERE period = 'hour') "
        "AND other.id <> monitoring_profile.id AND other.period = 'hour'",
        {PROFILE: "column amount: cell"},
    ),
    (
        f"DELETE FROM {PROFILE} WHERE id = (SELECT min(id) FROM {PROFILE})",
        {PROFILE: "is missing, of 20 rows"},
    ),
    (
        f"INSERT INTO {PROFILE} (organization_id, version_id, baseline_id, period, "
        "start, rows, labels, columns, outcomes, ranges, revision, updated_at) "
        "SELECT organization_id, version_id, baseline_id, 'day', "
        "date_trunc('day', start, 'UTC'), rows, labels, columns, outcomes, ranges, 1, "
        f"updated_at FROM {PROFILE} WHERE id = (SELECT min(id) FROM {PROFILE})",
        {PROFILE: "counts 20 rows, 60 are there"},
    ),
    (
        f"DELETE FROM {SEGMENT} WHERE id = (SELECT min(id) FROM {SEGMENT})",
        {SEGMENT: "holds 0 rows of 20 predictions"},
    ),
    (
        f"UPDATE {SEGMENT} SET rows = rows + 1",
        {SEGMENT: "says 21 rows, 20 are there"},
    ),
    (
        f"UPDATE {SEGMENT} SET data = other.data FROM {SEGMENT} AS other "
        f"WHERE other.hour > {SEGMENT}.hour",
        {SEGMENT: "holds rows that are no predictions"},
    ),
    (
        "DELETE FROM monitoring_profiledreceipt",
        {PROFILE: "counts 20 rows, 0 are there"},
    ),
    (
        "ALTER TABLE governance_auditentry DISABLE TRIGGER USER; "
        "UPDATE governance_auditentry SET action = 'nothing' WHERE seq = 2",
        {"governance_auditentry": "tampered"},
    ),
]


@pytest.mark.parametrize(("statement", "found"), BROKEN)
def test_what_is_broken_is_found(
    watched: Watched, statement: str, found: dict[str, str]
) -> None:
    # Days are merged when they are read; only one of these cases is about them.
    Profile.objects.filter(period=Profile.Period.DAY).delete()
    as_owner(statement)
    there = faults("--organization", watched.organization.slug)
    for table, what in found.items():
        assert any(one["table"] == table and what in one["what"] for one in there), (
            there
        )
    assert {one["table"] for one in there} == set(found)


def test_every_reference_between_tables_of_organizations_is_looked_at() -> None:
    known = {(one.table, one.column) for one in references.all_of_them()}
    assert ("monitoring_prediction", "receipt_id") in known
    assert ("monitoring_prediction", "organization_id") in known
    assert ("governance_approvalvote", "delegation_id") in known
    assert ("governance_modelversion", "created_by_id") not in known
    assert len(known) > 70
    # Relations of many to many would need a look of their own.
    owned = [one for one in apps.get_models() if references.is_owned(one)]
    assert not [one for one in owned if one._meta.many_to_many]


def test_a_reference_into_another_organization_is_found(watched: Watched) -> None:
    charlie = factories.make_charlie()
    theirs = factories.make_version(charlie)
    as_owner(
        "UPDATE monitoring_segment SET model_id = %s "
        "WHERE id = (SELECT min(id) FROM monitoring_segment)",
        theirs.model_id,
    )
    [found] = faults()
    assert found["table"] == "monitoring_segment"
    assert f"model_id {theirs.model_id} to organization" in found["what"]


def test_a_reference_to_nothing_is_found_where_no_constraint_forbids_it(
    watched: Watched,
) -> None:
    as_owner("UPDATE monitoring_prediction SET model_id = 987654321")
    found = [one for one in faults() if one["table"] == "monitoring_prediction"]
    dangling = [one for one in found if "is no row of" in one["what"]]
    assert len(dangling) == ROWS


def test_only_the_organization_that_was_named_is_looked_at(watched: Watched) -> None:
    charlie = factories.make_charlie()
    as_owner("DELETE FROM monitoring_segment")
    assert faults("--organization", charlie.organization.slug) == []
    with pytest.raises(CommandError, match="There is no organization 'nobody'"):
        call_command("fsck", "--organization", "nobody")
