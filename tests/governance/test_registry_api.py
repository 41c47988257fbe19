import pytest
from django.test import Client

from governance.actions import intakes, registry
from governance.models import AuditEntry, ModelVersion, RegisteredModel
from tests import factories
from tests.governance.api import Api, api_of, faults

pytestmark = pytest.mark.django_db

PUBLISHED = {
    "model_name": "Credit Risk Classifier",
    "version": "2.1.0",
    "description": "Scores applications",
    "training_accuracy": 0.87,
    "fairness_baseline": 0.92,
    "schema_definition": {
        "features": ["age", "income"],
        "target": "credit_approved",
        "feature_types": {"age": "int", "income": "float"},
    },
}


@pytest.fixture
def alice() -> factories.Person:
    return factories.make_alice()


@pytest.fixture
def api(alice: factories.Person) -> Api:
    return api_of(alice)


class TestPlatformRegistration:
    def test_answers_as_published(self, api: Api, alice: factories.Person) -> None:
        response = api.post("/api/models", PUBLISHED)
        assert response.status_code == 201
        answer = response.json()
        assert answer["model_name"] == "Credit Risk Classifier"
        assert answer["slug"] == "credit-risk-classifier"
        assert answer["version"] == "2.1.0"
        assert answer["status"] == answer["deployment_status"] == "draft"
        assert answer["governance_status"] == "NOT_ASSESSED"
        assert answer["created_by"] == alice.user.pk
        assert answer["created_at"].endswith("Z")
        assert answer["schema_definition"]["features"] == ["age", "income"]
        assert answer["training_accuracy"] == 0.87
        assert answer["owner"] == alice.user.email
        assert answer["risk_tier"] is None
        model = RegisteredModel.objects.get(pk=answer["id"])
        assert model.current_version.version == "2.1.0"
        assert model.effective_risk_tier == "high"

    def test_needs_only_name_and_version(self, api: Api) -> None:
        body = {"model_name": "m", "version": "1"}
        assert api.post("/api/models", body).status_code == 201
        assert faults(api.post("/api/models", {})) == {
            "model_name": "required",
            "version": "required",
        }

    def test_the_same_name_adds_a_version(self, api: Api) -> None:
        first = api.post("/api/models", PUBLISHED).json()
        second = api.post("/api/models", {**PUBLISHED, "version": "2.2.0"})
        assert second.status_code == 201
        assert second.json()["id"] == first["id"]
        assert second.json()["version"] == "2.2.0"
        versions = api.get(f"/api/models/{first['id']}/versions").json()
        assert [one["version"] for one in versions["versions"]] == ["2.2.0", "2.1.0"]
        assert versions["total"] == 2

    def test_name_and_version_both_known_is_a_conflict(self, api: Api) -> None:
        api.post("/api/models", PUBLISHED)
        response = api.post("/api/models", PUBLISHED)
        assert response.status_code == 409
        assert response.json()["code"] == "already_exists"
        assert ModelVersion.objects.count() == 1

    def test_a_version_without_a_schema_takes_over_the_last_one(self, api: Api) -> None:
        api.post("/api/models", PUBLISHED)
        bare = {"model_name": PUBLISHED["model_name"], "version": "3"}
        answer = api.post("/api/models", bare).json()
        assert answer["schema_definition"]["features"] == ["age", "income"]

    def test_knows_every_optional_field(
        self, api: Api, alice: factories.Person
    ) -> None:
        bob = factories.make_bob(alice.organization)
        body = {
            **PUBLISHED,
            "task": "binary",
            "classes": [0, 1],
            "positive_class": 1,
            "favourable_outcome": 0,
            "decision_threshold": 0.4,
            "primary_metric": "roc_auc",
            "protected_attributes": {"age": [30, 45, 60], "sex": None},
            "attributes": {"sex": "categorical"},
            "label_horizon": {"min": "P20D", "max": 45},
            "cadence": "monthly",
            "schema_mode": "strict",
            "risk_tier": "medium",
            "owner": bob.user.email.upper(),
            "purpose": "To lend well",
            "external_ref": "MR-17",
            "artifact_digest": "a" * 64,
            "importance": {"age": 2, "income": 1},
        }
        response = api.post("/api/models", body)
        assert response.status_code == 201, response.content
        answer = response.json()
        assert answer["task"] == "binary"
        assert answer["classes"] == ["0", "1"]
        assert answer["favourable_outcome"] == "0"
        assert answer["decision_threshold"] == 0.4
        assert answer["protected_attributes"] == {"age": [30, 45, 60], "sex": None}
        assert answer["label_horizon"] == {
            "min": "P20DT00H00M00S",
            "max": "P45DT00H00M00S",
        }
        assert answer["cadence"] == "monthly"
        assert answer["schema_mode"] == "strict"
        assert answer["risk_tier"] == "medium"
        assert answer["owner"] == bob.user.email
        assert answer["schema_definition"]["importance"] == {"age": 2, "income": 1}

    @pytest.mark.parametrize(
        ("change", "expected"),
        [
            ({"organization": 7}, {"organization": "unknown_field"}),
            (
                {"created_by": 7, "role": "owner"},
                {"created_by": "unknown_field", "role": "unknown_field"},
            ),
            ({"status": "approved"}, {"status": "unknown_field"}),
            ({"model_name": 5}, {"model_name": "invalid"}),
            ({"model_name": ""}, {"model_name": "blank"}),
            ({"model_name": "a\x07"}, {"model_name": "control"}),
            ({"model_name": "\u200b"}, {"model_name": "invisible"}),
            ({"model_name": "x" * 201}, {"model_name": "max_length"}),
            ({"training_accuracy": True}, {"training_accuracy": "invalid"}),
            ({"training_accuracy": "0.87"}, {"training_accuracy": "invalid"}),
            ({"training_accuracy": 2.0}, {"training_accuracy": "max_value"}),
            ({"training_accuracy": -1e-9}, {"training_accuracy": "min_value"}),
            ({"fairness_baseline": 1.001}, {"fairness_baseline": "max_value"}),
            ({"fairness_baseline": -1}, {"fairness_baseline": "min_value"}),
            ({"risk_tier": "huge"}, {"risk_tier": "invalid_choice"}),
            ({"cadence": "yearly"}, {"cadence": "invalid_choice"}),
            ({"label_horizon": {"min": "1 month"}}, {"label_horizon.min": "duration"}),
            ({"label_horizon": {"min": 9, "max": 3}}, {"label_horizon.max": "range"}),
            ({"label_horizon": {"max": 1e300}}, {"label_horizon.max": "duration"}),
            ({"owner": "nobody@example.com"}, {"owner": "not_a_member"}),
            ({"artifact_digest": "xyz"}, {"artifact_digest": "invalid"}),
            ({"task": "guess"}, {"task": "choice"}),
            ({"schema_definition": {"features": ["a", "a"]}}, None),
            (
                {"schema_definition": {"colour": 1}},
                {"schema_definition.colour": "unknown_field"},
            ),
        ],
    )
    def test_bad_fields_are_named(self, api: Api, change, expected) -> None:
        response = api.post("/api/models", {**PUBLISHED, **change})
        assert response.status_code == 422
        assert response["Content-Type"] == "application/problem+json"
        if expected is not None:
            assert faults(response) == expected
        assert not RegisteredModel.objects.exists()

    def test_an_owner_is_a_member(self, api: Api) -> None:
        charlie = factories.make_charlie()
        response = api.post("/api/models", {**PUBLISHED, "owner": charlie.user.email})
        assert faults(response) == {"owner": "not_a_member"}

    def test_is_remembered(self, api: Api, alice: factories.Person) -> None:
        api.post("/api/models", PUBLISHED)
        actions = AuditEntry.objects.for_organization(alice.organization).values_list(
            "action", flat=True
        )
        assert list(actions[:2]) == ["version.registered", "model.registered"]

    @pytest.mark.parametrize("name", ["2024", "!!!", "٣٤", "日本"])
    def test_a_slug_has_a_letter(self, api: Api, name: str) -> None:
        answer = api.post("/api/models", {"model_name": name, "version": "1"}).json()
        assert answer["slug"].startswith("model")
        assert api.get(f"/api/models/{answer['slug']}").json()["id"] == answer["id"]

    def test_two_names_with_the_same_slug_get_two(self, api: Api) -> None:
        one = api.post("/api/models", {"model_name": "A b", "version": "1"}).json()
        two = api.post("/api/models", {"model_name": "a B", "version": "1"}).json()
        assert one["slug"] == "a-b"
        assert two["slug"].startswith("a-b-")

    def test_two_organizations_may_use_the_same_name(self, api: Api) -> None:
        other = api_of(factories.make_charlie())
        one, two = (each.post("/api/models", PUBLISHED) for each in (api, other))
        assert one.status_code == two.status_code == 201
        assert one.json()["id"] != two.json()["id"]

    def test_a_retry_with_its_key_answers_the_same_and_stores_nothing(
        self, api: Api
    ) -> None:
        api.headers["Idempotency-Key"] = "k-1"
        first, again = (api.post("/api/models", PUBLISHED) for _ in range(2))
        assert first.status_code == again.status_code == 201
        assert first.json() == again.json()
        assert ModelVersion.objects.count() == 1
        other = api.post("/api/models", {**PUBLISHED, "version": "9"})
        assert other.status_code == 422
        assert ModelVersion.objects.count() == 1

    def test_parts_go_to_whoever_keeps_them(self, api: Api, monkeypatch) -> None:
        seen = []
        part = registry.Part(
            lambda schema, version, value: (schema.task, version, value),
            lambda *arguments: seen.append(arguments),
        )
        monkeypatch.setitem(registry.PARTS, "baseline", part)
        api.post("/api/models", {**PUBLISHED, "baseline": {"featureData": {}}})
        version, value, actor = seen[0]
        assert version.version == "2.1.0"
        assert value == (version.schema.task, "2.1.0", {"featureData": {}})
        assert actor.type == "api_key"


