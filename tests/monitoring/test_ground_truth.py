"""Labels find their predictions, in either order, and never by guessing."""

import datetime as dt
from typing import Any

import pytest

from governance.models import AuditEntry, ModelVersion
from monitoring.actions import ground_truth
from monitoring.models import GroundTruth, Prediction, Receipt
from tests import factories
from tests.factories import Person
from tests.monitoring.calls import Caller

pytestmark = pytest.mark.django_db

LOG = "/api/logs/prediction"
TELL = "/api/v1/drift/ground-truth"
MANY = f"{TELL}/batch"
DAY = dt.timedelta(days=1)


@pytest.fixture
def alice() -> Person:
    return factories.make_alice()


@pytest.fixture
def call(alice: Person) -> Caller:
    return Caller(factories.make_api_key(alice)[1])


@pytest.fixture
def version(alice: Person) -> ModelVersion:
    return factories.make_version(alice)


class Traffic:
    """Predictions and labels of one entity, by the day of March."""

    def __init__(self, call: Caller, version: ModelVersion) -> None:
        self.call = call
        self.model = version.model_id

    def log(self, day: int, entity: str = "c", **fields: Any) -> str:
        status, answer = self.call.post(
            LOG,
            {
                "model_id": self.model,
                "input_features": {},
                "prediction": 1,
                "entity_id": entity,
                "timestamp": at(day),
                **fields,
            },
        )
        assert status == 201, answer
        return str(answer["id"])

    def tell(self, day: int | None, outcome: Any = "1", **fields: Any) -> GroundTruth:
        body = {"modelId": self.model, "entityId": "c", "actualOutcome": outcome}
        if day is not None:
            body["outcomeTimestamp"] = at(day)
        status, answer = self.call.post(TELL, {**body, **fields})
        assert status == 201, answer
        label = GroundTruth.objects.get(pk=decoded(answer["groundTruthId"]))
        assert answer["match"] == label.match
        return label

    def match_waiting(self) -> int:
        receipts = Receipt.objects.filter(kind=Receipt.Kind.PREDICTIONS)
        return ground_truth.match_waiting([receipt.pk for receipt in receipts])


def at(day: int) -> str:
    return f"2026-03-{day:02}T12:00:00Z"


def decoded(text: str) -> Any:
    from governance.identifiers import decode

    return decode(text.partition("_")[0], text)


@pytest.fixture
def traffic(call: Caller, version: ModelVersion) -> Traffic:
    return Traffic(call, version)


def day_of(label: GroundTruth) -> int | None:
    if label.prediction_id is None:
        return None
    return Prediction.objects.get(pk=label.prediction_id).timestamp.day


def test_a_label_belongs_to_the_latest_prediction_before_it(traffic: Traffic) -> None:
    for day in (1, 5, 9):
        traffic.log(day)
    traffic.log(6, entity="somebody else")
    label = traffic.tell(7)
    assert (label.match, day_of(label)) == ("matched", 5)
    assert day_of(traffic.tell(9)) == 9  # at the same moment is still before


def test_a_label_without_an_earlier_prediction_takes_the_earliest_later_one(
    traffic: Traffic,
) -> None:
    traffic.log(9)
    traffic.log(5)
    label = traffic.tell(2)
    assert (label.match, day_of(label)) == ("after_outcome", 5)


def test_the_predictions_time_stamp_beats_the_rule(traffic: Traffic) -> None:
    for day in (1, 5, 9):
        traffic.log(day)
    label = traffic.tell(20, predictionTimestamp="2026-03-05T13:00:00+01:00")
    assert (label.match, day_of(label)) == ("matched", 5)
    nothing = traffic.tell(20, predictionTimestamp=at(6))
    assert (nothing.match, day_of(nothing)) == ("waiting", None)


def test_the_predictions_id_beats_everything(traffic: Traffic) -> None:
    first = traffic.log(1)
    traffic.log(5)
    label = traffic.tell(7, predictionId=first, predictionTimestamp=at(5))
    assert day_of(label) == 1


