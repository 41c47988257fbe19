"""References between rows of organizations: both ends belong to the same one."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from typing import Any, NamedTuple

from django.apps import apps
from django.db import connection, models

from driftguard.fsck.faults import Fault
from governance.actions import bundles
from governance.models import Organization

OURS = ("governance", "monitoring")
ROWS = 2_000


class Reference(NamedTuple):
    """A column of a table whose rows have an organization, and what it points to."""

    table: str
    key: str  # the column that names a row
    column: str
    target: str
    target_key: str
    target_organization: str


def all_of_them() -> list[Reference]:
    """Return every foreign key between tables of organizations, as the models say.

    Those to an organization itself are among them where the database has no constraint.
    """
    return [
        _reference(model, key)
        for model in apps.get_models()
        if model._meta.app_label in OURS and is_owned(model)
        for key in model._meta.concrete_fields
        if isinstance(key, models.ForeignKey) and _is_wanted(key)
    ]


def is_owned(model: type[models.Model]) -> bool:
    """Tell whether the rows of a table belong to an organization each."""
    return any(field.name == "organization" for field in model._meta.fields)


def _is_wanted(key: models.ForeignKey[Any, Any]) -> bool:
    if key.related_model is Organization:
        return not getattr(key, "db_constraint", True)
    return is_owned(key.related_model)


def _reference(
    model: type[models.Model], key: models.ForeignKey[Any, Any]
) -> Reference:
    target = key.related_model
    owner = "id" if target is Organization else "organization_id"
    return Reference(
        table=model._meta.db_table,
        key=str(model._meta.pk.column),
        column=str(key.column),
        target=target._meta.db_table,
        target_key=str(key.target_field.column),
        target_organization=owner,
    )


# Only names of the models stand in it.
_QUERY = """
    SELECT own.{key}, own.{column}, own.organization_id, other.{target_organization}
    FROM {table} AS own LEFT JOIN {target} AS other ON other.{target_key} = own.{column}
    WHERE own.{column} IS NOT NULL
    AND other.{target_organization} IS DISTINCT FROM own.organization_id
    AND (%(only)s IS NULL OR own.organization_id = %(only)s)
"""


def check(reference: Reference, organization: Organization | None) -> Iterator[Fault]:
    """Yield the rows that point to another organization's row, or to none at all."""
    only = None if organization is None else organization.pk
    query = _QUERY.format(**reference._asdict())
    with bundles.snapshot(), closing(connection.chunked_cursor()) as cursor:
        cursor.execute(query, {"only": only})
        while rows := cursor.fetchmany(ROWS):
            for key, value, own, other in rows:
                what = f"{reference.column} {value} is no row of {reference.target}"
                if other is not None:
                    what = (
                        f"belongs to organization {own}, but {reference.column} "
                        f"{value} to organization {other}"
                    )
                yield Fault(reference.table, str(key), what)
