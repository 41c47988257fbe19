import time
from datetime import timedelta
from uuid import uuid4

import jwt
import pytest
from django.conf import settings
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from governance import keys, tokens
from governance.actions import credentials, organizations
from governance.exceptions import NotAuthenticatedError, PermissionDeniedError
from governance.models import ApiKey, Membership, TokenSession
from tests import factories

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def _empty_cache() -> None:
    credentials.forget()


def authenticate(authorization: str | None = None, x_api_key: str | None = None):
    return credentials.authenticate(
        authorization, x_api_key, ip="192.0.2.7", request_id="r-1"
    )


def make_session(person: factories.Person, **fields) -> TokenSession:
    return TokenSession.objects.create(
        organization=person.organization,
        user=person.user,
        **{"expires_at": timezone.now() + timedelta(days=1), **fields},
    )


def claims_of(session: TokenSession, **changes) -> tokens.Claims:
    fields = {
        "kind": tokens.ACCESS,
        "user_id": session.user_id,
        "session_id": session.pk,
        "token_id": uuid4(),
        "expires_at": timezone.now() + timedelta(hours=1),
    }
    return tokens.Claims(**{**fields, **changes})


class TestHeaders:
    @pytest.mark.parametrize(
        "spelling",
        ["Bearer {}", "bearer {}", "Bearer Bearer {}", " Bearer   {} ", "{}"],
    )
    def test_authorization_in_every_spelling(self, spelling: str) -> None:
        alice = factories.make_alice()
        key, text = factories.make_api_key(alice)
        assert authenticate(spelling.format(text)).api_key_id == key.pk

    def test_x_api_key(self) -> None:
        key, text = factories.make_api_key(factories.make_alice())
        assert authenticate(None, text).api_key_id == key.pk
        assert authenticate("Basic abc", f" {text} ").api_key_id == key.pk

    @pytest.mark.parametrize(
        ("authorization", "x_api_key"),
        [(None, None), ("", ""), ("Bearer", None), ("Bearer a b", None), ("x", " ")],
    )
    def test_without_a_credential(self, authorization, x_api_key) -> None:
        with pytest.raises(NotAuthenticatedError):
            authenticate(authorization, x_api_key)

    def test_a_bad_bearer_is_not_made_good_by_the_other_header(self) -> None:
        _, text = factories.make_api_key(factories.make_alice())
        with pytest.raises(NotAuthenticatedError):
            authenticate("Bearer nonsense", text)


class TestKey:
    def test_says_for_whom_it_acts(self) -> None:
        alice = factories.make_alice()
        key, text = factories.make_api_key(
            alice, scopes=["mlops:write"], environment="staging"
        )
        found = authenticate(f"Bearer {text}")
        assert found.organization_id == alice.organization.pk
        assert found.environment == "staging"
        assert found.user_id == alice.user.pk
        assert found.roles == frozenset()
        assert (found.actor.type, found.actor.id) == ("api_key", str(key.pk))
        assert found.actor.key_prefix == key.prefix
        assert (found.actor.ip, found.actor.request_id) == ("192.0.2.7", "r-1")

    def test_who_may_write_may_read_and_nothing_else(self) -> None:
        _, text = factories.make_api_key(factories.make_alice(), scopes=["mlops:write"])
        found = authenticate(text)
        assert found.scopes == {"mlops:write", "mlops:read"}
        found.require("mlops:read")
        with pytest.raises(PermissionDeniedError, match="models:read"):
            found.require("models:read")

    def test_a_mistyped_one_costs_no_query(self) -> None:
        _, text = factories.make_api_key(factories.make_alice())
        with (
            CaptureQueriesContext(
                connection,
            ) as queries,
            pytest.raises(NotAuthenticatedError),
        ):
            authenticate(text[:-1] + ("0" if text[-1] != "0" else "1"))
        assert len(queries) == 0

    def test_one_with_the_same_prefix_is_refused(self) -> None:
        key, _ = factories.make_api_key(factories.make_alice())
        forged = f"{key.prefix}_{'0' * 32}"
        with pytest.raises(NotAuthenticatedError):
            authenticate(forged + keys._checksum(forged))

    def test_a_known_one_costs_no_query(self) -> None:
        _, text = factories.make_api_key(factories.make_alice())
        authenticate(text)
        with CaptureQueriesContext(connection) as queries:
            authenticate(text)
        assert len(queries) == 0

    def test_an_expired_one_is_refused_even_if_it_is_known(self) -> None:
        _, text = factories.make_api_key(
            factories.make_alice(), expires_at=timezone.now() + timedelta(seconds=0.2)
        )
        authenticate(text)
        time.sleep(0.25)
        with pytest.raises(NotAuthenticatedError):
            authenticate(text)
        credentials.forget()
        with pytest.raises(NotAuthenticatedError):
            authenticate(text)

    def test_a_revoked_one_dies_within_five_seconds_everywhere(self) -> None:
        key, text = factories.make_api_key(factories.make_alice())
        authenticate(text)
        # Another process revokes it: this one's cache is not told.
        ApiKey.objects.filter(pk=key.pk).update(revoked_at=timezone.now())
        assert credentials.CACHE_SECONDS < 5
        time.sleep(credentials.CACHE_SECONDS + 0.05)
        with pytest.raises(NotAuthenticatedError):
            authenticate(text)

    def test_it_ends_with_its_owner(self) -> None:
        alice = factories.make_alice()
        _, text = factories.make_api_key(alice)
        alice.user.is_active = False
        alice.user.save()
        with pytest.raises(NotAuthenticatedError):
            authenticate(text)

    def test_it_ends_with_its_owners_membership(self) -> None:
        alice = factories.make_alice()
        bob = factories.make_bob(alice.organization)
        _, text = factories.make_api_key(bob)
        membership = Membership.objects.get(user=bob.user)
        organizations.end_member(membership, actor=alice.actor)
        with pytest.raises(NotAuthenticatedError):
            authenticate(text)

    def test_its_use_is_noted_once_a_minute(self) -> None:
        key, text = factories.make_api_key(factories.make_alice())
        authenticate(text)
        key.refresh_from_db()
        first = key.last_used_at
        assert first is not None
        credentials.forget()
        authenticate(text)
        key.refresh_from_db()
        assert key.last_used_at == first
        long_ago = timezone.now() - timedelta(minutes=2)
        ApiKey.objects.filter(pk=key.pk).update(last_used_at=long_ago)
        credentials.forget()
        authenticate(text)
        key.refresh_from_db()
        assert key.last_used_at > long_ago


