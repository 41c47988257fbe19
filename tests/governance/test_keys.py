import re
import zlib

import pytest

from governance import keys


def test_a_key_has_its_environment_its_name_and_190_bits() -> None:
    key = keys.make("production")
    match = re.fullmatch(r"dg_live_(\w{8})_([0-9A-Za-z]{32})([0-9A-Za-z]{6})", key.text)
    assert match is not None
    assert key.prefix == f"dg_live_{match[1]}"
    assert 62**32 > 2**190
    assert keys.prefix_of(key.text) == key.prefix
    assert key.digest == keys.digest(key.text)


def test_the_last_six_digits_are_the_crc32_of_the_rest() -> None:
    text = keys.make("staging").text
    value = 0
    for digit in text[-6:]:
        value = value * 62 + keys.ALPHABET.index(digit)
    assert value == zlib.crc32(text[:-6].encode())  # oracle: zlib itself


@pytest.mark.parametrize("position", [3, 9, 20, 50, -1])
def test_a_mistyped_key_is_no_key(position: int) -> None:
    letters = list(keys.make("production").text)
    letters[position] = "0" if letters[position] != "0" else "1"
    assert keys.prefix_of("".join(letters)) is None


@pytest.mark.parametrize("text", ["", "dg_", "dg_live_", "dg_test_" + "0" * 47, "\0"])
def test_what_has_not_the_form_is_no_key(text: str) -> None:
    assert keys.prefix_of(text) is None


def test_keys_do_not_repeat() -> None:
    made = [keys.make("development") for _ in range(200)]
    assert len({key.prefix for key in made}) == len({key.digest for key in made}) == 200
