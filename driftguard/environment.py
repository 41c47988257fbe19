"""Reading the environment: every value is understood or refused, never guessed."""

import contextlib
import os
import secrets
import tempfile
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

from django.core.exceptions import ImproperlyConfigured

SPELLINGS = {
    "1": True,
    "true": True,
    "yes": True,
    "on": True,
    "0": False,
    "false": False,
    "no": False,
    "off": False,
}
SCHEMES = {"postgres", "postgresql", "postgresql+psycopg2"}


def text(name: str, default: str = "") -> str:
    return os.environ.get(name, "").strip() or default


def raw(name: str, default: str) -> str:
    """Return the value as it is: set but empty is a value of its own."""
    return os.environ.get(name, default)


def flag(name: str, *, default: bool) -> bool:
    value = text(name)
    if not value:
        return default
    if value.lower() not in SPELLINGS:
        raise ImproperlyConfigured(f"{name} is {value!r}; use 'true' or 'false'.")
    return SPELLINGS[value.lower()]


def integer(name: str, default: int, *, minimum: int = 0) -> int:
    value = text(name)
    if not value:
        return default
    if not value.isascii() or not value.isdigit() or int(value) < minimum:
        raise ImproperlyConfigured(
            f"{name} is {value!r}; use a whole number of at least {minimum}."
        )
    return int(value)


def words(name: str, default: list[str]) -> list[str]:
    """Return the comma-separated values of ``name``."""
    value = text(name)
    if not value:
        return default
    return [word.strip() for word in value.split(",") if word.strip()]


def database(name: str) -> dict[str, Any] | None:
    """Return Django's connection settings for the URL in ``name``, if it is set.

    Query parameters are handed to libpq (``?host=/run/postgresql``, ``?sslmode=…``).
    """
    value = text(name)
    return database_from_url(value, name=name) if value else None


def database_from_url(url: str, *, name: str = "DATABASE_URL") -> dict[str, Any]:
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError as error:
        raise ImproperlyConfigured(f"{name} is not a URL: {error}.") from None
    if parts.scheme not in SCHEMES:
        # The value may hold a password, so that only the scheme is repeated.
        raise ImproperlyConfigured(
            f"{name} starts with {parts.scheme!r}; DriftGuard needs postgresql://…"
        )
    options = dict(parse_qsl(parts.query))
    database_name = unquote(parts.path.lstrip("/")) or options.pop("dbname", "")
    if not database_name:
        raise ImproperlyConfigured(f"{name} names no database after the host.")
    return {
        "NAME": database_name,
        "USER": unquote(parts.username or "") or options.pop("user", ""),
        "PASSWORD": unquote(parts.password or "") or options.pop("password", ""),
        "HOST": unquote(parts.hostname or "") or options.pop("host", ""),
        "PORT": str(port or options.pop("port", "")),
        "OPTIONS": options,
    }


def kept_secret(path: Path) -> str:
    """Return the secret kept in ``path``; the first call makes it.

    Several processes may ask at once: the file appears complete or not at all, and
    the first one to link it wins.
    """
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        with tempfile.NamedTemporaryFile("w", dir=path.parent) as draft:
            draft.write(secrets.token_urlsafe(64))
            draft.flush()
            with contextlib.suppress(FileExistsError):
                os.link(draft.name, path)
    return path.read_text(encoding="ascii")
