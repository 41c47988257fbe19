"""Predictions know what was deployed, and what let it, at the time they were made."""

import csv
import io
from datetime import datetime, timedelta

import pytest
from django.utils import timezone

from governance.actions import deployments, intakes, overrides, retirement
from governance.actions.override_checks import Terms
from governance.models import (
    AuditEntry,
    Finding,
    ModelVersion,
    Override,
    RegisteredModel,
)
from monitoring.actions import profiles
from monitoring.ingest import catalog
from monitoring.models import Prediction
from tests import factories
from tests.factories import Person
from tests.governance.api import api_of, signed_in
from tests.governance.deploying import (
    REASON,
    fresh,
    make_approved,
    make_ready,
    measure,
    move,
)
from tests.monitoring.calls import Caller
from tests.monitoring.test_predictions import MANY, ONE, row

pytestmark = pytest.mark.django_db


@pytest.fixture
def alice() -> Person:
    return factories.make_alice()


@pytest.fixture
def bob(alice: Person) -> Person:
    return factories.make_bob(alice.organization)


@pytest.fixture
def call(alice: Person) -> Caller:
    return Caller(factories.make_api_key(alice)[1])


def adopt(version: ModelVersion, person: Person, since: datetime, where: str):
    adoption = intakes.Adoption(version, where, since=since)
    (made,) = intakes.adopt([adoption], reason="Was there.", actor=person.actor)
    return made


def under_override(version: ModelVersion, alice: Person, bob: Person) -> Override:
    override = overrides.propose(
        version,
        environment="production",
        terms=Terms(["R7"], REASON),
        actor=alice.actor,
    )
    overrides.approve(override, reason="Small.", actor=bob.actor)
    catalog.forget()
    return Override.objects.get(pk=override.pk)


class TestTheDefaultVersion:
    def test_it_is_what_was_deployed_in_the_senders_environment_then(
        self, alice: Person, call: Caller
    ) -> None:
        now = timezone.now()
        old = make_ready(alice)
        first = adopt(old, alice, now - timedelta(days=9), "production")
        new = make_approved(alice, version="2.0.0")
        second = deployments.deploy(new, environment="production", actor=alice.actor)
        move(first, ended_at=now - timedelta(days=3))
        move(second, started_at=now - timedelta(days=3))
        tried = make_ready(alice, version="3.0.0")
        adopt(tried, alice, now - timedelta(days=9), "staging")
        catalog.forget()
        staging = Caller(factories.make_api_key(alice, environment="staging")[1])

        def version_at(days: float, caller: Caller = call) -> str:
            moment = (now - timedelta(days=days)).isoformat()
            body = row(model_id=old.model_id, timestamp=moment)
            assert caller.post(ONE, body)[0] == 201
            return Prediction.objects.latest("id").version.version

        assert version_at(0) == "2.0.0"
        assert version_at(2.999) == "2.0.0"
        assert version_at(3.001) == "1.0.0"
        assert version_at(8) == "1.0.0"
        assert version_at(2, staging) == "3.0.0"
        # A file knows each row's own time.
        rows = [
            row(timestamp=(now - timedelta(days=days)).isoformat())
            for days in (1, 5, 2, 8)
        ]
        call.post(MANY, {"model_id": old.model_id, "predictions": rows})
        stored = Prediction.objects.order_by("-id")[:4]
        assert [one.version.version for one in reversed(stored)] == [
            "2.0.0",
            "1.0.0",
            "2.0.0",
            "1.0.0",
        ]

    def test_a_named_version_stays(self, alice: Person, call: Caller) -> None:
        old = make_ready(alice)
        adopt(old, alice, timezone.now() - timedelta(days=9), "production")
        make_ready(alice, version="2.0.0")
        catalog.forget()
        call.post(ONE, row(model_id=old.model_id, model_version="2.0.0"))
        assert Prediction.objects.get().version.version == "2.0.0"

    def test_before_anything_was_deployed_it_is_as_before(
        self, alice: Person, call: Caller
    ) -> None:
        old = make_ready(alice)
        newer = make_ready(alice, version="2.0.0")
        adopt(old, alice, timezone.now() - timedelta(days=1), "production")
        catalog.forget()
        moment = (timezone.now() - timedelta(days=2)).isoformat()
        call.post(ONE, row(model_id=old.model_id, timestamp=moment))
        assert Prediction.objects.get().version == newer


