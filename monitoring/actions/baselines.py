"""Baselines: what a version's columns, scores and outcomes looked like at its best."""

from __future__ import annotations

import json
import os
import subprocess  # nosec B404
import sys
import threading
from collections.abc import Mapping, Sequence
from contextlib import suppress
from datetime import datetime
from typing import TYPE_CHECKING, Any, NamedTuple
from uuid import UUID

import msgspec
from django.conf import settings
from django.db.models import Max, QuerySet

from governance import exceptions
from governance.actions import registry, subjects
from governance.actions.audit import Actor, deed, record
from governance.identifiers import IdentifierError, decode
from governance.models import ApprovalRequest, ModelVersion, RegisteredModel
from governance.schema import Schema
from monitoring.actions import standards, versions
from monitoring.models import Baseline, Profile, ProfiledReceipt, Receipt

if TYPE_CHECKING:
    # A web process makes baselines without loading what this takes.
    from monitoring.stats.fitting import Fitted

# So many first predictions become the provisional baseline of a version without one.
PROVISIONAL_ROWS = 1_000
FITTING_SECONDS = 120
# Each process takes a core and the memory of its baseline: two at once per process.
PLACES = threading.BoundedSemaphore(2)
PLACE_SECONDS = 30.0
_MODULE = "monitoring.stats.apart"
_ERRORS = {
    error.code: error
    for error in (
        exceptions.MalformedError,
        exceptions.InvalidError,
        exceptions.TooLargeError,
    )
}


def create(
    version: ModelVersion,
    *,
    features: Mapping[str, Sequence[Any]],
    target: Mapping[str, Any] | None = None,
    labeled: Mapping[str, Any] | None = None,
    label: str,
    actor: Actor | None,
) -> Baseline:
    """Give the version a baseline; its first one becomes active.

    `features` is name → values, `target` {"type", "values"}, `labeled` the lists
    `probabilities`, `predictedLabels` and `actualLabels`. Raises InvalidError with
    every fault, AlreadyExistsError if another baseline has the label.
    """
    body = {
        "featureData": features,
        "targetData": target,
        "labeledPredictions": labeled,
    }
    encoded = msgspec.json.encode(body)
    return create_from_body(version, encoded, form="json", label=label, actor=actor)


class _AlongWith(NamedTuple):
    """A baseline that comes with the registration of its version."""

    schema: Schema
    label: str
    fitted: Fitted | _Answer


def prepare_with_version(schema: Schema, version: str, described: Any) -> _AlongWith:
    """Fit the baseline that came along with a version that is going to be registered.

    `described` has the fields of a baseline's body, `version` may be left out. Raises
    InvalidError.
    """
    if not isinstance(described, Mapping):
        error = exceptions.fault("baseline", code="type", detail="expected an object")
        raise exceptions.InvalidError(errors=[error])
    fields = {**described}
    label = str(fields.pop("version", None) or version)[:100]
    try:
        fitted = _fit(schema, msgspec.json.encode(fields), form="json")
    except exceptions.InvalidError as error:
        raise exceptions.InvalidError(
            error.detail,
            errors=[
                exceptions.fault(
                    "baseline", *one["loc"], code=one["code"], detail=one["detail"]
                )
                for one in error.errors
            ],
        ) from None
    return _AlongWith(schema, label, fitted)


def keep_with_version(
    version: ModelVersion, prepared: _AlongWith, actor: Actor | None
) -> None:
    """Give the version that was just registered its baseline.

    Raises ConflictError if it got another schema than the baseline was fitted to.
    """
    if version.schema != prepared.schema:
        raise exceptions.ConflictError(
            "The model got another schema meanwhile; send the version again."
        )
    store(
        version,
        prepared.fitted,
        label=prepared.label,
        kind=Baseline.Kind.GIVEN,
        actor=actor,
    )


