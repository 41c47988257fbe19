import tracemalloc

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitoring.stats import columns as columns_module
from monitoring.stats.columns import (
    MAX_CATEGORIES,
    MAX_SUMS,
    CategoricalColumn,
    NumericColumn,
    Ordered,
    Values,
)
from monitoring.stats.grid import Codes, Grid, canonical
from monitoring.stats.placing import MIN_ROWS, Buckets
from monitoring.stats.tally import Tally


def numeric_grid(values: object) -> Grid:
    return Grid.fit({"x": values}, {"x": "numeric"})  # type: ignore[dict-item]


def numeric(grid: Grid) -> NumericColumn:
    column = grid.columns["x"]
    assert isinstance(column, NumericColumn)
    return column


def counted(grid: Grid, tally: Tally) -> dict[float, int]:
    """Return point → number of values equal to it."""
    column = numeric(grid)
    equal = tally.ints[column.cells][len(column.points) + 1 :]
    return dict(zip(column.points.tolist(), equal.tolist(), strict=True))


def test_points_are_the_distinct_values_and_every_psi_edge() -> None:
    values = np.array([3.0, 1.0, 1.0, 10.0, np.nan])
    points = numeric(numeric_grid(values)).points
    edges = np.unique(np.quantile(values[:4], np.arange(1, 10) / 10))
    assert points.tolist() == np.union1d([1.0, 3.0, 10.0], edges).tolist()


def test_beyond_4096_distinct_values_the_grid_is_thinned() -> None:
    full = numeric(numeric_grid(np.arange(4_096.0)))
    thin = numeric(numeric_grid(np.arange(4_097.0)))
    assert not full.thinned
    assert thin.thinned
    assert 2_048 <= len(thin.points) <= 2_048 + 10
    assert (thin.points[0], thin.points[-1]) == (0.0, 4_096.0)
    assert np.isin(thin.edges, thin.points).all()


def test_a_thinned_grid_keeps_every_atom_of_a_thousandth() -> None:
    rng = np.random.default_rng(0)
    atoms = rng.normal(size=200)
    values = np.concatenate((rng.normal(size=80_000), np.repeat(atoms, 100)))
    assert len(values) // 1_000 == 100
    grid = numeric_grid(values)
    assert np.isin(atoms, numeric(grid).points).all()
    inside = grid.baseline.ints[numeric(grid).cells][: len(numeric(grid).points) + 1]
    assert inside.max() < len(values) / 2_048


def test_each_value_is_counted_once_where_it_belongs() -> None:
    grid = numeric_grid([0.0, 10.0] * 5 + [5.0])
    tally = grid.count(
        {"x": np.array([-1.0, -0.0, 0.0, 2.0, 10.0, 11.0, np.nan, np.inf, -np.inf])},
        invalid={"x": 3},
    )
    column = numeric(grid)
    size = len(column.points)
    cells = tally.ints[column.cells]
    assert counted(grid, tally)[0.0] == 2
    assert counted(grid, tally)[10.0] == 1
    assert (cells[0], cells[size]) == (1, 1)
    assert cells.sum() == 6
    missing, invalid = tally.ints[column.cells.stop :]
    assert (missing, invalid) == (1, 2 + 3)


def test_minus_zero_is_zero() -> None:
    one, other = numeric_grid([-0.0, 1.0]), numeric_grid([0.0, 1.0])
    assert one.digest == other.digest


@pytest.mark.parametrize("values", [[], [None, None], [np.nan], [7.0], [7.0] * 9])
def test_columns_with_next_to_nothing_in_them_are_legal(values: list[float]) -> None:
    grid = Grid.from_bytes(numeric_grid(values).to_bytes())
    tally = grid.count({"x": [1.0, 7.0, 7.5, None]})
    column = numeric(grid)
    assert tally.ints[column.cells].sum() == 3
    assert tally.ints[column.cells.stop] == 1


def test_a_column_without_rows_or_absent_adds_nothing() -> None:
    grid = Grid.fit({"x": [1.0, 2.0], "c": ["a"]}, {"x": "numeric", "c": "categorical"})
    assert grid.count({}) == grid.empty()
    assert grid.count({"x": [], "other": [1]}) == grid.empty()


