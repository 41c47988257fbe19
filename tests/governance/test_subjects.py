"""What an approval binds: any change of it shows, and nothing else does."""

import pytest

from governance.actions import approvals, policies, registry, subjects
from governance.exceptions import ApprovalRequiredError
from governance.models import ModelVersion, PolicyVersion
from governance.schema import Schema
from monitoring.actions import baselines
from tests.factories import SCHEMA, Person, approve, make_alice, make_version

pytestmark = pytest.mark.django_db
COLUMNS = {"age": [20, 30, 40] * 20, "income": [1.5, 2.5, 3.5] * 20}


@pytest.fixture
def alice() -> Person:
    return make_alice()


@pytest.fixture
def version(alice: Person) -> ModelVersion:
    return make_version(alice, risk_tier="high")


def changed_since(version: ModelVersion, before: dict[str, object]) -> list[str]:
    now = subjects.of_version(ModelVersion.objects.get(pk=version.pk))
    return [one.path for one in subjects.differences(before, now)]


def test_the_same_subject_has_the_same_digest(version: ModelVersion) -> None:
    again = ModelVersion.objects.get(pk=version.pk)
    assert approvals.subject_digest(version) == approvals.subject_digest(again)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("description", "another"),
        ("training_accuracy", 0.9),
        ("fairness_baseline", 0.8),
        ("artifact_digest", "ab" * 32),
    ],
)
def test_a_field_of_the_version_changes_it(
    version: ModelVersion, field: str, value: object
) -> None:
    before = subjects.of_version(version)
    ModelVersion.objects.filter(pk=version.pk).update(**{field: value})
    assert changed_since(version, before) == [f"version.{field}"]


def test_the_tier_changes_it(alice: Person, version: ModelVersion) -> None:
    before = subjects.of_version(version)
    registry.update(version.model, changes={"risk_tier": "low"}, actor=alice.actor)
    (one,) = subjects.differences(
        before, subjects.of_version(ModelVersion.objects.get(pk=version.pk))
    )
    assert str(one) == "model.risk_tier changed from high to low"


def test_an_importance_is_named_by_its_feature(
    alice: Person, version: ModelVersion
) -> None:
    before = subjects.of_version(version)
    features = [{**SCHEMA["features"][0], "importance": 0.1}, *SCHEMA["features"][1:]]
    schema = Schema.from_json({**SCHEMA, "features": features})
    registry.change_schema(version, schema=schema, actor=alice.actor)
    assert changed_since(version, before) == ["schema.features.age.importance"]


def test_the_name_and_the_description_of_the_model_are_free(
    alice: Person, version: ModelVersion
) -> None:
    before = subjects.of_version(version)
    changes = {"name": "Another name", "description": "Another text"}
    registry.update(version.model, changes=changes, actor=alice.actor)
    assert changed_since(version, before) == []


def test_an_active_baseline_changes_it_for_all_who_inherit_it(
    alice: Person, version: ModelVersion
) -> None:
    heir = make_version(alice, name=version.model.name, version="1.1.0")
    before, heirs = subjects.of_version(version), subjects.of_version(heir)
    baseline = baselines.create(
        version, features=COLUMNS, label="v1", actor=alice.actor
    )
    assert changed_since(version, before) == ["baseline.id"]
    assert changed_since(heir, heirs) == ["baseline.id"]
    version.refresh_from_db()
    heir.refresh_from_db()
    assert version.baseline_ref == heir.baseline_ref == baseline.public_id
    assert (version.baseline_kind, heir.baseline_kind) == ("given", "inherited")
    assert version.edited_by == alice.user


def test_a_provisional_baseline_is_no_part_of_an_approval(
    version: ModelVersion,
) -> None:
    before = subjects.of_version(version)
    registry.note_baseline(version, ref="baseline_x", kind="provisional", actor=None)
    assert changed_since(version, before) == []


def test_an_approved_versions_baseline_stays_also_for_its_heirs(
    alice: Person, version: ModelVersion
) -> None:
    baselines.create(version, features=COLUMNS, label="v1", actor=alice.actor)
    heir = make_version(alice, name=version.model.name, version="1.1.0")
    other = baselines.create(
        version,
        features={**COLUMNS, "age": [1, 2, 3] * 20},
        label="v2",
        actor=alice.actor,
    )
    assert (heir.baseline_kind, heir.baseline_ref[:9]) == ("inherited", "baseline_")
    approve(heir)
    with pytest.raises(ApprovalRequiredError, match=r"baseline can be changed only"):
        baselines.activate(other, actor=alice.actor)
    other.refresh_from_db()
    assert not other.active


def test_a_policy_with_the_same_rules_and_stages_changes_nothing(
    version: ModelVersion,
) -> None:
    before = subjects.of_version(version)
    # As it was stored by a release that knew fewer settings.
    fewer = {**policies.in_force_for(version.model).content}
    del fewer["warning_share"]
    same = subjects.of_version(version, policy=PolicyVersion(content=fewer))
    assert subjects.differences(before, same) == []
    stricter = PolicyVersion(content={**fewer, "fairness_minimum": 0.9})
    other = subjects.of_version(version, policy=stricter)
    (one,) = subjects.differences(before, other)
    assert str(one) == "the rules and stages of the policy changed"


def test_nobody_has_asked_for_a_new_version(version: ModelVersion) -> None:
    found = approvals.standing(approvals.lock(version))
    assert not found.is_valid
    assert [problem.code for problem in found.problems] == ["none"]