def create_from_body(
    version: ModelVersion, body: bytes, *, form: str, label: str, actor: Actor | None
) -> Baseline:
    """Give the version the baseline that a client's JSON, CSV or Parquet describes.

    Raises MalformedError, InvalidError, AlreadyExistsError.
    """
    fitted = fit(version, body, form=form)
    return store(version, fitted, label=label, kind=Baseline.Kind.GIVEN, actor=actor)


def fit(version: ModelVersion, body: bytes, *, form: str) -> Fitted | _Answer:
    """Fit the baseline that a body describes; nothing is stored yet.

    It may take a while, so it belongs outside of any transaction. Raises
    MalformedError, InvalidError.
    """
    return _fit(version.schema, body, form=form)


def _fit(schema: Schema, body: bytes, *, form: str) -> Fitted | _Answer:
    if settings.PROCESS == "web":
        return _fit_apart(form, body, schema)
    from monitoring.stats import apart

    return apart.fit(form, body, schema)


@deed
def store(
    version: ModelVersion,
    fitted: Fitted | _Answer,
    *,
    label: str,
    kind: str,
    actor: Actor | None,
) -> Baseline:
    """Keep a fitted baseline; active if the version has none that it was given.

    Raises AlreadyExistsError if another baseline has the label. The same baseline
    again is no error: it is returned as it is.
    """
    subjects.lock(version.model_id)
    versions.lock(version.pk)
    known = Baseline.objects.filter(version=version, label=label).first()
    if known is not None and known.digest == fitted.digest:
        return known
    if known is not None:
        raise exceptions.AlreadyExistsError(
            f"{version} has another baseline with the version {label!r}."
        )
    own = Baseline.objects.filter(version=version, active=True)
    is_first = not own.filter(kind=Baseline.Kind.GIVEN).exists()
    if is_first:
        own.update(active=False)
    baseline = _insert(
        version,
        fitted,
        label=label,
        kind=kind,
        active=is_first,
        created_by_id=actor.user_id if actor else None,
    )
    record(
        version.organization_id,
        actor=actor,
        action="baseline.created",
        object=baseline,
        after={
            "label": label,
            "kind": kind,
            "sample_size": fitted.sample_size,
            "digest": fitted.digest,
            "active": is_first,
        },
    )
    if is_first:
        _tell_governance(version, actor=actor)
        _count_anew(version)
    return baseline


def _insert(
    version: ModelVersion,
    fitted: Fitted | _Answer,
    **fields: Any,
) -> Baseline:
    return Baseline.objects.create(
        organization_id=version.organization_id,
        model_id=version.model_id,
        version=version,
        sample_size=fitted.sample_size,
        features=fitted.features,
        labeled=fitted.labeled,
        target_type=fitted.target_type,
        grid_data=fitted.grid,
        outcome_data=fitted.outcomes,
        performance=fitted.performance,
        digest=fitted.digest,
        **fields,
    )


@deed
def activate(
    baseline: Baseline,
    *,
    under: ApprovalRequest | None = None,
    actor: Actor | None,
) -> Baseline:
    """Measure the version against this baseline from now on.

    The predictions of the window are counted for it first; until that is done the
    baseline before stays in use. Activating the active one changes nothing. One that
    comes back is counted from nothing: outcomes, corrections and quarantines of the
    meantime passed it by. Once the version or an heir of it is approved, it takes an
    approved request.
    """
    version = baseline.version
    subjects.lock(version.model_id)
    versions.lock(version.pk)
    counted = _counted(version)
    before = Baseline.objects.filter(version=version, active=True).first()
    if before is not None and before.pk == baseline.pk:
        return baseline
    Baseline.objects.filter(version=version, active=True).update(active=False)
    Baseline.objects.filter(pk=baseline.pk).update(active=True)
    baseline.active = True
    record(
        version.organization_id,
        actor=actor,
        action="baseline.activated",
        object=baseline,
        before=None if before is None else {"active": before.public_id},
        after={"active": baseline.public_id},
        approval_id=under.pk if under else None,
    )
    _tell_governance(version, under=under, actor=actor)
    _forget_old_counts(version, counted)
    _count_anew(version)
    return baseline


