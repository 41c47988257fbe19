"""A permit says that a version may serve; a service checks it by itself."""

import base64
import json
from datetime import timedelta

import pytest
from django.test import Client
from django.utils import timezone
from driftguard_client.permit import PermitError, check_permit

from governance.actions import (
    blocks,
    deployments,
    permits,
    retirement,
    submissions,
    suspensions,
)
from governance.exceptions import PermitRefusedError
from governance.models import Deployment, ModelVersion, Notification
from tests import factories
from tests.factories import Person
from tests.governance import policies
from tests.governance.api import Api, api_of, signed_in
from tests.governance.deploying import again, fresh, make_approved, measure

pytestmark = pytest.mark.django_db


@pytest.fixture
def alice() -> Person:
    return factories.make_alice()


@pytest.fixture
def version(alice: Person) -> ModelVersion:
    return make_approved(alice)


@pytest.fixture
def deployed(version: ModelVersion, alice: Person) -> Deployment:
    return deployments.deploy(version, environment="production", actor=alice.actor)


def path_of(version: ModelVersion) -> str:
    return f"/api/models/{version.model.slug}/permit"


class TestIssuing:
    def test_a_service_checks_it_without_us(
        self, deployed: Deployment, alice: Person
    ) -> None:
        version = deployed.version
        answer = api_of(alice, scopes=["models:read"]).get(path_of(version)).json()
        keys = Client().get("/api/permit-keys").json()  # needs no credential
        found = check_permit(
            answer["permit"], keys, version="1.0.0", environment="production"
        )
        assert found.claims == answer["claims"]
        assert found.model == version.model.slug
        assert found.status == "NOT_ASSESSED"
        assert found.claims["deployment"] == deployed.pk
        assert found.claims["policy"]["hash"] == deployed.policy_version.content_hash
        assert found.claims["fallback"]["kind"] == "manual_review"
        left = found.expires_at - timezone.now().timestamp()
        assert 290 < left <= 300
        header = json.loads(
            base64.urlsafe_b64decode(answer["permit"].split(".")[0] + "==")
        )
        assert header == {
            "alg": "EdDSA",
            "kid": keys["keys"][0]["kid"],
            "typ": "driftguard-permit+jwt",
        }
        with pytest.raises(PermitError):
            check_permit(answer["permit"], keys, version="2.0.0")
        head, _, signature = answer["permit"].split(".")
        forged = (
            base64.urlsafe_b64encode(
                json.dumps({**found.claims, "version": "2.0.0"}).encode()
            )
            .decode()
            .rstrip("=")
        )
        with pytest.raises(PermitError):
            check_permit(f"{head}.{forged}.{signature}", keys)

    def test_it_is_for_the_keys_environment_unless_another_is_named(
        self, deployed: Deployment, alice: Person
    ) -> None:
        path = path_of(deployed.version)
        staging = api_of(alice, environment="staging")
        refused = staging.get(path)
        assert refused.status_code == 409
        assert refused.json()["state"] == "not_deployed"
        assert staging.get(f"{path}?environment=production").status_code == 200
        assert staging.get(f"{path}?environment=moon").status_code == 422


class TestRefusing:
    def refusal(self, api: Api, version: ModelVersion) -> dict:
        response = api.get(path_of(version))
        assert response.status_code == 409
        problem = response.json()
        assert problem["code"] == "permit_refused"
        assert problem["next"]
        return problem

    def test_what_is_suspended(self, deployed: Deployment, alice: Person) -> None:
        suspensions.suspend(deployed, reason="All refused.", actor=alice.actor)
        problem = self.refusal(api_of(alice), deployed.version)
        assert problem["state"] == "suspended"
        assert problem["fallback"]["kind"] == "manual_review"
        assert "All refused." in problem["detail"]

    def test_what_is_blocked(self, deployed: Deployment, alice: Person) -> None:
        measure(deployed.version, drift=0.9)
        problem = self.refusal(api_of(alice), deployed.version)
        assert problem["state"] == "blocked"
        assert "age PSI 0.9" in problem["detail"]

    def test_at_risk_goes_on(self, deployed: Deployment, alice: Person) -> None:
        measure(deployed.version, ratio=0.5)
        permit = permits.issue(deployed.version.model, "production")
        assert permit.claims["status"] == "AT_RISK"

    def test_what_was_never_deployed(
        self, version: ModelVersion, alice: Person
    ) -> None:
        problem = self.refusal(api_of(alice), version)
        assert (problem["state"], problem["fallback"]) == ("not_deployed", None)

    def test_what_is_retired(self, deployed: Deployment, alice: Person) -> None:
        retire(deployed.version, alice)
        problem = self.refusal(api_of(alice), deployed.version)
        assert problem["state"] == "retired"
        assert problem["version"] == "1.0.0"

    def test_another_organizations(self, deployed: Deployment) -> None:
        charlie = api_of(factories.make_charlie())
        assert charlie.get(path_of(deployed.version)).status_code == 404


