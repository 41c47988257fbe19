"""The addresses that are served past the middleware for people."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from django.http import Http404, HttpResponse
from django.urls import URLPattern

from monitoring.api import ground_truth, inference, predictions

View = Callable[..., HttpResponse]
urlpatterns: list[URLPattern] = [
    *predictions.urlpatterns,
    *ground_truth.urlpatterns,
    *inference.urlpatterns,
]
# Most requests go to an address without a name in it: one look instead of ten matches.
_fixed: dict[str, View] = {
    f"/{pattern.pattern}": pattern.callback
    for pattern in urlpatterns
    if not pattern.pattern.converters
}
_named = [pattern for pattern in urlpatterns if pattern.pattern.converters]


def view_at(path: str) -> tuple[View, dict[str, Any]]:
    """Return the view at this path with its arguments, or raise Http404."""
    view = _fixed.get(path)
    if view is not None:
        return view, {}
    for pattern in _named:
        match = pattern.pattern.match(path[1:])
        if match is not None:
            return pattern.callback, match[2]
    raise Http404


def is_hot(path: str) -> bool:
    """Tell whether a request to this path needs no session, form or message."""
    if path in _fixed:
        return True
    return any(pattern.pattern.match(path[1:]) for pattern in _named)
