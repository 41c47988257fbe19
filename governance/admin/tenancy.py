"""The admin shows one organization at a time: the one whose seat a person takes."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any, ClassVar

from django.conf import settings
from django.contrib import messages
from django.contrib.admin import ModelAdmin as BaseModelAdmin
from django.contrib.admin import ShowFacets
from django.db import models
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.utils.http import urlencode
from unfold.admin import ModelAdmin
from unfold.contrib.filters.admin import DropdownFilter

from governance.actions import credentials
from governance.actions.audit import Actor
from governance.admin.addresses import changelist
from governance.exceptions import GovernanceError, PermissionDeniedError
from governance.models import AuditEntry, Membership, Organization, User

Role = Membership.Role
EVERYBODY = frozenset(Role.values)
TRAIL_READERS = frozenset({Role.OWNER, Role.COMPLIANCE_OFFICER, Role.AUDITOR})
SESSION_KEY = "organization_id"


@dataclass(frozen=True, slots=True)
class Seat:
    """In which organization a person acts now, and with which roles there."""

    user: User
    organization: Organization
    roles: frozenset[str]
    # All that the person belongs to, for the switcher.
    organizations: tuple[Organization, ...]

    def has_one_of(self, roles: Iterable[str]) -> bool:
        return not self.roles.isdisjoint(roles)


def seat_of(request: HttpRequest) -> Seat | None:
    """Return the seat of the request's user; None for whoever belongs nowhere.

    Being a superuser or staff gives no seat: only a membership does. Note: the first
    call of a request causes SQL queries.
    """
    if not hasattr(request, "_seat"):
        request._seat = _find_seat(request)  # type: ignore[attr-defined]
    seat: Seat | None = request._seat  # type: ignore[attr-defined]
    return seat


def _find_seat(request: HttpRequest) -> Seat | None:
    user = request.user
    if not isinstance(user, User) or not user.is_active:
        return None
    organizations = tuple(credentials.organizations_of(user))
    if not organizations:
        return None
    wanted = request.session.get(SESSION_KEY)
    organization = next((o for o in organizations if o.pk == wanted), organizations[0])
    return Seat(
        user=user,
        organization=organization,
        roles=credentials.roles_of(user.pk, organization.pk),
        organizations=organizations,
    )


def actor_of(request: HttpRequest) -> Actor:
    """Return who acts, as the audit trail names them."""
    seat = seat_of(request)
    if seat is None:
        raise PermissionDeniedError("Only members of an organization act here.")
    visitor = visitor_of(request, seat.user, "session")
    return replace(visitor, role=",".join(sorted(seat.roles)))


def visitor_of(request: HttpRequest, user: User | None, auth_method: str) -> Actor:
    """Return who comes or goes, before there is a seat or without one."""
    return Actor(
        type="user" if user else "visitor",
        id=str(user.pk) if user else "",
        label=user.email if user else "",
        auth_method=auth_method,
        ip=_address_of(request),
        request_id=request.META.get("HTTP_X_REQUEST_ID", ""),
        channel="admin",
        user_id=user.pk if user else None,
    )


def _address_of(request: HttpRequest) -> str:
    """Return the client's address: as far as our own proxies vouch for it."""
    hops = [
        hop.strip() for hop in request.META.get("HTTP_X_FORWARDED_FOR", "").split(",")
    ]
    if settings.NUM_PROXIES and hops[0]:
        return str(hops[-min(settings.NUM_PROXIES, len(hops))])
    return str(request.META.get("REMOTE_ADDR", ""))


def take_seat(request: HttpRequest, organization_id: int) -> bool:
    """Switch to another organization of the person's own; false if it isn't one."""
    seat = seat_of(request)
    if seat is None or organization_id not in {o.pk for o in seat.organizations}:
        return False
    request.session[SESSION_KEY] = organization_id
    del request._seat  # type: ignore[attr-defined]
    return True


def may_read_trail(request: HttpRequest) -> bool:
    seat = seat_of(request)
    return seat is not None and seat.has_one_of(TRAIL_READERS)


class DeedAdmin(BaseModelAdmin):
    """Django's own class, without the transaction that it wraps around a form.

    A deed is a transaction of its own; inside another one it would hold the lock on
    the audit trail for too long, and its record of a refusal would be undone.
    """

    def changeform_view(
        self,
        request: HttpRequest,
        object_id: str | None = None,
        form_url: str = "",
        extra_context: dict[str, Any] | None = None,
    ) -> Any:
        view = self._changeform_view  # type: ignore[attr-defined]
        return view(request, object_id, form_url, extra_context)


