"""Rounds of beat: one deed for each row that is due, whatever becomes of the others."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from typing import TypeVar

from django.db import DatabaseError, models

from governance.exceptions import GovernanceError

M = TypeVar("M", bound=models.Model)
logger = logging.getLogger(__name__)


def over(rows: Iterable[M], deed: Callable[[M], bool]) -> int:
    """Do a deed for each row; return how many it did something for.

    A row that can't be done now stays due, and holds up none behind it.
    """
    done = 0
    for row in rows:
        try:
            done += bool(deed(row))
        except (GovernanceError, DatabaseError):
            logger.exception("A round could not be done for %s %s", type(row), row.pk)
    return done
