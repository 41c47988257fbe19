"""Who is calling, and whether their credential reaches far enough."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

from django.conf import settings
from django.http import HttpRequest
from drf_spectacular.extensions import OpenApiAuthenticationExtension
from rest_framework.authentication import BaseAuthentication
from rest_framework.permissions import BasePermission
from rest_framework.request import Request

from governance.actions import authority, credentials
from governance.actions.credentials import Credential
from governance.exceptions import NotAuthenticatedError

if TYPE_CHECKING:
    # rest_framework.views imports this module through the settings.
    from rest_framework.views import APIView

    from governance.api.base import ApiView


def client_address(request: HttpRequest | Request) -> str:
    """Return where a request comes from, believing as many proxies as are set."""
    forwarded = request.META.get("HTTP_X_FORWARDED_FOR", "")
    hops = [hop.strip() for hop in forwarded.split(",") if hop.strip()]
    trusted: int = settings.NUM_PROXIES
    if trusted and hops:
        return str(hops[-min(trusted, len(hops))])
    return str(request.META.get("REMOTE_ADDR", ""))


def credential_of(request: HttpRequest | Request) -> Credential:
    """Return the caller's credential, or raise NotAuthenticatedError."""
    return credentials.authenticate(
        request.META.get("HTTP_AUTHORIZATION"),
        request.META.get("HTTP_X_API_KEY"),
        ip=client_address(request),
        request_id=request.META.get("HTTP_X_REQUEST_ID", ""),
    )


class CredentialAuthentication(BaseAuthentication):
    """An API key or an access token, in either header; `request.auth` is it."""

    def authenticate(self, request: Request) -> tuple[Any, Credential] | None:
        headers = request.META
        if not headers.get("HTTP_AUTHORIZATION") and not headers.get("HTTP_X_API_KEY"):
            return None
        credential = credential_of(request)
        return credential, credential

    def authenticate_header(self, request: Request) -> str:
        return 'Bearer realm="DriftGuard"'


class HasScope(BasePermission):
    """The credential has the scope that the view asks for this method.

    `required_scopes = {"GET": "models:read", …}` on the view; a method that it has but
    doesn't name there is refused.
    """

    def has_permission(self, request: Request, view: APIView) -> bool:
        if not isinstance(request.auth, Credential):
            raise NotAuthenticatedError
        method = "GET" if request.method == "HEAD" else str(request.method)
        if method == "OPTIONS" or method not in view.allowed_methods:
            return True
        scope = cast("ApiView", view).scope_of(request, method)
        if scope is None:
            return False
        authority.require_scope(request.auth, scope, call=(method, request.path))
        return True


class BearerScheme(OpenApiAuthenticationExtension):  # type: ignore[no-untyped-call]
    """The two boxes of Swagger's Authorize button."""

    target_class = CredentialAuthentication
    name = ["Authorization", "X-API-Key"]

    def get_security_definition(self, auto_schema: Any) -> list[dict[str, str]]:
        return [
            {
                "type": "apiKey",
                "in": "header",
                "name": "Authorization",
                "description": "`Bearer` and an API key or an access token.",
            },
            {
                "type": "apiKey",
                "in": "header",
                "name": "X-API-Key",
                "description": "An API key alone.",
            },
        ]