def test_a_baseline_column_that_was_not_given_is_empty() -> None:
    grid = Grid.fit({}, {"x": "numeric", "c": "categorical"})
    assert grid.baseline == grid.empty()
    assert grid.count({"c": ["a"]}).unseen == {"c": {"a": 1}}


def test_codes_are_refused_in_a_numeric_column() -> None:
    with pytest.raises(TypeError, match="codes"):
        numeric_grid([1.0]).count({"x": Codes(np.zeros(1, np.int8), ["a"])})


def test_categories_compare_by_value() -> None:
    grid = Grid.fit({"c": [1, True, "1", 1.0, "b", None]}, {"c": "categorical"})
    column = grid.columns["c"]
    assert isinstance(column, CategoricalColumn)
    assert column.categories == ("1", "b")
    assert grid.baseline.ints.tolist() == [4, 1, 1, 0]
    assert canonical(1.0) == canonical("1") == canonical(value=True) == "1"


def test_unseen_categories_are_counted_by_name() -> None:
    grid = Grid.fit({"c": ["a", "b"]}, {"c": "categorical"})
    tally = grid.count({"c": ["a", "z", "z", "y", None, float("nan")]})
    assert tally.ints.tolist() == [1, 0, 2, 0]
    assert tally.unseen == {"c": {"z": 2, "y": 1}}


def test_codes_may_leave_categories_out() -> None:
    column = Codes(np.array([2, 2, -1], np.int16), ["a", "b", "c"])
    grid = Grid.fit({"c": column}, {"c": "categorical"})
    kept = grid.columns["c"]
    assert isinstance(kept, CategoricalColumn)
    assert kept.categories == ("c",)
    assert len(column) == 3


@pytest.mark.parametrize("code", [-2, 1])
def test_a_code_without_a_category_is_refused(code: int) -> None:
    grid = Grid.fit({"c": ["a"]}, {"c": "categorical"})
    with pytest.raises(ValueError, match=r"code|negative"):
        grid.count({"c": Codes(np.array([code]), ["a"])})


def test_too_many_categories_keep_the_most_frequent() -> None:
    rare = [f"id{i:05}" for i in range(MAX_CATEGORIES + 10)]
    grid = Grid.fit({"c": [*rare, "zz", "zz"]}, {"c": "categorical"})
    column = grid.columns["c"]
    assert isinstance(column, CategoricalColumn)
    assert len(column.categories) == MAX_CATEGORIES
    assert "zz" in column.categories
    assert sum(grid.baseline.unseen["c"].values()) == 11


def test_bytes_give_back_the_same_grid() -> None:
    rng = np.random.default_rng(0)
    grid = Grid.fit(
        {"x": rng.normal(size=9_000), "é": ["ü", None], "y": [1, 2, 2]},
        {"x": "numeric", "é": "categorical", "y": "numeric"},
    )
    copy = Grid.from_bytes(memoryview(grid.to_bytes()))
    assert copy.to_bytes() == grid.to_bytes()
    assert copy.digest == grid.digest
    assert copy.baseline == grid.baseline
    assert copy.layout == grid.layout
    window: dict[str, Values] = {"x": rng.normal(size=50), "é": ["ü", "o"], "y": [3.0]}
    assert copy.count(window) == grid.count(window)


def test_another_baseline_is_another_digest() -> None:
    assert numeric_grid([1.0, 2.0]).digest != numeric_grid([1.0, 2.0, 2.0]).digest
    assert numeric_grid([1.0, 2.0]).digest == numeric_grid([2.0, 1.0]).digest


@pytest.mark.parametrize("cut", [0, 3, 20, -1])
def test_cut_or_foreign_bytes_are_refused(cut: int) -> None:
    data = numeric_grid([1.0, 2.0]).to_bytes()
    with pytest.raises(ValueError):  # noqa: PT011 - json, numpy and the grid each say it
        Grid.from_bytes(data[:cut])
    with pytest.raises(ValueError, match="version 8"):
        Grid.from_bytes(b"\x08" + data[1:])


def test_layout_tells_each_column_s_place() -> None:
    grid = Grid.fit(
        {"x": [1.0, 2.0], "c": ["a", "b"], "y": [5.0]},
        {"x": "numeric", "c": "categorical", "y": "numeric"},
    )
    ends = 0, 0
    for name, span in grid.layout.items():
        assert (span.ints.start, span.sums.start) == ends, name
        ends = span.ints.stop, span.sums.stop
    assert ends == (grid.ints_length, grid.sums_length)


