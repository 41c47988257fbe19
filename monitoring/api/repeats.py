"""Retried requests of ordinary views: the first answer again, nothing done twice."""

from __future__ import annotations

import json
from collections.abc import Callable

from django.db import connection, transaction
from django.http import HttpResponse
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.utils import encoders

from governance.actions import audit
from governance.actions.credentials import Credential
from governance.exceptions import GovernanceError
from monitoring.ingest import Answer, Key, idempotency


def once(
    request: Request,
    credential: Credential,
    body: bytes,
    act: Callable[[], Response],
) -> Response | HttpResponse:
    """Answer what `act` does, or what it answered to the same request before.

    What it did and the key of the request are committed together.
    """
    key = _key_of(request, credential, body)
    if key is None:
        return act()
    try:
        with transaction.atomic(), connection.cursor() as cursor:
            kept = idempotency.claim(cursor, {key: None}).get(key.identity)
            if kept is not None:
                return _said(kept.replay(key))
            response = act()
            content = json.dumps(response.data, cls=encoders.JSONEncoder).encode()
            answer = Answer(response.status_code, content)
            idempotency.finish(cursor, key, answer)
            return _said(answer)
    except GovernanceError as error:
        # The key is free again, and with it went what the trail said of the refusal.
        audit.keep_refusals(error)
        raise


def answered_before(
    request: Request, credential: Credential, body: bytes
) -> HttpResponse | None:
    """Return the first answer to this request, before any work is done for it again.

    None means that there is none yet: `once` has to look again when it stores.
    """
    key = _key_of(request, credential, body)
    if key is None:
        return None
    with connection.cursor() as cursor:
        known = idempotency.find(cursor, key)
    return None if known is None else _said(known)


def _key_of(request: Request, credential: Credential, body: bytes) -> Key | None:
    text = request.META.get("HTTP_IDEMPOTENCY_KEY")
    if text is None:
        return None
    return idempotency.make_key(
        credential.organization_id,
        text,
        str(request.method).encode(),
        request.get_full_path().encode(),
        body,
    )


def _said(answer: Answer) -> HttpResponse:
    return HttpResponse(
        answer.body, status=answer.status, content_type="application/json"
    )