class TestOverrides:
    @pytest.fixture
    def version(self, alice: Person, bob: Person) -> ModelVersion:
        return measure(make_approved(alice), ratio=0.5)

    def test_a_prediction_made_meanwhile_bears_it_whenever_it_arrives(
        self, version: ModelVersion, alice: Person, bob: Person, call: Caller
    ) -> None:
        override = under_override(version, alice, bob)
        start = timezone.now() - timedelta(hours=5)
        move(
            override,
            requested_at=start,
            decided_at=start,
            activated_at=start,
            expires_at=start + timedelta(hours=2),
        )
        catalog.forget()

        def borne(hours: float, caller: Caller = call) -> int | None:
            moment = (start + timedelta(hours=hours)).isoformat()
            body = row(model_id=version.model_id, timestamp=moment)
            assert caller.post(ONE, body)[0] == 201
            return Prediction.objects.latest("id").override_id

        assert borne(-0.001) is None
        assert borne(0) == override.pk
        assert borne(1.999) == override.pk
        assert borne(2) is None
        staging = Caller(factories.make_api_key(alice, environment="staging")[1])
        assert borne(1, staging) is None
        # Revoked before its time, it was in force until then.
        move(override, ended_at=start + timedelta(hours=1), status="revoked")
        catalog.forget()
        assert borne(0.999) == override.pk
        assert borne(1) is None

    def test_one_that_somebody_may_grant_at_any_moment_is_soon_known(
        self, version: ModelVersion, alice: Person, bob: Person, call: Caller
    ) -> None:
        override = overrides.propose(
            version,
            environment="production",
            terms=Terms(["R7"], REASON),
            actor=alice.actor,
        )
        # The first is noted as the model's default, which forgets everything.
        for _ in range(2):
            call.post(ONE, row(model_id=version.model_id))
        good_until, _ = catalog._models[version.organization_id, str(version.model_id)]
        overrides.approve(override, reason="Small.", actor=bob.actor)
        catalog.forget()
        call.post(ONE, row(model_id=version.model_id))
        later, _ = catalog._models[version.organization_id, str(version.model_id)]
        assert later - good_until > 3
        assert Prediction.objects.latest("id").override_id == override.pk

    def test_all_of_them_are_one_query_page_and_file(
        self,
        version: ModelVersion,
        alice: Person,
        bob: Person,
        call: Caller,
        django_assert_num_queries,
    ) -> None:
        call.post(ONE, row(model_id=version.model_id))
        override = under_override(version, alice, bob)
        for entity in ("client-7", "=HYPERLINK()"):
            call.post(ONE, row(model_id=version.model_id, entity_id=entity))
        with django_assert_num_queries(1):
            found = list(Prediction.objects.filter(override_id=override.pk))
        assert len(found) == 2
        api = signed_in(bob)
        path = f"/api/overrides/{override.pk}/predictions"
        page = api.get(f"{path}?limit=1").json()
        assert page["results"][0]["override_id"] == override.pk
        assert page["results"][0]["verdict"] == "AT_RISK"
        assert page["results"][0]["features"]["age"] == 41
        assert page["next"]
        answer = api.get(f"{path}?csv=true")
        text = b"".join(answer.streaming_content).decode()
        lines = list(csv.DictReader(io.StringIO(text)))
        assert [line["entity_id"] for line in lines] == ["client-7", "'=HYPERLINK()"]
        assert {line["override_id"] for line in lines} == {str(override.pk)}
        assert AuditEntry.objects.filter(action="predictions.exported").count() == 1
        charlie = signed_in(factories.make_charlie())
        assert charlie.get(path).status_code == 404
        status = api.get(f"/api/models/{version.model_id}/status").json()
        assert status["active_override"]["id"] == override.pk
        assert status["active_override"]["rules"] == ["R7"]


class TestStatus:
    def test_it_tells_the_deployment_and_its_fallback(self, alice: Person) -> None:
        version = make_approved(alice)
        api = api_of(alice)
        path = f"/api/models/{version.model_id}/status"
        before = api.get(path).json()
        assert (before["deployment"], before["fallback"]) == (None, None)
        made = deployments.deploy(version, environment="production", actor=alice.actor)
        after = api.get(path).json()
        assert after["status"] == "DEPLOYED"
        assert after["deployment"]["id"] == made.pk
        assert after["deployment"]["state"] == "deployed"
        assert after["fallback"]["kind"] == "manual_review"
        assert api.get(f"{path}?environment=staging").json()["deployment"] is None
        assert api.get(f"{path}?environment=moon").status_code == 422


class TestRetired:
    def test_what_still_comes_is_stored_marked_and_opens_a_finding(
        self, alice: Person, call: Caller
    ) -> None:
        version = make_ready(alice)
        adopt(version, alice, timezone.now() - timedelta(days=9), "production")
        retired_at = timezone.now() - timedelta(hours=1)
        RegisteredModel.objects.filter(pk=version.model_id).update(
            retired_at=retired_at
        )
        catalog.forget()
        for minutes, verdict in ((-1, "NOT_ASSESSED"), (1, "RETIRED")):
            moment = retired_at + timedelta(minutes=minutes)
            body = row(model_id=version.model_id, timestamp=moment.isoformat())
            assert call.post(ONE, body)[0] == 201
            assert Prediction.objects.latest("id").verdict == verdict
        profiles.profile_pending()
        finding = Finding.objects.get(cause="traffic_after_retirement")
        assert finding.severity == "high"
        retirement.note_traffic(fresh(version), retired_at - timedelta(hours=1))
        finding.refresh_from_db()
        assert finding.occurrences == 1
