"""The text of access and refresh tokens: JSON Web Tokens, signed with HS256 only.

simplejwt's backend does the signing and checks signature, algorithm, expiry, issuer and
audience; what a token is for and which session it belongs to is checked here.
"""

from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from typing import Any
from uuid import UUID

from django.conf import settings
from rest_framework_simplejwt.backends import TokenBackend
from rest_framework_simplejwt.exceptions import TokenBackendError

from governance.exceptions import NotAuthenticatedError

ACCESS, REFRESH = "access", "refresh"
ISSUER, AUDIENCE = "driftguard", "driftguard-api"


@dataclass(frozen=True, slots=True)
class Claims:
    kind: str  # access or refresh
    user_id: int
    session_id: UUID
    token_id: UUID  # of a refresh token: the session's current one, or a used one
    expires_at: datetime


@cache
def _backend(signing_key: str) -> TokenBackend:
    return TokenBackend(
        "HS256", signing_key=signing_key, audience=AUDIENCE, issuer=ISSUER
    )


def sign(claims: Claims) -> str:
    return _backend(settings.JWT_SIGNING_KEY).encode(
        {
            "token_type": claims.kind,
            "sub": str(claims.user_id),
            "sid": str(claims.session_id),
            "jti": str(claims.token_id),
            "iat": int(datetime.now(UTC).timestamp()),
            "exp": int(claims.expires_at.timestamp()),
        }
    )


def read(text: str, *, kind: str) -> Claims:
    """Return what a token of this kind claims, or raise NotAuthenticatedError."""
    # The backend wants the text; its annotation says otherwise.
    token: Any = text
    try:
        payload = _backend(settings.JWT_SIGNING_KEY).decode(token)
        claims = Claims(
            kind=payload["token_type"],
            user_id=int(payload["sub"]),
            session_id=UUID(payload["sid"]),
            token_id=UUID(payload["jti"]),
            expires_at=datetime.fromtimestamp(payload["exp"], UTC),
        )
    # Every fault is the same to the caller: nothing is told about how tokens are made.
    except (TokenBackendError, KeyError, TypeError, ValueError, AttributeError):
        raise NotAuthenticatedError from None
    if claims.kind != kind:
        raise NotAuthenticatedError
    return claims
