"""The page of the decisions that were made under an override, and its file."""

import csv
import io

import pytest

from driftguard.portal import override_views
from governance.models import AuditEntry, Override
from tests import factories
from tests.factories import Person
from tests.governance.deploying import make_approved, measure
from tests.monitoring.calls import Caller
from tests.monitoring.test_deployed_versions import under_override
from tests.monitoring.test_predictions import ONE, row
from tests.portal.conftest import browser, get

pytestmark = pytest.mark.django_db
EXPORTED = "predictions.exported"


@pytest.fixture
def override(alice: Person, bob: Person) -> Override:
    return under_override(measure(make_approved(alice), ratio=0.5), alice, bob)


def path_of(override: Override) -> str:
    return f"/approvals/overrides/{override.pk}/decisions"


def log(person: Person, override: Override, *entities: str) -> None:
    call = Caller(factories.make_api_key(person)[1])
    for entity in entities:
        call.post(ONE, row(model_id=override.version.model_id, entity_id=entity))


def test_an_auditor_pages_through_all_of_them_and_takes_them_away(
    override: Override,
    alice: Person,
    auditor: Person,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(override_views, "ROWS", 2)
    log(alice, override, "first", "=second", "<b>third</b>")
    path = path_of(override)
    newest = get(auditor, path)
    assert "&lt;b&gt;third&lt;/b&gt;" in newest
    assert "=second" in newest
    assert "first</td>" not in newest
    older = newest.partition("?before=")[2].partition('"')[0]
    rest = get(auditor, path, before=older)
    assert "first</td>" in rest
    assert "=second" not in rest
    assert "?before=" not in rest

    answer = browser(auditor).get(f"{path}.csv")
    text = b"".join(answer.streaming_content).decode()
    lines = csv.DictReader(io.StringIO(text))
    assert [one["entity_id"] for one in lines] == ["first", "'=second", "<b>third</b>"]
    entry = AuditEntry.objects.get(action=EXPORTED)
    assert (entry.actor_label, entry.override_id) == (auditor.user.email, override.pk)


def test_one_that_nothing_was_decided_under_says_so(
    override: Override, auditor: Person
) -> None:
    page = get(auditor, path_of(override))
    assert "No prediction was made under this override" in page
    assert "Export all" not in page


def test_the_pages_of_an_override_lead_to_it(override: Override, bob: Person) -> None:
    link = f'href="{path_of(override)}"'
    assert link in get(bob, f"/admin/governance/override/{override.pk}/change/")
    assert link in get(bob, "/dashboard/models/credit/deployments")


def test_strangers_find_none_and_take_none(override: Override, charlie: Person) -> None:
    for path in (path_of(override), f"{path_of(override)}.csv"):
        assert browser(charlie).get(path).status_code == 404
    assert not AuditEntry.objects.filter(action=EXPORTED).exists()


def test_nonsense_after_which_to_go_on_is_no_page(
    override: Override, bob: Person
) -> None:
    wrong = browser(bob).get(path_of(override), {"before": "pred_nonsense"})
    assert wrong.status_code == 404
