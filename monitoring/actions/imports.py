"""Storing files of predictions: each part once, however often the file is read."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from django.db import IntegrityError, connection, transaction

from governance.actions import audit
from governance.actions.audit import Subject
from governance.actions.credentials import Credential
from governance.exceptions import ConflictError, FieldFault, InvalidError
from governance.models import ApiKey
from governance.models.tenancy import TenantQuerySet
from monitoring.actions import predictions
from monitoring.actions.predictions import Stored
from monitoring.ingest import Answer, files
from monitoring.ingest.files import Mark, Part
from monitoring.models import ImportMark, Receipt


class Outcome(NamedTuple):
    """What has become of a part's rows."""

    accepted: int
    faults: Sequence[FieldFault] = ()
    rejected: int = 0


@contextmanager
def alone(credential: Credential) -> Iterator[None]:
    """Keep other imports of the organization out; raise ConflictError if one runs.

    The database ends it with the connection.
    """
    place = [f"driftguard import {credential.organization_id}"]
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_try_advisory_lock(hashtext(%s))", place)
        (is_alone,) = cursor.fetchone()
    if not is_alone:
        raise ConflictError("Another import of the organization is running.")
    try:
        yield
    finally:
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_advisory_unlock(hashtext(%s))", place)


def continued_after(path: Path, *, model: str, credential: Credential) -> Mark:
    """Return the mark before which all rows of the file are stored."""
    marks = _marks(model, credential).filter(size__lte=path.stat().st_size)
    known = [
        Mark(rows, size, bytes(digest))
        for rows, size, digest in marks.values_list("rows", "size", "digest")
    ]
    return files.last_mark(path, known)


def store(
    part: Part, *, model: str, credential: Credential, leave_out_bad_rows: bool
) -> Outcome:
    """Store a part's rows and its mark, both or neither.

    Raises
    ------
    InvalidError
        Rows are bad, and are not to be left out.
    ConflictError
        Somebody else has stored the part meanwhile.
    Others
        See `predictions.log_predictions`.
    """
    batch = part.batch
    if model:
        batch.models = [model if one is None else one for one in batch.models]
    outcome = Outcome(0)

    def respond(stored: Stored) -> Answer:
        nonlocal outcome
        faults = stored.batch.faults
        outcome = Outcome(len(stored.lines), faults.first(), len(faults.rows))
        return Answer(201, b"")

    def mark() -> None:
        _marks(model, credential).create(
            organization_id=credential.organization_id,
            model_reference=model,
            environment=_environment(credential),
            **part.end._asdict(),
        )

    try:
        predictions.log_predictions(
            batch,
            credential=credential,
            respond=respond,
            channel=Receipt.Channel.FILE,
            leave_out_bad_rows=leave_out_bad_rows,
            also=mark,
        )
    except IntegrityError as error:
        if "import_mark_once" not in str(error):
            raise
        raise ConflictError("Another process has stored these rows.") from error
    except InvalidError as error:
        if not (leave_out_bad_rows and batch.faults):
            raise
        with transaction.atomic():
            mark()
        outcome = Outcome(0, error.errors, len(batch.faults.rows))
    return outcome


@audit.deed
def finish(
    path: Path, *, end: Mark, accepted: int, rejected: int, by: Credential
) -> None:
    """Record in the trail what a run has stored of a file."""
    audit.record(
        by.organization_id,
        actor=by.actor,
        action="predictions.imported",
        object=Subject("file", end.digest.hex(), path.name),
        facts={"rows": end.rows, "accepted": accepted, "rejected": rejected},
    )


def _marks(model: str, credential: Credential) -> TenantQuerySet[ImportMark]:
    return ImportMark.objects.for_organization(credential.organization_id).filter(
        model_reference=model, environment=_environment(credential)
    )


def _environment(credential: Credential) -> str:
    return credential.environment or ApiKey.Environment.PRODUCTION.value