@given(st.lists(st.floats(-1e3, 1e3), max_size=40), st.integers(0, 40))
def test_counting_chunks_and_adding_is_counting_all(
    values: list[float], cut: int
) -> None:
    grid = numeric_grid([0.0, 1.0, 1.0, 2.0])
    parts = grid.count({"x": values[:cut]}) + grid.count({"x": values[cut:]})
    whole = grid.count({"x": values})
    assert (parts.ints == whole.ints).all()
    np.testing.assert_allclose(parts.sums, whole.sums, rtol=1e-12, atol=1e-9)


def test_long_columns_are_counted_in_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    values = np.random.default_rng(0).integers(0, 9, 1_000).astype(float)
    grid = numeric_grid(values)
    monkeypatch.setattr(columns_module, "ROWS_AT_ONCE", 64)
    assert (grid.count({"x": values}).ints == grid.baseline.ints).all()


def test_sums_are_few_however_many_points() -> None:
    for size in (1, 2, 127, 128, 129, 4_000):
        column = numeric(numeric_grid(np.arange(float(size))))
        assert column.sums_length <= MAX_SUMS + 3
        assert column.bounds[0] == 0
        assert column.bounds[-1] == len(column.points) - 1
        assert (np.diff(column.bounds) > 0).all()


def test_huge_values_overflow_into_sums_that_say_so() -> None:
    huge = [1e308, -1e308, 1.7e308, -1.7e308, 0.0]
    grid = numeric_grid(huge)
    column = numeric(grid)
    assert np.isfinite(column.points).all()
    assert grid.baseline.ints[column.cells].sum() == 5
    assert np.isinf(grid.baseline.sums[-1])
    assert Grid.from_bytes(grid.to_bytes()).baseline == grid.baseline


def test_counting_needs_little_memory_beyond_the_data() -> None:
    rng = np.random.default_rng(0)
    codes = Codes(rng.integers(0, 5, 300_000).astype(np.int32), list("abcde"))
    window: dict[str, Values] = {"x": rng.normal(size=300_000), "c": codes}
    grid = Grid.fit(
        {"x": rng.normal(size=9_000), "c": ["a"]}, {"x": "numeric", "c": "categorical"}
    )
    tracemalloc.start()
    grid.count(window)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    # copies of a piece of one column, a few small arrays, the tally
    assert peak < 2 * 300_000 * 8


def test_a_sorted_column_is_counted_alike_and_left_as_it_is() -> None:
    rng = np.random.default_rng(3)
    values = rng.normal(2, 1, 5_000).round(2)
    values[:7] = [np.nan, np.inf, -np.inf, -0.0, 1e300, -1e300, np.nan]
    grid = Grid.fit({"x": values[7:]}, {"x": "numeric"})
    column = Ordered(values)
    before = column.values.copy()
    sorted_, plain = grid.count({"x": column}), grid.count({"x": values})
    np.testing.assert_array_equal(sorted_.ints, plain.ints)
    np.testing.assert_allclose(sorted_.sums, plain.sums)
    np.testing.assert_array_equal(column.values, before)
    assert len(column) == len(values)


@pytest.mark.parametrize("shape", ["spread", "crowded"])
def test_many_rows_at_once_are_counted_as_in_small_pieces(shape: str) -> None:
    rng = np.random.default_rng(3)
    power = 1 if shape == "spread" else 9

    def draw(size: int) -> np.ndarray:
        return (rng.normal(size=size) ** power).round(3)

    window = draw(3 * MIN_ROWS)
    window[::9], window[1::500], window[2::500] = np.nan, 9.0, -9.0
    window[3::900] = np.inf
    grid = numeric_grid(draw(9_000))
    pieces = Tally.empty(grid.ints_length, grid.sums_length)
    for start in range(0, len(window), 100):
        pieces += grid.count({"x": window[start : start + 100]})
    whole = grid.count({"x": window})
    assert (whole.ints == pieces.ints).all()
    np.testing.assert_allclose(whole.sums, pieces.sums, rtol=1e-9, atol=1e-9)
    placed = Buckets.over(numeric(grid).points)
    assert (placed is None) == (shape == "crowded")