class TestQuickStart:
    BODY = {
        "name": "Production Fraud Model",
        "version": "1.0.0",
        "description": "Card payments",
        "features": [
            {"feature_name": "amount", "feature_type": "continuous", "order": 1}
        ],
    }

    def test_answers_as_published(self, api: Api) -> None:
        response = api.post("/models", self.BODY)
        assert response.status_code == 200
        answer = response.json()
        assert answer["name"] == "Production Fraud Model"
        assert answer["version"] == "1.0.0"
        assert answer["features"] == [
            {
                "feature_name": "amount",
                "feature_type": "continuous",
                "order": 1,
                "importance": None,
            }
        ]
        again = api.get(f"/models/{answer['id']}")
        assert again.json() == answer
        assert api.get("/models").json()["results"] == [answer]

    def test_a_body_that_curl_calls_a_form_is_read_as_json(
        self, alice: factories.Person
    ) -> None:
        _, text = factories.make_api_key(alice)
        response = Client().generic(
            "POST",
            "/models",
            b' {"name": "m", "version": "1"}',
            "application/x-www-form-urlencoded",
            headers={"Authorization": f"Bearer {text}"},
        )
        assert response.status_code == 200

    @pytest.mark.parametrize("media_type", ["text/plain", "application/xml"])
    def test_any_other_type_is_refused(
        self, alice: factories.Person, media_type: str
    ) -> None:
        _, text = factories.make_api_key(alice)
        response = Client().generic(
            "POST", "/models", b"{}", media_type, headers={"X-API-Key": text}
        )
        assert response.status_code == 415

    def test_strict_json_is_asked_for(self, alice: factories.Person) -> None:
        _, text = factories.make_api_key(alice)
        response = Client().generic(
            "POST",
            "/models",
            b'{"name": "m", "name": "n", "version": "1"}',
            "application/json",
            headers={"X-API-Key": text},
        )
        assert response.status_code == 400
        assert "'name' stands twice" in response.json()["detail"]