def test_an_unknown_prediction_id_is_refused(
    traffic: Traffic, call: Caller, alice: Person
) -> None:
    other = Traffic(call, factories.make_version(alice)).log(1)
    charlie = factories.make_charlie()
    theirs = Traffic(
        Caller(factories.make_api_key(charlie)[1]), factories.make_version(charlie)
    ).log(1)
    body = {"modelId": traffic.model, "entityId": "c", "actualOutcome": "1"}
    for pk in (other, theirs, "pred_00000000000000000000000000", "pred_x", 7):
        status, answer = call.post(TELL, {**body, "predictionId": pk})
        assert (status, answer["errors"][0]["loc"]) == (422, ["predictionId"])
    assert not GroundTruth.objects.exists()


def set_horizon(
    version: ModelVersion, shortest: int | None, longest: int | None
) -> None:
    model = version.model
    model.label_horizon_min = None if shortest is None else shortest * DAY
    model.label_horizon_max = None if longest is None else longest * DAY
    model.save(update_fields=["label_horizon_min", "label_horizon_max"])


def test_inside_a_horizon_the_one_candidate_is_taken(
    traffic: Traffic, version: ModelVersion
) -> None:
    set_horizon(version, 3, 6)
    for day in (1, 8, 12):
        traffic.log(day)
    label = traffic.tell(13)  # the plain rule would take the twelfth
    assert (label.match, day_of(label)) == ("matched", 8)


def test_two_candidates_inside_a_horizon_are_ambiguous(
    traffic: Traffic, version: ModelVersion, call: Caller
) -> None:
    set_horizon(version, None, 6)
    traffic.log(8)
    traffic.log(9)
    label = traffic.tell(13)
    assert (label.match, label.prediction_id) == ("ambiguous", None)
    listed = call.get(f"{TELL}?modelId={traffic.model}&match=ambiguous")[1]
    assert [one["groundTruthId"] for one in listed["groundTruth"]] == [label.public_id]


def test_outside_the_horizon_a_label_waits(
    traffic: Traffic, version: ModelVersion
) -> None:
    set_horizon(version, 3, 6)
    traffic.log(8)
    assert traffic.tell(10).match == "waiting"
    assert traffic.tell(15).match == "waiting"
    assert traffic.match_waiting() == 0


def test_a_label_before_its_prediction_waits_and_is_matched(traffic: Traffic) -> None:
    label = traffic.tell(7)
    assert label.match == "waiting"
    traffic.log(9, entity="somebody else")
    assert traffic.match_waiting() == 0
    traffic.log(5)
    assert traffic.match_waiting() == 1
    label.refresh_from_db()
    assert (label.match, day_of(label)) == ("matched", 5)
    assert traffic.match_waiting() == 0


def test_a_waiting_label_keeps_to_the_horizon(
    traffic: Traffic, version: ModelVersion
) -> None:
    set_horizon(version, 3, 6)
    one, two = traffic.tell(13), traffic.tell(25)
    traffic.log(12)
    traffic.log(8)
    traffic.log(20)
    traffic.log(21)
    assert traffic.match_waiting() == 1
    for label in (one, two):
        label.refresh_from_db()
    assert (one.match, day_of(one)) == ("matched", 8)
    assert two.match == "ambiguous"


def test_a_label_that_was_committed_beside_its_prediction_is_tried_again(
    traffic: Traffic,
) -> None:
    """Neither saw the other; the receipt of the label is the second chance."""
    traffic.log(5)
    label = traffic.tell(7)
    GroundTruth.objects.filter(pk=label.pk).update(match="waiting", prediction_id=None)
    assert ground_truth.match_waiting([label.receipt_id]) == 1
    label.refresh_from_db()
    assert day_of(label) == 5


def test_the_newest_of_two_waiting_labels_counts(traffic: Traffic) -> None:
    first, second, third = traffic.tell(7, "0"), traffic.tell(7, "1"), traffic.tell(7)
    assert third.pk == second.pk
    traffic.log(5)
    traffic.match_waiting()
    first.refresh_from_db()
    second.refresh_from_db()
    assert (first.superseded, second.superseded) == (True, False)
    assert second.supersedes_id == first.pk
    assert AuditEntry.objects.filter(action="ground_truth.corrected").count() == 1


