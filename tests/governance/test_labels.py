import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from governance import labels
from governance.labels import canonical


@pytest.mark.parametrize(
    "value",
    [1, 1.0, "1", "1.0", "1.00", True, "true", "True", np.int64(1), np.bool_(True)],
)
def test_equal_values_are_spelled_alike(value: object) -> None:
    assert canonical(value) == "1"


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (False, "0"),
        (-0.0, "0"),
        ("-0", "0"),
        ("-0.0", "0"),
        ("false", "0"),
        (0.1, "0.1"),
        ("0.10", "0.1"),
        (np.float64(2.5), "2.5"),
        ("-7.50", "-7.5"),
        (1e16, "10000000000000000"),
        (1e300, "1e+300"),
        ("1e+300", "1e+300"),
        (2**62 + 1, "4611686018427387905"),  # beyond what a float64 tells apart
        (str(2**62 + 1), "4611686018427387905"),
        ("01", "01"),  # a code, not a number
        (" 1", " 1"),
        ("1e5", "1e5"),
        ("", ""),
        ("grün", "grün"),
        ("true story", "true story"),
    ],
)
def test_text_that_is_no_plain_number_stays_as_it_is(value: object, text: str) -> None:
    assert canonical(value) == text


@pytest.mark.parametrize("value", [None, math.nan, np.float64("nan")])
def test_a_missing_value_has_no_spelling(value: object) -> None:
    assert canonical(value) is None


def test_a_list_is_no_label() -> None:
    with pytest.raises(TypeError, match="not list"):
        canonical([1])


@given(st.one_of(st.text(), st.integers(), st.floats(), st.booleans()))
def test_a_canonical_spelling_is_its_own_canonical_spelling(value: object) -> None:
    text = canonical(value)
    assert text is None or canonical(text) == text


@given(st.integers(-(2**53), 2**53))
def test_an_integer_equals_its_float_and_its_text(value: int) -> None:
    assert canonical(value) == canonical(float(value)) == canonical(str(value))


@pytest.mark.parametrize(
    ("value", "band"),
    [
        (29.9, "under 30"),
        (30, "30 to under 45"),
        ("44", "30 to under 45"),
        (45.0, "45 and over"),
        (-1e300, "under 30"),
        (None, None),
        (math.nan, None),
        (math.inf, None),
        ("unknown", None),
    ],
)
def test_a_value_on_an_edge_belongs_above_it(value: object, band: str | None) -> None:
    assert labels.band_of(value, (30, 45)) == band


def test_a_single_edge_makes_two_bands() -> None:
    assert labels.band_names((0.5,)) == ("under 0.5", "0.5 and over")
