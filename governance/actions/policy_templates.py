"""Policies to begin with, shipped as files."""

from __future__ import annotations

from functools import cache
from pathlib import Path

from governance.decision import documents
from governance.decision.documents import Document
from governance.exceptions import NotFoundError

FOLDER = Path(__file__).parent.parent / "policy_templates"


@cache
def names() -> tuple[str, ...]:
    """Return what the templates are called in addresses."""
    return tuple(sorted(path.stem for path in FOLDER.glob("*.yaml")))


def text(name: str) -> str:
    """Return a template as the file that it is. Raises NotFoundError."""
    if name not in names():
        raise NotFoundError
    return (FOLDER / f"{name}.yaml").read_text(encoding="utf-8")


def read(name: str) -> Document:
    """Return a template, read. Raises NotFoundError."""
    return documents.read(text(name))