def _counted(version: ModelVersion) -> dict[int, set[UUID]]:
    """Return the baselines that the version and its heirs are counted for."""
    return {
        heir.pk: {baseline.pk for baseline in standards.counted(heir)}
        for heir in _heirs(version)
    }


def _forget_old_counts(version: ModelVersion, counted: Mapping[int, set[UUID]]) -> None:
    """Forget what is left of counts for which nothing was counted until now.

    All locks of the heirs have been taken.
    """
    for heir in _heirs(version):
        standard = standards.wanted(heir)
        if standard is None or standard.baseline.pk in counted.get(heir.pk, set()):
            continue
        Profile.objects.filter(version=heir, baseline=standard.baseline).delete()
        ProfiledReceipt.objects.filter(
            receipt__version=heir, baseline=standard.baseline
        ).delete()


def _heirs(version: ModelVersion) -> QuerySet[ModelVersion]:
    """Find the version and those after it, which may inherit its baseline."""
    later = ModelVersion.objects.filter(model=version.model_id, pk__gte=version.pk)
    return later.select_related("model").order_by("pk")


def _tell_governance(
    version: ModelVersion,
    *,
    under: ApprovalRequest | None = None,
    actor: Actor | None,
) -> None:
    """Say which baseline the version and its heirs are measured against now.

    Approvals rest on it: raises ApprovalRequiredError if one of them is approved.
    All locks are taken before the first row is written: workers do it in that order.
    """
    heirs = list(_heirs(version))
    for heir in heirs:
        versions.lock(heir.pk)
    for heir in heirs:
        standard = standards.wanted(heir)
        if standard is not None:
            registry.note_baseline(
                heir,
                ref=standard.baseline.public_id,
                kind=standard.kind,
                is_labelled=Baseline.objects.filter(
                    pk=standard.baseline.pk, labeled__isnull=False
                ).exists(),
                under=under,
                actor=actor,
            )


def read_change(
    model: RegisteredModel, version: ModelVersion | None, value: object
) -> str:
    """Read the baseline that a change request wants active (`changes.KINDS`)."""
    row = _named(version, value)
    if row is None:
        raise ValueError("expected the id of a baseline of this version")
    if row.active:
        raise ValueError("this baseline is active already")
    return row.public_id


def apply_change(request: ApprovalRequest, value: object, actor: Actor | None) -> None:
    """Activate the baseline of an approved change request."""
    row = _named(ModelVersion.objects.get(requests=request), value)
    if row is None:
        raise exceptions.ConflictError("The baseline is not there any more.")
    activate(row, under=request, actor=actor)


def _named(version: ModelVersion | None, value: object) -> Baseline | None:
    if version is None or not isinstance(value, str):
        return None
    with suppress(IdentifierError):
        baselines = Baseline.objects.filter(version=version, kind=Baseline.Kind.GIVEN)
        found: Baseline | None = baselines.filter(pk=decode("baseline", value)).first()
        return found
    return None


def _count_anew(version: ModelVersion) -> None:
    """Put the window's predictions on the queue, of the heirs of the baseline too."""
    for heir in _heirs(version):
        receipts = Receipt.objects.filter(version=heir, kind=Receipt.Kind.PREDICTIONS)
        newest: datetime | None = receipts.aggregate(at=Max("last_event"))["at"]
        if newest is not None:
            since = standards.reach(heir, newest)
            receipts.filter(last_event__gte=since).update(pending=True)
        versions.touch(heir, 0)


