"""Encoding and PCA reconstruction against scikit-learn."""

import json
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.decomposition import PCA
from sklearn.preprocessing import StandardScaler

from monitoring.stats.columns import Codes, Kind
from monitoring.stats.encoding import Encoding, row_count, take
from monitoring.stats.measure import InsufficientDataError, NoDataError
from monitoring.stats.multivariate import PcaReconstruction, pca_reconstruction

KINDS: dict[str, Kind] = {"x": "numeric", "y": "numeric", "c": "categorical"}


def rows(size: int, seed: int = 0, slope: float = 1.0) -> dict[str, Any]:
    rng = np.random.default_rng(seed)
    x = rng.normal(size=size)
    return {
        "x": x,
        "y": slope * x + rng.normal(0, 0.2, size),
        "c": Codes((x > 0).astype(int), ["low", "high"]),
    }


def test_categories_become_their_share_of_the_baseline() -> None:
    baseline = {"c": ["a", "a", "b", None], "x": [1.0, None, 3.0, 5.0]}
    kinds: dict[str, Kind] = {"c": "categorical", "x": "numeric"}
    encoding = Encoding.fit(baseline, kinds)
    table = encoding.transform({"c": ["a", "b", "new", None], "x": [3.0] * 4})
    # a and the missing row 3/4, b 1/4; by hand: mean 5/8, standard deviation √3/8
    shares = np.array([3 / 4, 1 / 4, 0, 3 / 4])
    np.testing.assert_allclose(table[:, 0], (shares - 5 / 8) / (np.sqrt(3) / 8))
    np.testing.assert_allclose(table[:, 1], 0)


def test_any_spelling_of_a_category_is_one() -> None:
    kinds: dict[str, Kind] = {"c": "categorical"}
    encoding = Encoding.fit({"c": [1, 1, 2]}, kinds)
    spelled = ([1, 2, 3], ["1", "2", "3"], Codes(np.array([1, 0, 2]), ["2", "1", "x"]))
    tables = [encoding.transform({"c": one}) for one in spelled]
    tables.append(encoding.transform({"c": np.array([1.0, 2.0, 3.0])}))
    for table in tables[1:]:
        np.testing.assert_array_equal(table, tables[0])


def test_columns_without_a_value_are_left_out_and_named() -> None:
    kinds: dict[str, Kind] = {"x": "numeric", "z": "numeric", "d": "categorical"}
    encoding = Encoding.fit({"x": [1.0, 2.0], "d": [None, None]}, kinds)
    assert encoding.names == ("x",)
    assert encoding.left_out == ("z", "d")
    with pytest.raises(NoDataError):
        Encoding.fit({"d": [None]}, kinds)
    with pytest.raises(NoDataError):
        Encoding.fit({}, kinds)


def test_columns_must_be_of_one_length() -> None:
    with pytest.raises(ValueError, match="x has 1, y has 2"):
        row_count({"x": [1.0], "y": [1.0, 2.0]}, KINDS)


def test_rows_can_be_taken_of_any_column() -> None:
    chosen = np.array([2, 0])
    codes = take(Codes(np.array([0, 1, 1]), ["a", "b"]), chosen)
    assert isinstance(codes, Codes)
    assert codes.codes.tolist() == [1, 0]
    assert list(take(np.arange(3), chosen)) == [2, 0]  # type: ignore[arg-type]
    assert take(["a", "b", "c"], chosen) == ["c", "a"]


def test_reconstruction_errors_equal_scikit_learn() -> None:
    rng = np.random.default_rng(0)
    mixing = rng.normal(size=(8, 8))
    base, window = rng.normal(size=(500, 8)) @ mixing, rng.normal(size=(90, 8)) * 3
    kinds: dict[str, Kind] = {f"x{i}": "numeric" for i in range(8)}
    fitted = PcaReconstruction.fit(dict(zip(kinds, base.T, strict=True)), kinds)
    scaler = StandardScaler().fit(base)
    pca = PCA(0.65).fit(scaler.transform(base))
    scaled = scaler.transform(window)
    back = pca.inverse_transform(pca.transform(scaled))
    truth = np.linalg.norm(scaled - back, axis=1)
    found = fitted.errors(dict(zip(kinds, window.T, strict=True)))
    np.testing.assert_allclose(found, truth, rtol=1e-9)
    assert fitted.components == pca.n_components_


def test_columns_that_part_company_are_noticed() -> None:
    # Both columns keep their distribution; the sign between them turns.
    baseline = rows(2_000)
    quiet = pca_reconstruction(baseline, rows(1_000, seed=1), KINDS)
    assert quiet.score < 3
    turned = pca_reconstruction(baseline, rows(1_000, seed=1, slope=-1), KINDS)
    assert turned.score > 10
    assert turned.p_value is not None
    assert turned.p_value < 1e-9
    assert turned.detail["error"] > turned.detail["upper_limit"]


def test_a_single_row_is_far_off_by_chance_and_no_proof() -> None:
    baseline = rows(2_000)
    scores = []
    for seed in range(40):
        measure = pca_reconstruction(baseline, rows(1, seed=seed), KINDS)
        assert measure.n == 1
        assert measure.p_value is not None
        scores.append(measure.score > 3 and measure.p_value < 0.05)
    assert np.mean(scores) < 0.2


def test_a_window_without_rows_or_a_baseline_without_spread_says_so() -> None:
    baseline = rows(100)
    with pytest.raises(NoDataError):
        pca_reconstruction(baseline, {"x": [], "y": [], "c": []}, KINDS)
    with pytest.raises(NoDataError):
        pca_reconstruction(baseline, {}, KINDS)
    flat: dict[str, Any] = {"x": [1.0] * 50, "y": [0.1] * 50, "c": ["a"] * 50}
    with pytest.raises(InsufficientDataError, match="varies"):
        pca_reconstruction(flat, flat, KINDS)
    with pytest.raises(InsufficientDataError, match="29 rows"):
        pca_reconstruction(rows(29), baseline, KINDS)


values = st.one_of(
    st.floats(-1.79e308, 1.79e308), st.none(), st.just(float("nan")), st.just(2.0)
)
names = st.one_of(st.sampled_from(["a", "b", "new"]), st.none())


@given(
    st.lists(st.tuples(values, values, names), min_size=30, max_size=40),
    st.lists(st.tuples(values, values, names), min_size=1, max_size=5),
)
def test_any_rows_give_a_finite_answer_or_a_reason(
    first: list[Any], second: list[Any]
) -> None:
    baseline, window = (
        dict(zip(KINDS, map(list, zip(*part, strict=True)), strict=True))
        for part in (first, second)
    )
    try:
        measure = pca_reconstruction(baseline, window, KINDS)
    except (NoDataError, InsufficientDataError):
        return
    assert np.isfinite(measure.score)
    json.dumps(measure.to_json(), allow_nan=False)
