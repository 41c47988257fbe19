"""Copies of checkpoints outside the database: directories, one file a day.

A file only grows. Where the place can be made append-only (`chattr +a`, a mount that
somebody else rules), not even who rules this machine changes what stands there.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Iterable, Iterator
from pathlib import Path

from django.conf import settings
from django.db.models import Max
from django.utils import timezone

from governance import notes
from governance.exceptions import ConflictError
from governance.models import Checkpoint, CheckpointCopy, Organization

logger = logging.getLogger(__name__)

# The newest notes are read from the end of the newest file.
END = 4096


def places() -> list[Path]:
    """Return the directories that the settings name."""
    return [Path(place) for place in settings.CHECKPOINT_DIRECTORIES]


def newest(organization: Organization) -> list[notes.Statement]:
    """Return what the newest copy says, of each place that can be read and has one."""
    found = []
    for place in places():
        try:
            last = _last_note(place, organization)
        except OSError as error:
            logger.warning("Checkpoints in %s can't be read: %s", place, error)
            continue
        if last is not None:
            found.append(notes.read(last))
    return found


def stored(organization: Organization) -> Iterator[str]:
    """Yield every checkpoint of a trail that stands in any of the places."""
    for place in places():
        for file in _files(place, organization):
            yield from notes.split(file.read_text(encoding="utf-8", errors="replace"))


def last_of_each_day(organization: Organization) -> Iterator[str]:
    """Yield the newest checkpoint of each day that stands in any of the places."""
    for place in places():
        for file in _files(place, organization):
            if last := _last_of(file):
                yield last


def due() -> set[int]:
    """Return the organizations whose newest checkpoint isn't everywhere yet."""
    largest = dict(
        Checkpoint.objects.values_list("organization")
        .annotate(largest=Max("size"))
        .values_list("organization", "largest")
    )
    there = {
        (copy.organization_id, copy.place): copy.size
        for copy in CheckpointCopy.objects.only("organization", "place", "size")
    }
    return {
        pk
        for pk, size in largest.items()
        for place in places()
        if there.get((pk, str(place)), 0) < size
    }


def bring_up_to_date(organization: Organization) -> bool:
    """Copy what isn't copied yet; tell whether that went well everywhere.

    What fails is written down beside the copy and tried again later.
    """
    went_well = True
    for place in places():
        copy, _ = CheckpointCopy.objects.get_or_create(
            organization=organization, place=str(place)
        )
        waiting = (
            Checkpoint.objects.for_organization(organization)
            .filter(size__gt=copy.size)
            .order_by("size")
        )
        error = ""
        try:
            copy.size = _copy(place, organization, waiting.iterator()) or copy.size
        except (OSError, notes.NoteError) as failure:
            error = str(failure)
            logger.error("No copy of %s in %s: %s", organization.slug, place, error)
        went_well &= not error
        CheckpointCopy.objects.filter(pk=copy.pk).update(
            size=copy.size, tried_at=timezone.now(), error=error
        )
    return went_well


def set_aside(organization: Organization, name: str) -> None:
    """Leave the copies of a trail where they are under another name, and begin anew.

    Raises ConflictError where a place doesn't allow it; the others are done.
    """
    refused = []
    for place in places():
        directory = _directory(place, organization)
        aside = directory.with_name(f"{organization.pk}-{name}")
        try:
            if directory.exists():
                directory.rename(aside)
        except OSError as error:
            refused.append(f"rename {directory} to {aside.name} yourself ({error})")
            continue
        rows = CheckpointCopy.objects.for_organization(organization)
        rows.filter(place=str(place)).update(size=0)
    if refused:
        raise ConflictError(f"Not all copies could be set aside: {'; '.join(refused)}.")


def _copy(
    place: Path, organization: Organization, checkpoints: Iterable[Checkpoint]
) -> int:
    """Append the checkpoints that aren't there; return the size of the last one."""
    last = _last_note(place, organization)
    size = notes.read(last).size if last else 0
    for checkpoint in checkpoints:
        # It may stand there already: written, but not written down.
        if checkpoint.size > size:
            _append(_directory(place, organization), checkpoint)
            size = checkpoint.size
    return size


def _append(directory: Path, checkpoint: Checkpoint) -> None:
    directory.mkdir(parents=True, exist_ok=True)
    path = directory / f"{checkpoint.at:%Y-%m-%d}.txt"
    with path.open("a+b") as file:
        end = file.seek(0, os.SEEK_END)
        file.seek(max(0, end - 2))
        # A note that was cut off ends here, so that the next one is not part of it.
        mark = b"" if end == 0 or file.read() == b"\n\n" else b"\n\n"
        file.write(mark + checkpoint.note.encode() + b"\n")
        file.flush()
        os.fsync(file.fileno())


def _last_note(place: Path, organization: Organization) -> str | None:
    for file in reversed(_files(place, organization)):
        if last := _last_of(file):
            return last
    return None


def _last_of(file: Path) -> str | None:
    with file.open("rb") as content:
        content.seek(max(0, file.stat().st_size - END))
        text = content.read().decode(errors="replace")
    # The first may have been cut in two by reading the end only.
    found = list(notes.split(text))
    return found[-1] if found else None


def _files(place: Path, organization: Organization) -> list[Path]:
    return sorted(_directory(place, organization).glob("????-??-??.txt"))


def _directory(place: Path, organization: Organization) -> Path:
    return place / str(organization.pk)