class TestList:
    def test_filters_search_and_order(self, api: Api, alice: factories.Person) -> None:
        bob = factories.make_bob(alice.organization)
        factories.make_version(alice, name="Alpha", risk_tier="low")
        factories.make_version(alice, name="Beta", owner=bob.user, purpose="lending")
        factories.make_version(alice, name="Gamma", risk_tier="high")

        def names(query: str) -> list[str]:
            answer = api.get(f"/api/models?{query}").json()
            return [one["model_name"] for one in answer["results"]]

        assert names("") == ["Alpha", "Beta", "Gamma"]
        assert names("name=ALP") == ["Alpha"]
        assert names("status=draft&risk_tier=low") == ["Alpha"]
        assert names("risk_tier=high") == ["Beta", "Gamma"]
        assert names("governance_status=BLOCKED") == []
        assert names(f"owner={bob.user.email}") == ["Beta"]
        assert names("search=lending") == ["Beta"]
        assert names("ordering=-name") == ["Gamma", "Beta", "Alpha"]

    def test_is_paged_by_a_cursor(self, api: Api, alice: factories.Person) -> None:
        for number in range(5):
            factories.make_version(alice, name=f"Model {number}")
        seen, path = [], "/api/models?limit=2"
        while path:
            page = api.get(path).json()
            seen += [one["model_name"] for one in page["results"]]
            path = page["next"]
        assert seen == [f"Model {number}" for number in range(5)]

    def test_costs_the_same_for_many(
        self, api: Api, alice: factories.Person, django_assert_num_queries
    ) -> None:
        for number in range(10):
            factories.make_version(alice, name=f"Model {number}")
        api.get("/api/models")
        with django_assert_num_queries(1):
            assert len(api.get("/api/models").json()["results"]) == 10

    @pytest.mark.parametrize(
        ("query", "code"),
        [
            ("limit=0", "range"),
            ("limit=1001", "range"),
            ("limit=ten", "range"),
            ("ordering=owner", "choice"),
            ("cursor=abc", "cursor"),
            ("cursor=cD0lMDA%3D", "cursor"),
            ("status=gone", "invalid_choice"),
            ("colour=red", "unknown_parameter"),
        ],
    )
    def test_a_bad_parameter_is_named(self, api: Api, query: str, code: str) -> None:
        response = api.get(f"/api/models?{query}")
        assert response.status_code == 422
        assert faults(response) == {query.partition("=")[0]: code}


