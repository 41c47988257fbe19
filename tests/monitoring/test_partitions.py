"""The months of the table of predictions."""

import logging
import uuid
from datetime import UTC, datetime

import pytest
from django.db import DatabaseError, connection, transaction

from governance import identifiers
from monitoring.actions import predictions

pytestmark = pytest.mark.django_db
INSERT = (
    "INSERT INTO monitoring_prediction (id, organization_id, model_id, version_id, "
    'receipt_id, "timestamp", features, prediction, verdict) '
    "VALUES (%s, 1, 1, 1, %s, now(), '{}', '1', 'APPROVED')"
)


def partitions() -> list[str]:
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT inhrelid::regclass::text FROM pg_inherits "
            "WHERE inhparent = 'monitoring_prediction'::regclass ORDER BY 1"
        )
        return [name for (name,) in cursor.fetchall()]


def partition_of(pk: uuid.UUID) -> str:
    with connection.cursor() as cursor:
        cursor.execute(INSERT, [pk, pk])
        cursor.execute(
            "SELECT tableoid::regclass::text FROM monitoring_prediction WHERE id = %s",
            [pk],
        )
        (name,) = cursor.fetchone()
        return str(name)


def month_name(months_from_now: int) -> str:
    now = datetime.now(UTC)
    number = now.year * 12 + now.month - 1 + months_from_now
    return f"monitoring_prediction_{number // 12}_{number % 12 + 1:02}"


def test_there_is_one_for_this_month_and_the_next_three() -> None:
    names = [month_name(n) for n in range(4)]
    assert partitions() == sorted([*names, "monitoring_prediction_rest"])
    assert predictions.create_partitions() == 0
    assert partition_of(identifiers.uuid7()) == names[0]


def test_the_bounds_are_the_first_moments_of_the_months() -> None:
    now = datetime.now(UTC)
    year, month = divmod(now.year * 12 + now.month, 12)
    first = identifiers.lowest_at(datetime(year, month + 1, 1, tzinfo=UTC))
    before = uuid.UUID(int=first.int - 1)
    assert partition_of(before) == month_name(0)
    assert partition_of(first) == month_name(1)


def test_rows_of_a_month_that_was_forgotten_move_into_its_partition(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    now = datetime.now(UTC)
    year, month = divmod(now.year * 12 + now.month - 1 + 4, 12)
    late = uuid.UUID(
        int=identifiers.lowest_at(datetime(year, month + 1, 1, tzinfo=UTC)).int + 1
    )
    assert partition_of(late) == "monitoring_prediction_rest"
    with caplog.at_level(logging.ERROR):
        predictions.create_partitions()
    assert "default partition" in caplog.text
    monkeypatch.setattr(predictions, "MONTHS_AHEAD", 4)
    caplog.clear()
    with caplog.at_level(logging.ERROR):
        assert predictions.create_partitions() == 1
    assert caplog.text == ""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT tableoid::regclass::text FROM monitoring_prediction WHERE id = %s",
            [late],
        )
        assert cursor.fetchone() == (month_name(4),)


@pytest.mark.parametrize(
    "statement",
    [
        "CREATE TABLE mine (id int)",
        "DROP TABLE monitoring_prediction_rest",
        "UPDATE monitoring_prediction SET verdict = 'APPROVED'",
        "TRUNCATE monitoring_prediction",
        "DELETE FROM monitoring_prediction_rest",
        f"INSERT INTO {month_name(0)} SELECT * FROM monitoring_prediction",
        "SELECT monitoring_create_partitions(1000)",
    ],
)
def test_the_application_itself_may_not(statement: str) -> None:
    refused = r"permission denied|must be owner|not between"
    with (
        pytest.raises(DatabaseError, match=refused),
        transaction.atomic(),
        connection.cursor() as cursor,
    ):
        cursor.execute(statement)
