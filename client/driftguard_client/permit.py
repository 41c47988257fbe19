"""Check offline whether a version may run, here and now.

A permit is a JWS in compact form, signed with Ed25519 (RFC 7515, RFC 8037). Its key
comes from `GET /api/permit-keys`, fetched once over a way that is trusted. Needs the
extra `permit` (cryptography).
"""

from __future__ import annotations

import base64
import json
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from driftguard_client.errors import DriftGuardError


class PermitError(DriftGuardError):
    """The permit doesn't allow it; the message says why."""


@dataclass(frozen=True)
class Permit:
    """What a valid permit says."""

    model: Any
    version: str
    environment: str
    status: str
    expires_at: float  # seconds since 1970
    claims: Mapping[str, Any]


def check_permit(
    token: str,
    keys: Mapping[str, Any],
    *,
    version: str | None = None,
    environment: str | None = None,
    at: float | None = None,
) -> Permit:
    """Return what the permit says, or raise `PermitError`.

    Parameters
    ----------
    token : str
        The permit, as `GET /api/models/{id}/permit` answers it.
    keys : mapping
        The key set that it has to be signed with (JWKS, `{"keys": [...]}`).
    version, environment : str, optional
        What has to stand in it.
    at : float, optional
        The moment, in seconds since 1970 (now).
    """
    parts = token.split(".")
    if len(parts) != 3:
        raise PermitError("This is not a permit: it doesn't have three parts.")
    head, claims = (_json(part) for part in parts[:2])
    if head.get("alg") != "EdDSA":
        raise PermitError(f"The permit's algorithm is {head.get('alg')!r}, not EdDSA.")
    _verify(_key(keys, head.get("kid")), parts)
    now = time.time() if at is None else at
    expires_at = claims.get("exp")
    if not isinstance(expires_at, (int, float)) or isinstance(expires_at, bool):
        raise PermitError("The permit has no end.")
    if now >= expires_at:
        raise PermitError("The permit has expired.")
    for name, expected in (("version", version), ("environment", environment)):
        if expected is not None and claims.get(name) != expected:
            raise PermitError(
                f"The permit is for {name} {claims.get(name)!r}, not {expected!r}."
            )
    return Permit(
        claims.get("model"),
        str(claims.get("version", "")),
        str(claims.get("environment", "")),
        str(claims.get("status", "")),
        float(expires_at),
        claims,
    )


def _bytes(part: str) -> bytes:
    try:
        return base64.b64decode(
            (part + "=" * (-len(part) % 4)).encode("ascii"), b"-_", validate=True
        )
    except ValueError:
        raise PermitError("This is not a permit: a part isn't base64.") from None


def _json(part: str) -> dict[str, Any]:
    try:
        told = json.loads(_bytes(part))
    except ValueError:
        raise PermitError("This is not a permit: a part isn't JSON.") from None
    if not isinstance(told, dict):
        raise PermitError("This is not a permit: a part isn't an object.")
    return told


def _key(keys: Mapping[str, Any], identifier: Any) -> bytes:
    for key in keys.get("keys", []):
        if key.get("kid") == identifier and key.get("crv") == "Ed25519":
            return _bytes(str(key.get("x", "")))
    raise PermitError(f"The permit's key {identifier!r} is not in the key set.")


def _verify(key: bytes, parts: list[str]) -> None:
    try:
        from cryptography.exceptions import InvalidSignature
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
    except ImportError:
        raise DriftGuardError(
            "Checking a permit needs: pip install 'driftguard-client[permit]'"
        ) from None
    try:
        public = Ed25519PublicKey.from_public_bytes(key)
        public.verify(_bytes(parts[2]), f"{parts[0]}.{parts[1]}".encode())
    except (InvalidSignature, ValueError):
        raise PermitError("The permit's signature is not that of its key.") from None