class TestChange:
    def test_changes_what_is_given_and_remembers_before_and_after(
        self, api: Api, alice: factories.Person
    ) -> None:
        model = factories.make_model(alice, name="Old")
        response = api.patch(
            f"/api/models/{model.slug}",
            {
                "model_name": "New",
                "risk_tier": "low",
                "label_horizon": {"max": "P60D"},
                "protected_attributes": {"age": [40]},
                "importance": {"income": 3},
            },
        )
        assert response.status_code == 200, response.content
        answer = response.json()
        assert answer["model_name"] == "New"
        assert answer["slug"] == model.slug
        assert answer["risk_tier"] == "low"
        assert answer["label_horizon"] == {"min": None, "max": "P60DT00H00M00S"}
        assert answer["protected_attributes"] == {"age": [40]}
        assert answer["schema_definition"]["importance"] == {"income": 3}
        entries = AuditEntry.objects.for_organization(alice.organization)[:2]
        assert [entry.action for entry in entries] == [
            "version.schema_changed",
            "model.changed",
        ]
        payload = bytes(entries[1].payload.content).decode()
        assert (
            '"before":{"label_horizon_max":null,"name":"Old","risk_tier":""}' in payload
        )

    def test_the_same_again_changes_nothing(
        self, api: Api, alice: factories.Person
    ) -> None:
        model = factories.make_model(alice)
        body = {"risk_tier": "low", "schema_mode": "strict"}
        api.patch(f"/api/models/{model.pk}", body)
        before = AuditEntry.objects.count()
        assert api.patch(f"/api/models/{model.pk}", body).status_code == 200
        assert AuditEntry.objects.count() == before

    def test_a_taken_name_is_a_conflict(
        self, api: Api, alice: factories.Person
    ) -> None:
        factories.make_model(alice, name="Taken")
        model = factories.make_model(alice)
        response = api.patch(f"/api/models/{model.pk}", {"model_name": "Taken"})
        assert response.status_code == 409

    @pytest.mark.parametrize(
        "body",
        [{"risk_tier": "low"}, {"schema_mode": "strict"}, {"importance": {"age": 9}}],
    )
    def test_what_an_approval_rests_on_stays(
        self, api: Api, alice: factories.Person, body
    ) -> None:
        version = factories.make_version(alice)
        factories.approve(version)
        response = api.patch(f"/api/models/{version.model_id}", body)
        assert response.status_code == 409
        assert response.json()["code"] == "approval_required"
        assert "next" in response.json()

    def test_a_schema_that_makes_no_sense_is_refused(
        self, api: Api, alice: factories.Person
    ) -> None:
        model = factories.make_model(alice)
        response = api.patch(
            f"/api/models/{model.pk}", {"risk_tier": "low", "classes": ["a"]}
        )
        assert response.status_code == 422
        model.refresh_from_db()
        assert model.risk_tier == ""

    def test_mass_assignment_is_refused(
        self, api: Api, alice: factories.Person
    ) -> None:
        model = factories.make_model(alice)
        response = api.patch(
            f"/api/models/{model.pk}", {"organization": 1, "slug": "x", "created_by": 1}
        )
        assert set(faults(response).values()) == {"unknown_field"}