class TenantAdmin(ModelAdmin, DeedAdmin):
    """Read-only rows of the seat's organization.

    What may be added or changed is said by roles, and then a deed does it: a
    subclass that names `add_roles` or `change_roles` overrides `save_model`. Nothing
    is ever deleted here, and Django's own log of changes is not written: the audit
    trail is.
    """

    view_roles: ClassVar[frozenset[str]] = EVERYBODY
    add_roles: ClassVar[frozenset[str]] = frozenset()
    change_roles: ClassVar[frozenset[str]] = frozenset()
    # Who is offered the buttons of a row; the deeds check for themselves.
    act_roles: ClassVar[frozenset[str]] = frozenset()
    # Whether deeds on such a row are in the audit trail under its own name.
    has_history: ClassVar[bool] = False
    list_per_page = 50
    list_filter_submit = True
    compressed_fields = True
    actions_on_bottom = False
    show_facets = ShowFacets.NEVER

    def get_queryset(self, request: HttpRequest) -> models.QuerySet[Any]:
        seat = seat_of(request)
        rows = super().get_queryset(request)
        return rows.filter(organization=seat.organization) if seat else rows.none()

    def formfield_for_foreignkey(
        self, db_field: models.ForeignKey[Any, Any], request: HttpRequest, **kwargs: Any
    ) -> Any:
        kwargs.setdefault("queryset", choices_for(request, db_field.related_model))
        return super().formfield_for_foreignkey(db_field, request, **kwargs)

    def has_module_permission(self, request: HttpRequest) -> bool:
        return self.has_view_permission(request)

    def has_view_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return self._is_allowed(request, self.view_roles, obj)

    def has_add_permission(self, request: HttpRequest) -> bool:
        return self._is_allowed(request, self.add_roles)

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return self._is_allowed(request, self.change_roles, obj)

    def has_act_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return self._is_allowed(request, self.act_roles, obj)

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def _is_allowed(
        self, request: HttpRequest, roles: frozenset[str], obj: Any = None
    ) -> bool:
        seat = seat_of(request)
        if seat is None or not seat.has_one_of(roles):
            return False
        # Unfold hands over the id of the row instead of the row for its actions.
        owner = getattr(obj, "organization_id", seat.organization.pk)
        return bool(owner == seat.organization.pk)

    def changeform_view(
        self,
        request: HttpRequest,
        object_id: str | None = None,
        form_url: str = "",
        extra_context: dict[str, Any] | None = None,
    ) -> Any:
        """Show what a deed refused instead of failing on it."""
        try:
            return super().changeform_view(request, object_id, form_url, extra_context)
        except GovernanceError as error:
            messages.error(request, str(error))
            return HttpResponseRedirect(request.get_full_path())

    def changelist_view(
        self, request: HttpRequest, extra_context: dict[str, Any] | None = None
    ) -> Any:
        title = str(self.opts.verbose_name_plural)
        title = title[0].upper() + title[1:]
        return super().changelist_view(
            request, {"title": title, **(extra_context or {})}
        )

    def render_change_form(
        self, request: HttpRequest, context: dict[str, Any], *args: Any, **kwargs: Any
    ) -> Any:
        # One button that says what it does.
        context |= {"show_save_and_add_another": False, "show_save_and_continue": False}
        context["show_history"] = self.has_history and may_read_trail(request)
        return super().render_change_form(request, context, *args, **kwargs)

    def history_view(
        self,
        request: HttpRequest,
        object_id: str,
        extra_context: dict[str, Any] | None = None,
    ) -> HttpResponse:
        """Lead to what the audit trail says about the object."""
        about = {
            "object_type__exact": str(self.opts.model_name),
            "object_id__exact": object_id,
        }
        return HttpResponseRedirect(f"{changelist(AuditEntry)}?{urlencode(about)}")

    def log_addition(self, request: HttpRequest, obj: Any, message: Any) -> Any:
        """Leave it to the audit trail."""

    def log_change(self, request: HttpRequest, obj: Any, message: Any) -> Any:
        """Leave it to the audit trail."""

    def log_deletions(self, request: HttpRequest, queryset: Any) -> Any:
        """Leave it to the audit trail."""


def choices_for(
    request: HttpRequest, model: type[models.Model]
) -> models.QuerySet[Any]:
    """Return the rows of `model` that a form in this seat may refer to."""
    seat = seat_of(request)
    rows: models.QuerySet[Any] = model._default_manager.all()
    if seat is None:
        return rows.none()
    if model is Organization:
        return rows.filter(pk=seat.organization.pk)
    if model is User:
        members = Membership.objects.for_organization(seat.organization).in_effect()
        return rows.filter(pk__in=members.values("user"))
    return rows.filter(organization=seat.organization)


def is_integer(text: str) -> bool:
    """Tell whether a text is an id that the database can be asked for."""
    return text.isascii() and text.isdigit() and len(text) <= 18


class TenantFilter(DropdownFilter):
    """A filter by a related row; offers those of the seat's organization only.

    (Django's own filter by relation lists every tenant's rows.)
    """

    # The related model, and the column of the listed one that points to it.
    model: ClassVar[type[models.Model]]
    column: ClassVar[str]
    most = 500

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        rows = choices_for(request, self.model)[: self.most]
        return [(str(row.pk), str(row)) for row in rows]

    def queryset(
        self, request: HttpRequest, queryset: models.QuerySet[Any]
    ) -> models.QuerySet[Any]:
        value = self.value()
        if not value:
            return queryset
        if not is_integer(value):
            return queryset.none()
        return queryset.filter(**{self.column: int(value)})


def related_filter(
    related: type[models.Model], column: str, title: str
) -> type[TenantFilter]:
    return type(
        f"{related.__name__}Filter",
        (TenantFilter,),
        {
            "model": related,
            "column": column,
            "title": title,
            "parameter_name": column,
        },
    )