def test_a_label_that_waited_does_not_beat_one_that_came_later(
    traffic: Traffic, call: Caller
) -> None:
    waiting = traffic.tell(7, "0")
    prediction = traffic.log(5)
    call.put(f"{LOG}/{prediction}", {"actual_label": 1})
    traffic.match_waiting()
    waiting.refresh_from_db()
    assert (waiting.match, waiting.superseded) == ("matched", True)
    assert GroundTruth.objects.current().get().outcome == "1"


def test_the_same_label_again_is_no_new_row(traffic: Traffic, call: Caller) -> None:
    prediction = traffic.log(5)
    first = traffic.tell(7, "1")
    for same in ("1", 1, 1.0, True, "1.0", "true"):
        assert traffic.tell(8, same).pk == first.pk
    status, answer = call.put(f"{LOG}/{prediction}", {"actual_label": 1})
    assert (status, answer["ground_truth_id"]) == (200, first.public_id)
    assert GroundTruth.objects.count() == 1
    assert Receipt.objects.filter(kind=Receipt.Kind.GROUND_TRUTH).count() == 1


def test_a_different_label_is_a_correction_and_the_old_one_stays(
    traffic: Traffic, call: Caller
) -> None:
    prediction = traffic.log(5)
    old = traffic.tell(7, "0")
    status, answer = call.put(
        f"{LOG}/{prediction}",
        {"actual_label": 1, "timestamp_actual_known": at(8)},
    )
    assert (status, answer["actual_label"]) == (200, 1)
    assert answer["timestamp_actual_known"] == at(8)
    new = GroundTruth.objects.current().get()
    old.refresh_from_db()
    assert old.superseded
    assert (new.supersedes_id, new.prediction_id) == (old.pk, old.prediction_id)
    entry = AuditEntry.objects.get(action="ground_truth.corrected")
    assert entry.actor_type == "api_key"
    assert b'"before":{"%s":"0"}' % prediction.encode() in bytes(entry.payload.content)


def test_a_batch_counts_what_became_of_its_labels(
    traffic: Traffic, version: ModelVersion, call: Caller
) -> None:
    set_horizon(version, None, 6)
    traffic.log(5)
    for day in (5, 6):
        traffic.log(day, entity="twice")
    records = [
        {"entityId": "c", "actualOutcome": "0", "outcomeTimestamp": at(7)},
        {"entityId": "twice", "actualOutcome": "0", "outcomeTimestamp": at(7)},
        {"entityId": "nobody", "actualOutcome": "0", "outcomeTimestamp": at(7)},
        {"entityId": "c", "actualOutcome": "1", "outcomeTimestamp": at(7)},
    ]
    body = {"modelId": version.model.slug, "records": records}
    expected = {"inserted": 4, "matched": 2, "ambiguous": 1, "unmatched": 1}
    assert call.post(MANY, body) == (200, expected)
    assert GroundTruth.objects.count() == 4
    assert GroundTruth.objects.current().get(entity_id="c").outcome == '"1"'
    receipt = Receipt.objects.get(kind=Receipt.Kind.GROUND_TRUTH)
    assert (receipt.rows, receipt.version_id, receipt.pending) == (4, None, True)
    assert GroundTruth.objects.filter(receipt=receipt).count() == 4
    # The waiting and the ambiguous ones are there already; the others changed again.
    assert call.post(MANY, body) == (200, expected)
    assert GroundTruth.objects.filter(match="waiting").count() == 1
    assert GroundTruth.objects.filter(match="ambiguous").count() == 1