class TestStranger:
    @pytest.mark.parametrize(
        ("method", "path", "body"),
        [
            ("GET", "/api/models/{}", None),
            ("PATCH", "/api/models/{}", {"risk_tier": "low"}),
            ("GET", "/api/models/{}/versions", None),
            ("GET", "/api/models/{}/risk-history", None),
            ("POST", "/api/models/{}/deploy", {}),
            ("GET", "/models/{}", None),
        ],
    )
    def test_sees_nothing_of_alices(self, alice, method, path, body) -> None:
        model = factories.make_model(alice)
        charlie = api_of(factories.make_charlie())
        for reference in (model.pk, model.slug):
            there = charlie(method, path.format(reference), body)
            assert there.status_code == 404
            missing = charlie(method, path.format(999_999_999), body)
            assert there.content.replace(
                str(reference).encode(), b""
            ) == missing.content.replace(b"999999999", b"")

    def test_lists_only_their_own(self, alice: factories.Person) -> None:
        factories.make_model(alice)
        charlie = api_of(factories.make_charlie())
        assert charlie.get("/api/models").json()["results"] == []

    @pytest.mark.parametrize(
        "reference", ["0", "99999999999999999999", "-1", "%00", "é"]
    )
    def test_a_strange_reference_is_missing(self, api: Api, reference: str) -> None:
        assert api.get(f"/api/models/{reference}").status_code == 404


class TestScopes:
    def test_reading_is_not_writing(self, alice: factories.Person) -> None:
        reader = api_of(alice, scopes=["models:read"])
        assert reader.get("/api/models").status_code == 200
        response = reader.post("/api/models", PUBLISHED)
        assert response.status_code == 403
        assert "models:write" in response.json()["detail"]
        assert reader.post("/models", TestQuickStart.BODY).status_code == 403

    def test_nobody_gets_in(self) -> None:
        response = Api().get("/api/models")
        assert response.status_code == 401
        assert response["WWW-Authenticate"].startswith("Bearer")

    def test_every_answer_has_a_request_id(self, api: Api) -> None:
        assert api.get("/api/models")["X-Request-ID"]
        named = Api(**{"X-Request-ID": "trace-1"}).get("/api/models")
        assert named["X-Request-ID"] == "trace-1"

    def test_a_method_that_is_not_there(self, api: Api) -> None:
        response = api("DELETE", "/api/models")
        assert response.status_code == 405
        assert "GET" in response["Allow"]
        assert response.json()["code"] == "method_not_allowed"

    def test_an_address_that_is_not_there(self, api: Api) -> None:
        response = api.get("/api/nothing")
        assert response.status_code == 404
        assert response["Content-Type"] == "application/problem+json"


