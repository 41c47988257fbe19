"""How the OpenAPI document is put together: names that never collide."""

from __future__ import annotations

import re
from typing import Any

from drf_spectacular.openapi import AutoSchema

# How the published descriptions call the parameter that our addresses call `reference`.
QUICK_START = re.compile(r"/models/|/api/v1/models/(?!\{reference\}/predict$)")


class Schema(AutoSchema):
    """One operation's part of the document."""

    def get_operation_id(self) -> str:
        """Return method and address: two operations never share both."""
        words = re.sub(r"\{(\w+)\}", r"by_\1", named(self.path))
        return f"{self.method.lower()}{re.sub(r'[^A-Za-z0-9]+', '_', words)}"


def _name(parameter: str, path: str) -> str:
    if parameter != "reference":
        return parameter
    return "model_id" if QUICK_START.match(path) else "id"


def named(path: str) -> str:
    """Return an address with the names that its parameters have in its dialect."""
    return re.sub(r"\{(\w+)\}", lambda found: f"{{{_name(found[1], path)}}}", path)


def name_parameters(
    result: dict[str, Any], generator: Any, request: Any, public: bool
) -> dict[str, Any]:
    """Give the parameters in addresses the names that clients know from elsewhere."""
    for path, operations in result["paths"].items():
        for operation in operations.values():
            for parameter in operation.get("parameters", ()):
                if parameter["in"] == "path":
                    parameter["name"] = _name(parameter["name"], path)
                if parameter["schema"].get("format") == "date-time":
                    # A moment without an offset is UTC; that format wants one.
                    del parameter["schema"]["format"]
    result["paths"] = {
        named(path): operations for path, operations in result["paths"].items()
    }
    return result


def any_value(
    result: dict[str, Any], generator: Any, request: Any, public: bool
) -> dict[str, Any]:
    """Say of a field that takes any JSON that it does, null among it.

    The generator says "either null or anything": null is both, and so is refused.
    """
    _simplify(result)
    return result


def _simplify(node: Any) -> None:
    if isinstance(node, dict):
        if {} in node.get("oneOf", ()):
            del node["oneOf"]
        for inner in node.values():
            _simplify(inner)
    elif isinstance(node, list):
        for inner in node:
            _simplify(inner)