def test_one_bad_record_stores_nothing_and_is_named(
    traffic: Traffic, call: Caller
) -> None:
    records = [
        {"entityId": "c", "actualOutcome": "0"},
        {"entityId": "c"},
        {"entityId": "c", "actualOutcome": "0", "outcomeTimestamp": "2026-03-01"},
        {"entityId": "c", "actualOutcome": "0", "weight": 1},
        7,
    ]
    status, answer = call.post(MANY, {"modelId": traffic.model, "records": records})
    assert status == 422
    assert [error["loc"] for error in answer["errors"]] == [
        ["records", 1, "actualOutcome"],
        ["records", 2, "outcomeTimestamp"],
        ["records", 3, "weight"],
        ["records", 4],
    ]
    assert not GroundTruth.objects.exists()


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({}, 422),
        ({"modelId": 999_999_999}, 404),
        ({"modelId": True}, 422),
        ({"records": "c"}, 422),
        ({"records": []}, 422),
        ({"records": [{}] * 10_001}, 413),
    ],
)
def test_bad_batches_are_refused(
    traffic: Traffic, call: Caller, body: dict[str, Any], status: int
) -> None:
    records = [{"entityId": "c", "actualOutcome": "0"}]
    if "records" in body:
        body["modelId"] = traffic.model
    assert call.post(MANY, {"records": records, **body})[0] == status


def test_a_regression_takes_numbers_in_strings_only(
    call: Caller, alice: Person
) -> None:
    version = factories.make_version(
        alice, schema={"task": "regression", "features": ["x"]}
    )
    traffic = Traffic(call, version)
    prediction = traffic.log(5, prediction=3.5)
    assert traffic.tell(7, "4.5").outcome_value == 4.5
    body = {"modelId": traffic.model, "entityId": "c", "actualOutcome": "many"}
    assert call.post(TELL, body)[0] == 422
    assert call.put(f"{LOG}/{prediction}", {"actual_label": "4.5"})[0] == 422
    assert call.put(f"{LOG}/{prediction}", {"actual_label": 5})[0] == 200


def test_month_late_labels_of_clients_who_recur_monthly_find_their_month(
    call: Caller, version: ModelVersion
) -> None:
    """Scores at each month's end, the labels just before the next: the known trap."""
    clients = [f"c{number}" for number in range(20)]
    months = [f"2026-0{month}-28T12:00:00Z" for month in (2, 3, 4, 5)]
    known = [f"2026-0{month}-28T11:00:00Z" for month in (3, 4, 5, 6)]

    def log(month: int) -> None:
        rows = [
            {
                "input_features": {},
                "prediction": month,
                "entity_id": client,
                "timestamp": months[month],
            }
            for client in clients
        ]
        call.post(f"{LOG}/batch", {"model_id": version.model_id, "predictions": rows})

    def tell(month: int, *, with_time: bool) -> None:
        records = [
            {
                "entityId": client,
                "actualOutcome": str(month),
                "outcomeTimestamp": known[month],
                **({"predictionTimestamp": months[month]} if with_time else {}),
            }
            for client in clients
        ]
        call.post(MANY, {"modelId": version.model_id, "records": records})

    def mismatches() -> int:
        labels = GroundTruth.objects.exclude(prediction_id=None)
        assert labels.count() == 20 * 2
        rows = {row.pk: row.decoded_prediction for row in Prediction.objects.all()}
        return sum(
            rows[label.prediction_id] != int(label.decoded_outcome)
            for label in labels
            if label.prediction_id
        )

    for month in range(3):  # every score is in before the first label comes
        log(month)
    tell(0, with_time=True)
    tell(1, with_time=True)
    assert mismatches() == 0
    GroundTruth.objects.all().delete()
    set_horizon(version, 25, 35)
    from monitoring.ingest import catalog

    catalog.forget()
    tell(0, with_time=False)
    tell(1, with_time=False)
    assert mismatches() == 0


def test_charlie_tells_nothing_about_alices_models(
    traffic: Traffic, version: ModelVersion
) -> None:
    charlie = Caller(factories.make_api_key(factories.make_charlie())[1])
    body = {"entityId": "c", "actualOutcome": "1"}
    answers = [
        charlie.post(TELL, {**body, "modelId": pk})
        for pk in (version.model_id, 999_999_999)
    ]
    assert answers[0] == answers[1]
    assert answers[0][0] == 404
    assert charlie.get(f"{TELL}?modelId={version.model_id}")[0] == 404
