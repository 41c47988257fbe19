"""Permits are checked without the server; the key set is the only trust."""

import base64
import json
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from driftguard_client.permit import PermitError, check_permit

KEY = Ed25519PrivateKey.generate()
CLAIMS = {
    "model": "fraud",
    "version": "1.0.0",
    "environment": "production",
    "status": "APPROVED",
    "exp": 2_000_000_000,
}
NOW = 1_900_000_000


def encoded(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def key_set(key: Ed25519PrivateKey = KEY) -> dict[str, Any]:
    x = encoded(key.public_key().public_bytes_raw())
    return {"keys": [{"kty": "OKP", "crv": "Ed25519", "kid": "k1", "x": x}]}


def permit(claims: Any = CLAIMS, *, key: Ed25519PrivateKey = KEY, **head: Any) -> str:
    told = {"alg": "EdDSA", "kid": "k1", **head}
    signed = ".".join(encoded(json.dumps(part).encode()) for part in (told, claims))
    return f"{signed}.{encoded(key.sign(signed.encode()))}"


def test_a_permit_says_what_may_run() -> None:
    found = check_permit(
        permit(), key_set(), version="1.0.0", environment="production", at=NOW
    )
    assert (found.model, found.status) == ("fraud", "APPROVED")


@pytest.mark.parametrize(
    ("token", "why"),
    [
        (permit(key=Ed25519PrivateKey.generate()), "signature"),
        (permit(kid="k2"), "k2"),
        (permit(alg="none"), "EdDSA"),
        (permit(alg="HS256"), "EdDSA"),
        (permit({**CLAIMS, "exp": NOW}), "expired"),
        (permit({**CLAIMS, "exp": None}), "no end"),
        (permit({**CLAIMS, "exp": True}), "no end"),
        (permit({**CLAIMS, "version": "2"}), "version"),
        (permit({**CLAIMS, "environment": "staging"}), "environment"),
        (permit([1]), "object"),
        (permit()[:-2], "signature"),
        ("a.b", "three parts"),
        ("§.§.§", "base64"),
        ("YQ.YQ.YQ", "JSON"),
    ],
)
def test_anything_else_is_refused(token: str, why: str) -> None:
    with pytest.raises(PermitError, match=why):
        check_permit(
            token, key_set(), version="1.0.0", environment="production", at=NOW
        )


def test_every_changed_character_is_seen() -> None:
    token = permit()
    for place, letter in enumerate(token):
        other = "A" if letter != "A" else "B"
        forged = token[:place] + other + token[place + 1 :]
        # The last character of base64 holds bits that stand for nothing.
        if place in (len(token) - 1, token.index(".") - 1, token.rindex(".") - 1):
            continue
        with pytest.raises(PermitError):
            check_permit(forged, key_set(), at=NOW)