class TestVersionsFromTraffic:
    def test_an_unknown_one_appears_once_with_a_finding(
        self, alice: factories.Person
    ) -> None:
        model = factories.make_model(alice)
        made = registry.unregistered_version(model, "9.9")
        assert registry.unregistered_version(model, "9.9") == made
        assert made.status == "unregistered"
        assert made.schema.features == model.current_version.schema.features
        assert [one.cause for one in made.findings.all()] == ["unregistered_version"]

    def test_it_can_be_registered_afterwards(
        self, api: Api, alice: factories.Person
    ) -> None:
        model = factories.make_model(alice, name="M")
        made = registry.unregistered_version(model, "9.9")
        body = {"model_name": "M", "version": "9.9", "features": ["age"]}
        assert api.post("/api/models", body).json()["id"] == model.pk
        made = ModelVersion.objects.get(pk=made.pk)
        assert made.status == "draft"
        assert [one.name for one in made.schema.features] == ["age"]

    def test_the_model_shows_the_newest_with_traffic(
        self, alice: factories.Person
    ) -> None:
        old = factories.make_version(alice, name="M", version="1")
        new = factories.make_version(alice, name="M", version="2")
        at = new.created_at
        registry.note_traffic(old, at)
        assert RegisteredModel.objects.get().current_version == old
        registry.note_traffic(new, at)
        assert RegisteredModel.objects.get().current_version == new
        registry.note_traffic(old, at)
        assert RegisteredModel.objects.get().current_version == new
        adoption = intakes.Adoption(old, "production")
        intakes.adopt([adoption], reason="Was there before.", actor=alice.actor)
        registry.note_traffic(new, at)
        assert RegisteredModel.objects.get().current_version == old


class TestDeploy:
    @pytest.mark.parametrize("query", ["", "?dry_run=true"])
    def test_is_refused_with_what_to_do_next(
        self, api: Api, alice: factories.Person, query: str
    ) -> None:
        model = factories.make_model(alice)
        response = api.post(f"/api/models/{model.pk}/deploy{query}", {})
        assert response.status_code == 409
        answer = response.json()
        assert answer["code"] == "approval_required"
        assert answer["gate"]["result"] == "DENY"
        assert answer["gate"]["rules"][0]["passed"] is False
        assert "approved by a compliance officer" in answer["next"][0]
        entry = AuditEntry.objects.for_organization(alice.organization)[0]
        action = "gate.checked" if query else "deployment.requested"
        assert (entry.action, entry.outcome) == (action, "denied")

    def test_needs_its_own_scope(self, alice: factories.Person) -> None:
        model = factories.make_model(alice)
        key = api_of(alice, scopes=["models:write", "mlops:write"])
        assert key.post(f"/api/models/{model.pk}/deploy", {}).status_code == 403

    @pytest.mark.parametrize(
        ("body", "query", "where"),
        [
            ({"version": "9"}, "", "version"),
            ({"environment": "moon"}, "", "environment"),
            ({"override": 1}, "", "override"),
            ({"force": True}, "", "force"),
            ({}, "?dry_run=1", "dry_run"),
        ],
    )
    def test_bad_fields_are_named(self, api, alice, body, query, where) -> None:
        model = factories.make_model(alice)
        response = api.post(f"/api/models/{model.pk}/deploy{query}", body)
        assert list(faults(response)) == [where]
