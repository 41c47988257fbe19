"""Whether what is stored agrees with itself: all that no constraint can promise.

Rows are compared with their receipts, with their segments and with the counts in the
profiles; references with the organizations on both ends; the audit trails with their
tree and checkpoints. Nothing is changed, and nothing grows with the number of rows.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from driftguard.fsck import counts, receipts, references
from driftguard.fsck.faults import Fault
from governance.actions import verification
from governance.models import AuditEntry, ModelVersion, Organization
from monitoring.models import Receipt


@dataclass(slots=True)
class Checked:
    """What a check looked at, for whoever wants to know that it wasn't nothing."""

    organizations: int = 0
    receipts: int = 0
    rows: int = 0
    hours: int = 0
    references: int = 0
    entries: int = 0
    # Not counted yet, or about to be taken out: what they touch is not compared.
    waiting: int = 0
    faults: int = 0


def check(organization: Organization | None, checked: Checked) -> Iterator[Fault]:
    """Yield what is wrong with an organization, or with all of them."""
    chosen = Organization.objects.order_by("pk")
    if organization is not None:
        chosen = chosen.filter(pk=organization.pk)
    for one in _all(organization, chosen, checked):
        checked.faults += 1
        yield one


def _all(
    organization: Organization | None, chosen: Iterable[Organization], checked: Checked
) -> Iterator[Fault]:
    for reference in references.all_of_them():
        yield from references.check(reference, organization)
        checked.references += 1
    yield from receipts.check_strays(organization)
    for one in chosen:
        yield from _check_rows(one, checked)
        found = verification.examine(one, whole=True)
        checked.entries += AuditEntry.objects.for_organization(one).count()
        if not found.is_intact:
            row = "" if found.first_bad_seq is None else f"seq {found.first_bad_seq}"
            table = AuditEntry._meta.db_table
            yield Fault(table, row, f"trail of {one.slug} {found.result}: {found.why}")
        checked.organizations += 1


def _check_rows(organization: Organization, checked: Checked) -> Iterator[Fault]:
    for batch in receipts.batches(organization):
        yield from receipts.check(batch)
        checked.receipts += len(batch)
        checked.rows += sum(receipt.rows for receipt in batch)
    pending = Receipt.objects.for_organization(organization).pending()
    checked.waiting += pending.count()
    versions = ModelVersion.objects.for_organization(organization).order_by("pk")
    for version in versions.select_related("model").iterator():
        for hour in counts.hours_of(version):
            yield from counts.check(version, hour)
            checked.hours += 1
        yield from counts.check_days(version)