def retire(version: ModelVersion, person: Person) -> None:
    request = submissions.submit_retirement(
        version.model, reason="Replaced by a rule.", actor=person.actor
    )
    for voter in factories.voting(person.organization):
        request.refresh_from_db()
        if request.status == "pending":
            factories.vote(request, voter)
    request.refresh_from_db()
    assert request.status == "applied"


class TestRetiring:
    def test_everything_of_the_model_ends_and_its_history_stays(
        self, deployed: Deployment, alice: Person
    ) -> None:
        version = deployed.version
        retire(version, alice)
        made = again(deployed)
        assert (made.state, made.end) == ("retired", "retired")
        assert fresh(version).status == "retired"
        assert Notification.objects.filter(event="deployment.retired").exists()
        api = signed_in(alice)
        refused = api.post(f"/api/models/{version.model_id}/deploy", {})
        assert refused.status_code == 409
        assert "retired" in refused.json()["detail"]
        rows = api.get(f"/api/models/{version.model_id}/deployments").json()["results"]
        assert [row["end"] for row in rows] == ["retired"]

    def test_a_model_is_not_retired_without_the_request(
        self, deployed: Deployment, alice: Person
    ) -> None:
        request = deployed.approval
        assert request is not None
        with pytest.raises(Exception, match="approved request"):
            retirement.retire(deployed.version.model, under=request, actor=alice.actor)
        assert again(deployed).is_live


class TestBlockedByPolicy:
    """What BLOCKED does, as the policy says for the tier."""

    def set_reaction(self, person: Person, **reaction: object) -> None:
        policies.publish(person.organization, blocked={"high": reaction})

    def test_it_pages_once_for_each_time(
        self, deployed: Deployment, alice: Person
    ) -> None:
        assert blocks.sweep() == 0
        measure(deployed.version, drift=0.9)
        assert blocks.sweep() == 1
        assert blocks.sweep() == 0
        told = Notification.objects.get(event="deployment.blocked")
        assert told.payload["urgency"] == "page"
        measure(deployed.version, times=3)
        assert blocks.sweep() == 0
        measure(deployed.version, drift=0.9)
        assert blocks.sweep() == 1
        assert again(deployed).is_live

    def test_it_suspends_after_so_many_evaluations(
        self, deployed: Deployment, alice: Person
    ) -> None:
        self.set_reaction(alice, action="suspend", after_evaluations=3)
        measure(deployed.version, drift=0.9, times=2)
        blocks.sweep()
        assert again(deployed).is_live
        measure(deployed.version, drift=0.9, times=1)
        blocks.sweep()
        made = again(deployed)
        assert (made.suspension, made.suspended_label) == ("policy", "DriftGuard")
        assert "Blocked in 3 evaluations" in made.suspension_reason
        assert fresh(deployed.version).status == "suspended"

    def test_a_recovery_in_between_begins_the_count_anew(
        self, deployed: Deployment, alice: Person
    ) -> None:
        self.set_reaction(alice, action="suspend", after_evaluations=3)
        measure(deployed.version, drift=0.9, times=2)
        measure(deployed.version, times=3)
        measure(deployed.version, drift=0.9, times=2)
        blocks.sweep()
        assert again(deployed).is_live


def test_permits_end_with_what_they_rest_on(
    deployed: Deployment, version: ModelVersion
) -> None:
    permit = permits.issue(version.model, "production")
    assert permit.expires_at - timezone.now() <= timedelta(minutes=5)
    with pytest.raises(PermitRefusedError):
        permits.issue(version.model, "staging")