class TestToken:
    def test_acts_in_the_roles_of_its_user(self) -> None:
        alice = factories.make_alice()
        bob = factories.make_bob(alice.organization)
        session = make_session(bob)
        found = authenticate("Bearer " + tokens.sign(claims_of(session)))
        assert found.organization_id == alice.organization.pk
        assert found.api_key_id is None
        assert found.user_id == bob.user.pk
        assert found.roles == {"compliance_officer"}
        assert found.session_id == session.pk
        assert found.actor.role == "compliance_officer"
        assert found.scopes == {
            "mlops:read",
            "models:read",
            "governance:read",
            "governance:write",
        }

    @pytest.mark.parametrize(
        ("role", "has", "lacks"),
        [
            ("owner", "models:write", "audit:read"),
            ("model_owner", "mlops:write", "audit:read"),
            ("validator", "models:read", "models:write"),
            ("compliance_officer", "governance:write", "mlops:write"),
            ("auditor", "audit:read", "governance:write"),
        ],
    )
    def test_scopes_follow_from_the_role(self, role, has, lacks) -> None:
        scopes = credentials.scopes_of([role])
        assert has in scopes
        assert lacks not in scopes

    @pytest.mark.parametrize(
        "changes",
        [
            {"kind": tokens.REFRESH},
            {"session_id": uuid4()},
            {"user_id": 0},
            {"expires_at": timezone.now() - timedelta(minutes=1)},
        ],
    )
    def test_a_wrong_claim_is_refused(self, changes) -> None:
        session = make_session(factories.make_alice())
        with pytest.raises(NotAuthenticatedError):
            authenticate("Bearer " + tokens.sign(claims_of(session, **changes)))

    @pytest.mark.parametrize("field", ["revoked_at", "expires_at"])
    def test_ends_with_its_session(self, field: str) -> None:
        session = make_session(factories.make_alice(), **{field: timezone.now()})
        with pytest.raises(NotAuthenticatedError):
            authenticate("Bearer " + tokens.sign(claims_of(session)))

    def test_ends_with_the_last_role(self) -> None:
        alice = factories.make_alice()
        bob = factories.make_bob(alice.organization)
        text = tokens.sign(claims_of(make_session(bob)))
        authenticate("Bearer " + text)
        Membership.objects.filter(user=bob.user).update(ended_at=timezone.now())
        credentials.forget()
        with pytest.raises(NotAuthenticatedError):
            authenticate("Bearer " + text)

    @pytest.mark.parametrize(
        ("key", "algorithm", "changes"),
        [
            ("another key, long enough for the algorithm", "HS256", {}),
            (None, "HS512", {}),
            ("", "none", {}),
            (None, "HS256", {"aud": "somebody else"}),
            (None, "HS256", {"iss": "somebody else"}),
            (None, "HS256", {"sub": "x"}),
            (None, "HS256", {"sid": None}),
            (None, "HS256", {"exp": None}),
        ],
    )
    def test_another_signature_algorithm_or_audience_is_refused(
        self, key, algorithm, changes
    ) -> None:
        session = make_session(factories.make_alice())
        good = tokens.sign(claims_of(session))
        payload = jwt.decode(
            good, settings.JWT_SIGNING_KEY, ["HS256"], audience=tokens.AUDIENCE
        )
        payload = {**payload, **changes}
        payload = {name: value for name, value in payload.items() if value is not None}
        secret = settings.JWT_SIGNING_KEY if key is None else key
        assert authenticate(f"Bearer {good}")
        with pytest.raises(NotAuthenticatedError):
            authenticate("Bearer " + jwt.encode(payload, secret, algorithm))
