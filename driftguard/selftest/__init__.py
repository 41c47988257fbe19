"""Trying every known way around the controls, on an organization of its own.

All of it happens in one transaction that is rolled back: of the organization nothing
is left that anybody could reach. What counts is what has come of an attempt, not what
was answered; and where nobody is refused in the way that was meant, the attempt says
nothing and counts as a failure too.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from enum import StrEnum

from django.conf import settings
from django.db import DatabaseError, connection, transaction
from django.db.models import ProtectedError
from django.http import HttpResponseBase

from driftguard.selftest import (
    approvals,
    audit,
    deployments,
    overrides,
    policies,
    tenants,
)
from driftguard.selftest.cast import Cast
from driftguard.selftest.scenarios import Act, Scenario
from governance.exceptions import GovernanceError

AREAS = {
    "approvals": approvals.SCENARIOS,
    "overrides": overrides.SCENARIOS,
    "deployments": deployments.SCENARIOS,
    "policies": policies.SCENARIOS,
    "audit": audit.SCENARIOS,
    "tenants": tenants.SCENARIOS,
}
# Answers that say no, or that somebody else has to say yes first (202). Pages of the
# admin lead elsewhere, or show the form again.
REFUSALS = frozenset({202, 401, 403, 404, 405, 409, 422})
PAGES = frozenset({200, 302})
# No right to it; refused by a trigger; by a constraint; by a unique index. A statement
# that merely is wrong has other states.
SQL_REFUSALS = frozenset({"42501", "23001", "23514", "23505"})
MEANT = "as it is meant"


class Result(StrEnum):
    REFUSED = "refused"
    THROUGH = "got through"
    # Neither done nor refused as it should be: it shows nothing.
    UNCLEAR = "unclear"


@dataclass(frozen=True, slots=True)
class Outcome:
    """What has come of one attempt."""

    area: str
    what: str
    way: str
    result: Result
    said: str


class WrongRoleError(Exception):
    """The application is connected as somebody whom nothing would hold back."""


def run(areas: Collection[str] = tuple(AREAS)) -> list[Outcome]:
    """Make all attempts and take everything back; return what has come of each.

    Raises WrongRoleError unless the connection is that of `driftguard_app`.
    """
    with undone():
        _require_role()
        cast = Cast.made()
        return [
            outcome
            for area in areas
            for scenario in AREAS[area]
            for outcome in _of(area, scenario, cast)
        ]


@contextmanager
def undone() -> Iterator[None]:
    """Take back whatever is done inside."""
    with transaction.atomic():
        yield
        transaction.set_rollback(True)


def _require_role() -> None:
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT current_user, rolsuper FROM pg_roles WHERE rolname = current_user"
        )
        name, is_superuser = cursor.fetchone()
    if name != settings.APP_ROLE or is_superuser:
        raise WrongRoleError(f"connected as {name}, not as {settings.APP_ROLE}")


def _of(area: str, scenario: Scenario, cast: Cast) -> Iterator[Outcome]:
    with undone():
        try:
            with transaction.atomic():
                trial = scenario.prepare(cast)
        except (GovernanceError, DatabaseError) as error:
            yield Outcome(area, scenario.what, MEANT, Result.UNCLEAR, str(error))
            return
        if trial.meant is not None:
            # What is allowed goes through: so a refusal is one for its own reason.
            result, said = _try(trial.meant, trial.is_through)
            if result is not Result.THROUGH:
                yield Outcome(area, scenario.what, MEANT, Result.UNCLEAR, said)
        for way, act in trial.ways.items():
            result, said = _try(act, trial.is_through)
            yield Outcome(area, scenario.what, way, result, said)


def _try(act: Act, is_through: Callable[[], bool]) -> tuple[Result, str]:
    """Do something, see what comes of it, and take it back."""
    with undone():
        try:
            with transaction.atomic():
                is_refused, said = _answer(act())
                with connection.cursor() as cursor:
                    cursor.execute("SET CONSTRAINTS ALL IMMEDIATE")
        except GovernanceError as error:
            is_refused, said = True, f"{error.code}: {error.detail}"
        except DatabaseError as error:
            code = getattr(error.__cause__, "pgcode", "")
            is_refused = code in SQL_REFUSALS or isinstance(error, ProtectedError)
            said = str(error)
        if is_through():
            result = Result.THROUGH
        else:
            result = Result.REFUSED if is_refused else Result.UNCLEAR
    return result, said.partition("\n")[0][:200]


def _answer(answer: object) -> tuple[bool, str]:
    """Tell whether an answer is a refusal, and what it says."""
    if not isinstance(answer, HttpResponseBase):
        return False, "nothing was refused"
    is_page = answer.get("Content-Type", "").startswith("text/html")
    refusals = REFUSALS | PAGES if is_page else REFUSALS
    return answer.status_code in refusals, f"status {answer.status_code}"
