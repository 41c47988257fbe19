"""The words at the ends of a chart tell the two times apart."""

from datetime import UTC, datetime, timedelta

import pytest

from governance.admin.charts import line_chart

START = datetime(2026, 3, 31, 23, 58, tzinfo=UTC)


@pytest.mark.parametrize(
    ("span", "words"),
    [
        (timedelta(0), ["2026-03-31 23:58 UTC"]),
        (timedelta(seconds=30), ["2026-03-31 23:58:00", "23:58:30 UTC"]),
        (timedelta(hours=1), ["2026-03-31 23:58", "2026-04-01 00:58 UTC"]),
        (timedelta(days=30), ["2026-03-31", "2026-04-30"]),
    ],
)
def test_the_ends_are_as_exact_as_the_span_is_short(
    span: timedelta, words: list[str]
) -> None:
    chart = line_chart([(START, 10.0, ""), (START + span, 20.0, "")], top=100.0)

    assert chart is not None
    assert [text for _, text in chart.ticks] == words
