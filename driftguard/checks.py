"""Contradictions between settings that Django's own checks don't know."""

from typing import Any

from django.conf import settings
from django.core.checks import CheckMessage, Tags, Warning, register

from driftguard import environment


@register(Tags.security, deploy=True)
def shared_secret(**_: Any) -> list[CheckMessage]:
    """Ask for a shared key where several machines may use one database."""
    if settings.EMBEDDED or environment.text("SECRET_KEY"):
        return []
    return [
        Warning(
            "SECRET_KEY is not set: this machine made a key of its own.",
            hint="Give every process on every machine the same key, at least 50 "
            "random characters; otherwise they refuse each other's tokens.",
            id="driftguard.W001",
        )
    ]


@register(Tags.security, deploy=True)
def shared_signing_key(**_: Any) -> list[CheckMessage]:
    """Ask for a shared signing key likewise: one installation, one signature."""
    if settings.EMBEDDED or settings.SIGNING_KEY:
        return []
    return [
        Warning(
            "SIGNING_KEY is not set: this machine made a signing key of its own.",
            hint="Give every process on every machine the same key (openssl rand "
            "-base64 32); otherwise checkpoints and permits bear several signatures.",
            id="driftguard.W002",
        )
    ]
