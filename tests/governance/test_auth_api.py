import time
from io import StringIO
from statistics import median

import pytest
from django.core.management import CommandError, call_command
from django.utils import timezone

from governance.actions import credentials, organizations
from governance.api import auth
from governance.models import (
    ApiKey,
    AuditEntry,
    Membership,
    Organization,
    PolicyVersion,
    TokenSession,
    User,
)
from tests import factories
from tests.governance.api import Api, faults

pytestmark = pytest.mark.django_db
nobody = Api()


@pytest.fixture(autouse=True)
def _quick_failures(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(auth, "FAILURE_SECONDS", 0.0)
    credentials.forget()


def log_in(person: factories.Person, password: str = factories.PASSWORD, **more):
    body = {"username": person.user.email, "password": password, **more}
    return nobody.post("/api/auth/login", body)


def actions_of(organization: Organization) -> list[tuple[str, str]]:
    entries = AuditEntry.objects.for_organization(organization)
    return list(entries.values_list("action", "outcome"))


class TestQuickStart:
    def test_makes_an_organization_and_shows_its_key_once(self) -> None:
        response = nobody.post("/auth/register", {"name": "My Test Company"})
        assert response.status_code == 200
        answer = response.json()
        assert set(answer) == {"id", "name", "slug", "api_key", "owner_link"}
        assert answer["slug"] == "my-test-company"
        key = ApiKey.objects.get()
        assert answer["api_key"].startswith(key.prefix)
        assert set(credentials.SCOPES) - set(key.scopes) == {
            "governance:write",
            "audit:read",
        }
        assert key.owner.is_service
        assert not key.owner.has_usable_password()
        assert PolicyVersion.objects.for_organization(answer["id"]).in_force().exists()
        for headers in (
            {"Authorization": f"Bearer {answer['api_key']}"},
            {"X-API-Key": answer["api_key"]},
        ):
            assert Api(**headers).get("/models").status_code == 200

    def test_two_companies_of_one_name_get_two_slugs(self) -> None:
        bodies = [nobody.post("/auth/register", {"name": "A"}).json() for _ in "12"]
        assert bodies[0]["slug"] == "a"
        assert bodies[1]["slug"].startswith("a-")

    @pytest.mark.parametrize(
        "body", [{}, {"name": ""}, {"name": 5}, {"name": "a", "id": 1}]
    )
    def test_bad_fields_are_named(self, body) -> None:
        assert nobody.post("/auth/register", body).status_code == 422


class TestRegister:
    BODY = {
        "email": "Ada@Example.com",
        "password": "a long enough passphrase",
        "name": "Ada",
    }

    def test_the_longest_name_makes_an_organization_too(self) -> None:
        answer = Api().post("/api/auth/register", {**self.BODY, "name": "n" * 200})
        assert answer.status_code == 201
        assert answer.json()["organization"]["name"].endswith("n's organization")

    def test_makes_a_user_who_owns_an_organization(self) -> None:
        response = nobody.post("/api/auth/register", self.BODY)
        assert response.status_code == 201
        answer = response.json()
        assert set(answer) == {"id", "email", "name", "organization"}
        assert set(answer["organization"]) == {"id", "name", "slug"}
        user = User.objects.get(pk=answer["id"])
        assert user.password.startswith("argon2")
        membership = Membership.objects.get(user=user)
        assert membership.role == "owner"
        assert membership.organization_id == answer["organization"]["id"]

    def test_the_same_address_twice_is_a_conflict(self) -> None:
        nobody.post("/api/auth/register", self.BODY)
        again = {**self.BODY, "email": "ada@example.COM"}
        response = nobody.post("/api/auth/register", again)
        assert response.status_code == 409
        assert Organization.objects.count() == 1

    @pytest.mark.parametrize(
        ("password", "code"),
        [
            ("short", "password_too_short"),
            ("password123", "password_too_common"),
            ("123456789012345", "password_entirely_numeric"),
            ("ada@example.com", "password_too_similar"),
        ],
    )
    def test_a_weak_password_is_refused(self, password: str, code: str) -> None:
        response = nobody.post(
            "/api/auth/register", {**self.BODY, "password": password}
        )
        assert response.status_code == 422
        codes = {(one["loc"][0], one["code"]) for one in response.json()["errors"]}
        assert ("password", code) in codes
        assert not User.objects.exists()

    def test_nobody_gives_themselves_a_role(self) -> None:
        body = {**self.BODY, "role": "owner", "organization": 1, "is_staff": True}
        response = nobody.post("/api/auth/register", body)
        assert set(faults(response)) == {"role", "organization", "is_staff"}

    @pytest.mark.parametrize("path", ["/auth/register", "/api/auth/register"])
    def test_is_closed_where_the_setting_says_so(self, settings, path: str) -> None:
        settings.OPEN_REGISTRATION = False
        response = nobody.post(path, self.BODY)
        assert response.status_code == 403
        assert "manage.py create_organization" in response.json()["detail"]

    def test_one_address_cannot_go_on_forever(self, settings) -> None:
        settings.REGISTRATIONS_PER_HOUR = 1
        assert nobody.post("/auth/register", {"name": "A"}).status_code == 200
        response = nobody.post("/auth/register", {"name": "B"})
        assert response.status_code == 429
        assert 0 < int(response["Retry-After"]) <= 60 * 60


class TestLogin:
    def test_gives_tokens_that_work_for_30_days(self) -> None:
        alice = factories.make_alice()
        response = log_in(alice)
        assert response.status_code == 200
        answer = response.json()
        assert set(answer) == {
            "access_token",
            "token_type",
            "expires_in",
            "refresh_token",
        }
        assert answer["token_type"] == "bearer"
        assert answer["expires_in"] == 30 * 24 * 3600
        assert Api(answer["access_token"]).get("/api/models").status_code == 200
        assert Api(answer["refresh_token"]).get("/api/models").status_code == 401
        assert actions_of(alice.organization)[0] == ("session.started", "done")

    def test_an_address_is_one_however_it_is_capitalised(self) -> None:
        alice = factories.make_alice()
        body = {"username": alice.user.email.upper(), "password": factories.PASSWORD}
        assert nobody.post("/api/auth/login", body).status_code == 200

    def test_wrong_ones_all_look_the_same(self) -> None:
        alice = factories.make_alice()
        gone = factories.make_alice()
        User.objects.filter(pk=gone.user.pk).update(is_active=False)
        service = factories.make_user(is_service=True)
        service.set_unusable_password()
        service.save()
        stranger = {"username": "nobody@example.com", "password": factories.PASSWORD}
        responses = [
            log_in(alice, "wrong"),
            log_in(gone),
            log_in(factories.Person(service, alice.organization)),
            nobody.post("/api/auth/login", stranger),
        ]
        assert {response.status_code for response in responses} == {401}
        assert len({response.content for response in responses}) == 1
        assert actions_of(alice.organization)[0] == ("session.started", "failed")

    def test_an_unknown_user_takes_as_long(self, monkeypatch) -> None:
        monkeypatch.setattr(auth, "FAILURE_SECONDS", 0.3)
        alice = factories.make_alice()
        unknown = {"username": "nobody@example.com", "password": "x"}

        def seconds(attempt) -> float:
            started = time.perf_counter()
            assert attempt().status_code == 401
            return time.perf_counter() - started

        known = median(seconds(lambda: log_in(alice, "wrong")) for _ in range(3))
        other = median(
            seconds(lambda: nobody.post("/api/auth/login", unknown)) for _ in range(3)
        )
        assert known >= 0.3
        assert other >= 0.3

    def test_repeated_failures_lock_even_the_right_password_out(self, settings) -> None:
        settings.AXES_FAILURE_LIMIT = 3
        alice = factories.make_alice()
        for _ in range(2):
            assert log_in(alice, "wrong").status_code == 401
        # The one that reaches the limit says so already.
        assert log_in(alice, "wrong").status_code == 429
        response = log_in(alice)
        assert response.status_code == 429
        assert int(response["Retry-After"]) > 0
        assert response["Content-Type"] == "application/problem+json"

    def test_success_forgets_failures(self, settings) -> None:
        settings.AXES_FAILURE_LIMIT = 3
        alice = factories.make_alice()
        for _ in range(3):
            assert log_in(alice, "wrong").status_code == 401
            assert log_in(alice).status_code == 200

    def test_an_account_is_throttled_from_everywhere(self, monkeypatch) -> None:
        monkeypatch.setattr(auth, "LOGINS_PER_ACCOUNT", (2, 60))
        alice = factories.make_alice()
        answers = [log_in(alice).status_code for _ in range(3)]
        assert answers == [200, 200, 429]

    def models_seen(self, token: str) -> list[str]:
        models = Api(token).get("/api/models").json()["results"]
        return [one["model_name"] for one in models]

    def test_a_member_of_several_names_one(self) -> None:
        alice, charlie = factories.make_alice(), factories.make_charlie()
        factories.make_member(charlie.organization, "auditor", alice.user)
        factories.make_model(charlie, name="Theirs")
        token = log_in(alice, organization=charlie.organization.slug).json()
        assert self.models_seen(token["access_token"]) == ["Theirs"]

    def test_joining_elsewhere_leads_no_login_away_from_home(self) -> None:
        alice, charlie = factories.make_alice(), factories.make_charlie()
        factories.make_model(alice, name="Ours")
        factories.make_member(charlie.organization, "auditor", alice.user)
        # Not even another role at home, which replaces the one that came first.
        first = Membership.objects.get(user=alice.user, role="owner")
        factories.make_member(alice.organization, "owner")
        factories.make_member(alice.organization, "model_owner", alice.user)
        organizations.end_member(first, actor=None)
        token = log_in(alice).json()
        assert self.models_seen(token["access_token"]) == ["Ours"]

    def test_who_left_home_for_several_names_one(self) -> None:
        alice = factories.make_alice()
        factories.make_member(alice.organization, "owner")
        others = [factories.make_charlie().organization for _ in range(2)]
        factories.make_member(others[0], "auditor", alice.user)
        organizations.end_member(
            Membership.objects.get(user=alice.user, role="owner"), actor=None
        )
        assert log_in(alice).status_code == 200
        factories.make_member(others[1], "auditor", alice.user)
        response = log_in(alice)
        assert response.status_code == 409
        assert response.json()["code"] == "organization_required"
        assert set(response.json()["organizations"]) == {one.slug for one in others}

    def test_nobody_signs_in_to_a_strange_organization(self) -> None:
        alice, charlie = factories.make_alice(), factories.make_charlie()
        response = log_in(alice, organization=charlie.organization.slug)
        missing = log_in(alice, organization="missing")
        assert response.status_code == missing.status_code == 403
        assert response.content == missing.content


class TestRefresh:
    def refresh(self, token: str):
        return nobody.post("/api/auth/refresh", {"refresh_token": token})

    def test_rotates(self) -> None:
        first = log_in(factories.make_alice()).json()
        response = self.refresh(first["refresh_token"])
        assert response.status_code == 200
        second = response.json()
        assert second["refresh_token"] != first["refresh_token"]
        assert Api(second["access_token"]).get("/api/models").status_code == 200
        assert self.refresh(second["refresh_token"]).status_code == 200

    def test_a_used_one_ends_the_session(self) -> None:
        alice = factories.make_alice()
        first = log_in(alice).json()
        second = self.refresh(first["refresh_token"]).json()
        assert Api(second["access_token"]).get("/api/models").status_code == 200
        assert self.refresh(first["refresh_token"]).status_code == 401
        assert self.refresh(second["refresh_token"]).status_code == 401
        credentials.forget()
        assert Api(second["access_token"]).get("/api/models").status_code == 401
        assert ("session.ended", "done") in actions_of(alice.organization)

    def test_needs_a_refresh_token(self) -> None:
        first = log_in(factories.make_alice()).json()
        assert self.refresh(first["access_token"]).status_code == 401
        assert self.refresh("x").status_code == 401
        assert nobody.post("/api/auth/refresh", {}).status_code == 422

    def test_ends_with_the_membership(self) -> None:
        alice = factories.make_alice()
        first = log_in(alice).json()
        Membership.objects.filter(user=alice.user).update(ended_at=timezone.now())
        assert self.refresh(first["refresh_token"]).status_code == 401


class TestLogout:
    def test_ends_the_session(self) -> None:
        alice = factories.make_alice()
        first = log_in(alice).json()
        body = {"refresh_token": first["refresh_token"]}
        assert nobody.post("/api/auth/logout", body).status_code == 204
        assert TokenSession.objects.get().revoked_at is not None
        credentials.forget()
        assert Api(first["access_token"]).get("/api/models").status_code == 401
        assert nobody.post("/api/auth/refresh", body).status_code == 401
        assert nobody.post("/api/auth/logout", body).status_code == 204


class TestCommand:
    def test_prints_the_key_once(self) -> None:
        out = StringIO()
        call_command("create_organization", "Bank", "--owner=b@example.com", stdout=out)
        text = out.getvalue().split("once): ")[1].split()[0]
        assert credentials.authenticate(text, None, ip="", request_id="")
        owner = User.objects.get(email="b@example.com")
        assert not owner.has_usable_password()
        assert credentials.roles_of(owner.pk, Organization.objects.get().pk) == {
            "owner"
        }

    def test_a_weak_password_makes_nothing(self) -> None:
        with pytest.raises(CommandError, match="too short"):
            call_command(
                "create_organization", "Bank", "--owner=b@example.com", "--password=x"
            )
        assert not Organization.objects.exists()