def make_provisional(version: ModelVersion) -> bool:
    """Make the version's first 1,000 predictions its baseline, if it has no other.

    Returns whether it was made; then the predictions are on the queue again, to be
    counted for it.
    """
    from monitoring.actions import logged
    from monitoring.stats import fitting, samples

    if standards.wanted(version) is not None:
        return False
    receipts: list[Receipt] = []
    for receipt in (
        Receipt.objects.counted()
        .filter(version=version, kind=Receipt.Kind.PREDICTIONS)
        .order_by("id")
        .iterator()
    ):
        receipts.append(receipt)
        if sum(one.rows for one in receipts) >= PROVISIONAL_ROWS:
            break
    else:
        return False
    table, _ = logged.of_receipts(receipts).table(standards.kinds(version, None))
    order = sorted(range(table.num_rows), key=table["id"].to_pylist().__getitem__)
    first = table.take(order[:PROVISIONAL_ROWS])
    fitted = fitting.fit(samples.sample_of(first), version.schema)
    # Another worker may have made it, of rows that were committed a moment earlier.
    with suppress(exceptions.AlreadyExistsError):
        store(
            version,
            fitted,
            label=f"first {PROVISIONAL_ROWS:,} predictions",
            kind=Baseline.Kind.PROVISIONAL,
            actor=None,
        )
    return True


class _Answer(msgspec.Struct, frozen=True):
    """A fitted baseline as the fitting process answers it."""

    sample_size: int
    target_type: str
    performance: dict[str, Any]
    digest: str
    lengths: dict[str, int | None]
    features: bytes = b""
    labeled: bytes | None = None
    grid: bytes = b""
    outcomes: bytes | None = None


def _fit_apart(form: str, body: bytes, schema: Schema) -> _Answer:
    head = {"do": "fit", "form": form, "schema": schema.to_json()}
    answered = _run(head, body)
    line, _, rest = answered.partition(b"\n")
    told = json.loads(line)
    if "error" in told:
        raise _ERRORS[told["error"]](told["detail"], errors=told["errors"])
    answer = msgspec.convert(told, _Answer)
    blobs: dict[str, bytes | None] = {}
    for name, length in answer.lengths.items():
        blobs[name] = None if length is None else rest[:length]
        rest = rest[length or 0 :]
    return msgspec.structs.replace(answer, **blobs)


def _run(head: Mapping[str, Any], body: bytes) -> bytes:
    """Ask the fitting process; it ends with the answer, and its memory with it.

    Raises UnavailableError if no place becomes free in time.
    """
    if not PLACES.acquire(timeout=PLACE_SECONDS):
        raise exceptions.UnavailableError(
            "Other baselines are being read; send this one again in a while."
        )
    try:
        return _ask(head, body)
    finally:
        PLACES.release()


def _ask(head: Mapping[str, Any], body: bytes) -> bytes:
    request = json.dumps(head).encode() + b"\n" + body
    one_thread = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
    try:
        done = subprocess.run(  # noqa: S603  # nosec B603
            [sys.executable, "-m", _MODULE],
            input=request,
            capture_output=True,
            cwd=settings.BASE_DIR,
            env={**os.environ, **one_thread},
            timeout=FITTING_SECONDS,
            check=True,
        )
    except subprocess.TimeoutExpired:
        raise exceptions.TooLargeError(
            f"The baseline could not be fitted within {FITTING_SECONDS} seconds."
        ) from None
    return done.stdout


def in_use(version: ModelVersion) -> tuple[Baseline, str] | None:
    """Return the whole baseline that the version is measured against, and its kind.

    The kind is `given`, `inherited` or `provisional`.
    """
    standard = standards.wanted(version)
    if standard is None:
        return None
    kept = Baseline.objects.select_related("version").defer("grid_data", "outcome_data")
    return kept.get(pk=standard.baseline.pk), standard.kind


def content(baseline: Baseline) -> dict[str, Any]:
    """Return the baseline's `featureData` and `targetData` as they were sent."""
    features = bytes(baseline.features)
    head = {"do": "show", "features": len(features)}
    shown = json.loads(_run(head, features + bytes(baseline.labeled or b"")))
    target = None
    if shown["targetValues"] is not None:
        target = {"type": baseline.target_type, "values": shown["targetValues"]}
    return {"featureData": shown["featureData"], "targetData": target}
