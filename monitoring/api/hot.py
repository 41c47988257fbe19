"""Which addresses are served past the middleware for people."""

from __future__ import annotations

import re

from monitoring.api import ground_truth, predictions

urlpatterns = [*predictions.urlpatterns, *ground_truth.urlpatterns]

_HOT = re.compile(
    r"/api/logs/prediction(/[^/]+)?"
    r"|(/api/v1)?/models/[^/]+/predictions"
    r"|/api/v1/drift/(predictions(/unmatched)?|ground-truth(/batch)?)"
)


def is_hot(path: str) -> bool:
    """Tell whether a request to this path needs no session, form or message."""
    return _HOT.fullmatch(path) is not None
