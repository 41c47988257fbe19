"""Streams against river 0.26, and planted changes at known places."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from river import drift

from monitoring.stats.streaming import (
    Ddm,
    Eddm,
    HddmA,
    HddmW,
    PageHinkley,
    Stream,
)
from monitoring.stats.windowing import Adwin, Kswin

River = Callable[..., Any]
OF_ERRORS: list[tuple[type[Stream], River, dict[str, Any]]] = [
    (Ddm, drift.binary.DDM, {}),
    (Ddm, drift.binary.DDM, {"warm_start": 50, "drift_threshold": 2.5}),
    (Eddm, drift.binary.EDDM, {}),
    (Eddm, drift.binary.EDDM, {"alpha": 0.8, "beta": 0.75}),
    (HddmA, drift.binary.HDDMA, {}),
    (HddmA, drift.binary.HDDMA, {"two_sided_test": True}),
    (HddmW, drift.binary.HDDMW, {}),
    (HddmW, drift.binary.HDDMW, {"two_sided_test": True, "lambda_val": 0.1}),
]
OF_VALUES: list[tuple[type[Stream], River, dict[str, Any]]] = [
    (PageHinkley, drift.PageHinkley, {}),
    (PageHinkley, drift.PageHinkley, {"threshold": 10.0, "mode": "up"}),
    (PageHinkley, drift.PageHinkley, {"threshold": 10.0, "mode": "down"}),
    (Adwin, drift.ADWIN, {}),
    (Adwin, drift.ADWIN, {"delta": 0.05, "clock": 1, "max_buckets": 3}),
]
ALL = [Ddm, Eddm, HddmA, HddmW, PageHinkley, Adwin, Kswin]


def errors(seed: int = 0, size: int = 1_000) -> Any:
    """Return errors whose rate changes after each `size` rows."""
    rng = np.random.default_rng(seed)
    rates = np.repeat(rng.random(6) * 0.6, size)
    return (rng.random(len(rates)) < rates).astype(float)


def values(seed: int = 0, size: int = 1_000) -> Any:
    rng = np.random.default_rng(seed)
    return np.repeat(rng.normal(0, 2, 6), size) + rng.normal(size=6 * size)


def by_river(detector: Any, stream: Any) -> list[int]:
    found = []
    for index, value in enumerate(stream.tolist()):
        detector.update(value)
        if detector.drift_detected:
            found.append(index)
    return found


def indices(stream: Stream, rows: Any) -> list[int]:
    return [change.index for change in stream.feed(rows)]


@pytest.mark.parametrize(("mine", "theirs", "parameters"), OF_ERRORS)
def test_changes_of_errors_are_river_s(
    mine: type[Stream], theirs: River, parameters: dict[str, Any]
) -> None:
    extra = {"min_errors": 0} if mine is Ddm else {}
    total = 0
    for seed in range(3):
        rows = errors(seed)
        found = indices(mine(**parameters, **extra), rows)
        assert found == by_river(theirs(**parameters), rows)
        total += len(found)
    assert total > 0


@pytest.mark.parametrize(("mine", "theirs", "parameters"), OF_VALUES)
def test_changes_of_values_are_river_s(
    mine: type[Stream], theirs: River, parameters: dict[str, Any]
) -> None:
    for rows in (values(0), values(1), errors(0)):
        found = indices(mine(**parameters), rows)
        assert found == by_river(theirs(**parameters), rows)
        assert found


def test_kswin_s_changes_are_river_s() -> None:
    # one test of river takes a third of a millisecond
    for rows in (values(0, 250), errors(1, 250)):
        found = indices(Kswin(seed=7), rows)
        assert found == by_river(drift.KSWIN(seed=7), rows)
    assert indices(Kswin(alpha=1e-12), values(0, 100)) == by_river(
        drift.KSWIN(alpha=1e-12, seed=0), values(0, 100)
    )


def test_ddm_waits_for_some_errors() -> None:
    rows = np.append(np.zeros(31), [1.0, 0.0])
    assert indices(Ddm(min_errors=0), rows) == [31]  # as river
    assert indices(Ddm(), rows) == []


def test_page_hinkley_means_the_same_in_any_unit() -> None:
    rows = values(0)
    plain = indices(PageHinkley(threshold=20.0), rows)
    assert indices(PageHinkley(threshold=20.0, scale=4096.0), rows * 4096) == plain


@pytest.mark.parametrize("make", ALL)
def test_a_planted_change_is_found_soon_after_it_happens(make: type[Stream]) -> None:
    # EDDM looks at the distance of errors and Page-Hinkley sums: they take longer.
    rng = np.random.default_rng(4)
    rows = (rng.random(4_000) < np.repeat([0.05, 0.6], 2_000)).astype(float)
    found = [index for index in indices(make(), rows) if index >= 2_000]
    assert found
    assert found[0] < 2_200


@pytest.mark.parametrize("make", ALL)
def test_a_stream_survives_a_restart_anywhere(make: type[Stream]) -> None:
    rows = errors(2)
    whole = make()
    expected = indices(whole, rows)
    stream, found = make(), []
    for part in np.array_split(rows, 13):
        stream = make.from_bytes(stream.to_bytes())
        found += indices(stream, part)
    assert found == expected
    assert stream.to_bytes() == whole.to_bytes()
    assert stream.seen == len(rows)


@pytest.mark.parametrize("make", ALL)
def test_missing_values_are_passed_over(make: type[Stream]) -> None:
    rows = errors(3)
    with_gaps = np.insert(rows, [5, 700, 2_100], np.nan)
    assert indices(make(), with_gaps) == indices(make(), rows)
    empty = make()
    assert empty.feed(np.array([np.nan])) == []
    assert empty.seen == 0


def test_changes_carry_their_time_stamp() -> None:
    rows = errors(0)
    start = datetime(2024, 1, 1, tzinfo=UTC)
    times = [start + timedelta(minutes=minute) for minute in range(len(rows))]
    stream = HddmA()
    stream.feed(rows[:100])
    change = stream.feed(rows[100:], times[100:])[0]
    assert change.at == times[change.index]
    assert change.to_json()["at"] == times[change.index].isoformat()
    assert HddmA().feed(rows)[0].to_json()["at"] is None


def test_a_stream_is_taken_up_again_only_with_the_same_parameters() -> None:
    stream = Adwin()
    stream.feed(errors(0)[:500])
    data = stream.to_bytes()
    assert Adwin.resume(data).seen == 500
    assert Adwin.resume(data, delta=0.002).seen == 500
    assert Adwin.resume(data, delta=0.01).seen == 0
    assert Adwin.resume(None).seen == 0


def test_bytes_of_another_stream_are_refused() -> None:
    with pytest.raises(ValueError, match="a state of ddm"):
        Eddm.from_bytes(Ddm().to_bytes())


def test_the_warning_zone_comes_before_the_change() -> None:
    rng = np.random.default_rng(4)
    rows = (rng.random(4_000) < np.repeat([0.05, 0.3], 2_000)).astype(float)
    for stream in (Ddm(), Eddm(), HddmA(), HddmW()):
        warned = []
        for index, row in enumerate(rows):
            if stream.feed(np.array([row])) and index >= 2_000:
                break
            if stream.is_warned and index >= 2_000:
                warned.append(index)
        assert warned, stream.name


@pytest.mark.parametrize(
    ("make", "rows", "reason"),
    [
        (Ddm, [0.0, 2.0], "errors in"),
        (Eddm, [-1.0], "errors in"),
        (HddmA, [np.inf], "errors in"),
        (Adwin, [1.0, -np.inf], "infinite"),
    ],
)
def test_what_is_no_error_or_no_number_is_refused(
    make: type[Stream], rows: list[float], reason: str
) -> None:
    with pytest.raises(ValueError, match=reason):
        make().feed(np.array(rows))


def test_parameters_that_make_no_sense_are_refused() -> None:
    with pytest.raises(ValueError, match="sideways"):
        PageHinkley(mode="sideways")
    with pytest.raises(ValueError, match="above 0"):
        PageHinkley(scale=0.0)
    with pytest.raises(ValueError, match="more than half"):
        Kswin(window_size=50)


@pytest.mark.parametrize("make", [PageHinkley, Adwin, Kswin])
@given(rows=st.lists(st.one_of(st.floats(allow_infinity=False), st.just(7.0))))
def test_any_values_leave_a_state_that_can_be_kept(
    make: type[Stream], rows: list[float]
) -> None:
    stream = make()
    stream.feed(np.array(rows * 8))
    assert make.from_bytes(stream.to_bytes()).to_bytes() == stream.to_bytes()


@pytest.mark.parametrize("make", [Ddm, Eddm, HddmA, HddmW])
@given(rows=st.lists(st.one_of(st.floats(0, 1), st.just(np.nan), st.just(1.0))))
def test_any_errors_leave_a_state_that_can_be_kept(
    make: type[Stream], rows: list[float]
) -> None:
    stream = make()
    stream.feed(np.array(rows * 8))
    assert make.from_bytes(stream.to_bytes()).to_bytes() == stream.to_bytes()
