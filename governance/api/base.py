"""What every ordinary view of the API has in common."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from importlib import import_module
from typing import Any, ClassVar, cast

from django.conf import settings
from django.http import HttpResponse
from rest_framework import serializers
from rest_framework.negotiation import BaseContentNegotiation
from rest_framework.parsers import BaseParser
from rest_framework.permissions import BasePermission
from rest_framework.renderers import BaseRenderer, JSONRenderer
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from governance.actions.audit import Actor
from governance.actions.credentials import Credential
from governance.api import parsers
from governance.api.authentication import CredentialAuthentication, HasScope
from governance.exceptions import InvalidError, NotFoundError, fault
from governance.models import RegisteredModel

HIGHEST_LIMIT = 1000
# All but tabs and the ends of lines; of NUL the strict reader has spoken before.
CONTROL = re.compile(r"[\x01-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f]")


class AlwaysJSON(BaseContentNegotiation):
    """JSON in, JSON out, whatever the headers ask for."""

    def select_parser(
        self, request: Request, parsers: Iterable[BaseParser]
    ) -> BaseParser:
        return next(iter(parsers))

    def select_renderer(
        self,
        request: Request,
        renderers: Iterable[BaseRenderer],
        format_suffix: str | None = None,
    ) -> tuple[BaseRenderer, str]:
        first = next(iter(renderers))
        return first, str(first.media_type)


class ApiView(APIView):
    """A view whose caller is known and may do what the method does.

    Unknown query parameters are refused: a misspelt filter must not answer with
    everything.
    """

    authentication_classes = [CredentialAuthentication]
    permission_classes: Sequence[type[BasePermission]] = [HasScope]
    parser_classes = [parsers.StrictJSONParser]
    renderer_classes = [JSONRenderer]
    content_negotiation_class = AlwaysJSON
    required_scopes: ClassVar[Mapping[str, str]] = {}
    query_parameters: ClassVar[Mapping[str, frozenset[str]]] = {}
    largest_body = parsers.LARGEST_BODY

    def initial(self, request: Request, *args: Any, **kwargs: Any) -> None:
        super().initial(request, *args, **kwargs)
        if request.method not in self.allowed_methods:
            return  # 405 says more than what is wrong with the query
        parsers.check_headers(request.META, largest=self.largest_body)
        known = self.query_parameters.get(str(request.method), frozenset())
        if unknown := sorted(request.query_params.keys() - known):
            raise InvalidError(
                errors=[
                    fault(name, code="unknown_parameter", detail="no parameter here")
                    for name in unknown
                ]
            )

    def scope_of(self, request: Request, method: str) -> str | None:
        """Return the scope that a call needs; None refuses it."""
        return self.required_scopes.get(method)

    @property
    def credential(self) -> Credential:
        found: Any = self.request.auth
        return cast(Credential, found)

    @property
    def actor(self) -> Actor:
        return self.credential.actor

    def once(self, act: Callable[[], Response]) -> Response | HttpResponse:
        """Answer what `act` does; a retry with the same Idempotency-Key does nothing.

        The keys are kept where predictions are stored; the settings say where.
        """
        if "HTTP_IDEMPOTENCY_KEY" not in self.request.META:
            return act()
        answer: Response | HttpResponse = import_module(
            settings.REPEATED_REQUESTS
        ).once(self.request, self.credential, self.request._request.body, act)
        return answer

    def answered_before(self) -> HttpResponse | None:
        """Return the first answer to a retry, before any work is done for it again."""
        if "HTTP_IDEMPOTENCY_KEY" not in self.request.META:
            return None
        answer: HttpResponse | None = import_module(
            settings.REPEATED_REQUESTS
        ).answered_before(self.request, self.credential, self.request._request.body)
        return answer

    def model(self, reference: str) -> RegisteredModel:
        """Return the caller's model with this id or slug, or raise NotFoundError."""
        found = (
            RegisteredModel.objects.for_organization(self.credential.organization_id)
            .named(reference)
            .select_related("organization", "owner", "current_version")
            .first()
        )
        if found is None:
            raise NotFoundError
        return found


def limit_of(
    request: Request,
    *,
    default: int = 100,
    highest: int = HIGHEST_LIMIT,
    name: str = "limit",
) -> int:
    """Return the query parameter `limit` (or `name`), from 1 to `highest`."""
    text = request.query_params.get(name, str(default))
    if (
        text.isascii()
        and text.isdigit()
        and len(text) < 9
        and 1 <= int(text) <= highest
    ):
        return int(text)
    raise InvalidError(
        errors=[
            fault(name, code="range", detail=f"expected a whole number to {highest}")
        ]
    )


def flag_of(request: Request, name: str) -> bool:
    """Return a query parameter that is `true` or `false`; absent is false."""
    text = request.query_params.get(name, "false")
    if text in {"true", "false"}:
        return text == "true"
    raise InvalidError(
        errors=[fault(name, code="flag", detail="expected true or false")]
    )


class StrictSerializer(serializers.Serializer[Any]):
    """Refuses fields that it doesn't know, by name."""

    def to_internal_value(self, data: Any) -> Any:
        unknown = data.keys() - self.fields.keys() if isinstance(data, Mapping) else ()
        if unknown:
            raise serializers.ValidationError(
                {
                    name: [serializers.ErrorDetail("is no field here", "unknown_field")]
                    for name in sorted(unknown)
                }
            )
        return super().to_internal_value(data)


class TextField(serializers.CharField):
    """Text only: a number isn't turned into it, and something of it can be seen."""

    default_error_messages = {
        "control": "Control characters are not allowed.",
        "invisible": "None of its characters can be seen.",
    }

    def to_internal_value(self, data: Any) -> str:
        if not isinstance(data, str):
            self.fail("invalid")
        if CONTROL.search(data):
            self.fail("control")
        text = str(super().to_internal_value(data))
        if text and not any(one.isprintable() and not one.isspace() for one in text):
            self.fail("invisible")
        return text


class NumberField(serializers.FloatField):
    """A number only: neither `true` nor `"12"` is one."""

    def to_internal_value(self, data: Any) -> float:
        if isinstance(data, bool) or not isinstance(data, int | float):
            self.fail("invalid")
        return float(super().to_internal_value(data))


class FlagField(serializers.BooleanField):
    """`true` or `false`: not 1, not "yes"."""

    def to_internal_value(self, data: Any) -> bool:
        if not isinstance(data, bool):
            self.fail("invalid", input=data)
        return data


def validated(
    serializer: type[serializers.Serializer[Any]], request: Request
) -> dict[str, Any]:
    """Return the body's validated fields; every fault is in the answer."""
    instance = serializer(data=request.data)
    instance.is_valid(raise_exception=True)
    found: dict[str, Any] = instance.validated_data
    return found
