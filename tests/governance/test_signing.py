"""The installation's Ed25519 key: made once, kept secret, replaced without loss."""

import base64
import stat
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from django.core.exceptions import ImproperlyConfigured

from governance import signing

# The first test vector of RFC 8032, section 7.1: the empty message.
SECRET = "9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60"
PUBLIC = "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a"
SIGNATURE = (
    "e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e06522490155"
    "5fb8821590a33bacc61e39701cf9b46bd25bf5f0595bbe24655141438e7a100b"
)


@pytest.fixture(autouse=True)
def data_directory(settings, tmp_path: Path) -> Path:
    settings.DATA_DIR = tmp_path / "data"
    settings.SIGNING_KEY = ""
    settings.SIGNING_KEYS_BEFORE = []
    return tmp_path / "data"


def test_signs_as_the_published_vector_says(settings) -> None:
    settings.SIGNING_KEY = base64.b64encode(bytes.fromhex(SECRET)).decode()
    signature = signing.sign(b"")
    assert signature.key.raw.hex() == PUBLIC
    assert signature.value.hex() == SIGNATURE
    assert not signing.is_kept_here()


def test_makes_one_key_however_many_ask_and_only_its_owner_may_read_it(
    data_directory: Path,
) -> None:
    with ThreadPoolExecutor(8) as pool:
        found = set(pool.map(lambda _: signing.public_key(), range(16)))
    assert len(found) == 1
    [file] = data_directory.iterdir()
    assert file.name == signing.KEY_FILE
    assert stat.S_IMODE(file.stat().st_mode) == 0o600


def test_verifies_what_it_signed_and_nothing_else() -> None:
    value, key = signing.sign(b"yes").value, signing.public_key()
    assert signing.verify(b"yes", value, key_id=key.id)
    assert not signing.verify(b"no", value, key_id=key.id)
    assert not signing.verify(b"yes", bytes(64), key_id=key.id)
    assert not signing.verify(b"yes", value[:-1], key_id=key.id)
    assert not signing.verify(b"yes", value, key_id="0" * 16)


def test_a_prepared_key_signs_only_once_it_is_taken() -> None:
    first = signing.public_key()
    following = signing.prepare_next()
    assert signing.prepare_next() == following != first
    assert signing.sign(b"x").key == first
    assert signing.take_next() == following
    assert signing.sign(b"x").key == following


def test_what_an_earlier_key_signed_stays_good_though_it_can_sign_no_more(
    data_directory: Path,
) -> None:
    first = signing.sign(b"once")
    secret = (data_directory / signing.KEY_FILE).read_text()
    for _ in range(2):
        signing.prepare_next()
        signing.take_next()
    assert signing.verify(b"once", first.value, key_id=first.key.id)
    assert len(signing.public_keys()) == 3
    assert signing.public_keys()[0] == signing.public_key()
    assert signing.public_keys()[-1] == first.key
    everything = "".join(file.read_text() for file in data_directory.iterdir())
    assert secret.strip() not in everything


def test_taking_the_next_key_again_after_a_crash_loses_none(
    data_directory: Path,
) -> None:
    first = signing.public_key()
    following = signing.prepare_next()
    # It got as far as writing down the key that it was about to replace.
    (data_directory / signing.PREVIOUS_FILE).write_text(first.text + "\n")
    assert signing.public_keys() == [first]
    assert signing.take_next() == following
    assert signing.public_keys() == [following, first]


def test_the_environment_can_name_earlier_keys(settings) -> None:
    earlier = signing.sign(b"once")
    settings.SIGNING_KEY = base64.b64encode(bytes.fromhex(SECRET)).decode()
    settings.SIGNING_KEYS_BEFORE = [earlier.key.text]
    assert signing.verify(b"once", earlier.value, key_id=earlier.key.id)
    assert signing.public_keys()[0].raw.hex() == PUBLIC


@pytest.mark.parametrize("text", ["secret", "c2VjcmV0", "§", "A" * 44])
def test_a_key_that_is_none_is_refused_without_being_told(settings, text: str) -> None:
    settings.SIGNING_KEY = text
    with pytest.raises(ImproperlyConfigured, match="32 bytes in Base64") as refused:
        signing.sign(b"")
    assert text not in str(refused.value)
