"""Where the admin shows a list of rows, and where it shows one of them."""

from typing import Any

from django.db import models
from django.urls import reverse
from django.utils.http import urlencode

from governance.models import RegisteredModel


def changelist(table: type[models.Model], /, **parameters: Any) -> str:
    """Return the address of a table's list, narrowed by query parameters."""
    options = table._meta
    address = reverse(f"admin:{options.app_label}_{options.model_name}_changelist")
    return f"{address}?{urlencode(parameters)}" if parameters else address


def change(row: models.Model) -> str:
    """Return the address of a row's page; a model has one of the portal's."""
    if isinstance(row, RegisteredModel):
        return reverse("model", args=[row.slug])
    options = row._meta
    name = f"admin:{options.app_label}_{options.model_name}_change"
    return reverse(name, args=[row.pk])


def edit(model: RegisteredModel) -> str:
    """Return the address at which a model's registration is edited."""
    address = reverse("admin:governance_registeredmodel_change", args=[model.pk])
    return f"{address}?edit=1"
