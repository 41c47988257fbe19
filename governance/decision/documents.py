"""Policies as YAML files: what people write, review and keep beside their code."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import yaml

from governance.decision.thresholds import PolicyError, Thresholds
from governance.reading import FieldError, Location, Reader

FORMAT = 1
LARGEST = 200_000  # characters; a policy has some thousands
DEEPEST = 16


@dataclass(frozen=True, slots=True)
class Document:
    """A policy file: the policy's name, what it is for, and its content."""

    name: str | None
    description: str
    content: dict[str, Any]


def _error(problem: str, where: Any) -> yaml.MarkedYAMLError:
    return yaml.MarkedYAMLError(problem=problem, problem_mark=where.start_mark)


class _Loader(yaml.SafeLoader):
    """Plain YAML only: no aliases, no key twice, and dates stay text."""

    depth = 0

    def compose_node(self, parent: Any, index: Any) -> Any:
        event: Any = self.peek_event()  # type: ignore[no-untyped-call]
        if isinstance(event, yaml.AliasEvent):
            raise _error("aliases are not allowed", event)
        self.depth += 1
        if self.depth > DEEPEST:
            raise _error(f"nested deeper than {DEEPEST}", event)
        node = super().compose_node(parent, index)
        self.depth -= 1
        return node

    def construct_mapping(self, node: Any, deep: bool = False) -> dict[Any, Any]:
        seen: set[str] = set()
        for key, _ in node.value:
            if (
                not isinstance(key, yaml.ScalarNode)
                or key.tag == "tag:yaml.org,2002:merge"
            ):
                raise _error("a name has to be text", key)
            if key.value in seen:
                raise _error(f"{key.value} is there twice", key)
            seen.add(key.value)
        return {
            key.value: self.construct_object(value, deep=True)
            for key, value in node.value
        }


def _mapping(loader: _Loader, node: Any) -> dict[Any, Any]:
    return loader.construct_mapping(node)


def _text(loader: yaml.SafeLoader, node: yaml.ScalarNode) -> str:
    return str(loader.construct_scalar(node))


_Loader.add_constructor(
    yaml.resolver.BaseResolver.DEFAULT_MAPPING_TAG,
    _mapping,
)
_Loader.add_constructor("tag:yaml.org,2002:timestamp", _text)


def read(text: str) -> Document:
    """Read a policy file; its content comes back complete.

    Raises
    ------
    PolicyError
        With every fault of the file in `errors`; what is no YAML at all has one, with
        line and column.
    """
    data = _load(text)
    reader = Reader()
    document = reader.mapping((), data)
    if not isinstance(data, Mapping):
        reader.expected((), "a policy", data)
    reader.known((), document, ("driftguard_policy", "name", "description", "content"))
    if document.get("driftguard_policy") != FORMAT:
        reader.refuse(
            ("driftguard_policy",), "format", f"expected driftguard_policy: {FORMAT}"
        )
    name = reader.text(("name",), document.get("name"))
    description = reader.text(("description",), document.get("description"), 5_000)
    content: dict[str, Any] = {}
    if "content" not in document:
        reader.refuse(("content",), "missing", "expected the policy's content")
    else:
        content = _content(reader, document["content"])
    if reader.errors:
        raise PolicyError(reader.errors)
    return Document(name, description or "", content)


def _load(text: str) -> Any:
    if len(text) > LARGEST:
        raise PolicyError(
            [FieldError((), "too_large", f"expected at most {LARGEST} characters")]
        )
    try:
        # A subclass of the safe loader.
        return yaml.load(text, Loader=_Loader)  # noqa: S506  # nosec B506
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        loc: Location = () if mark is None else ("line", mark.line + 1)
        column = "" if mark is None else f" (column {mark.column + 1})"
        detail = f"{error.problem or error.context}{column}"
        raise PolicyError([FieldError(loc, "yaml", detail)]) from None
    except (yaml.YAMLError, ValueError) as error:
        raise PolicyError([FieldError((), "yaml", str(error)[:300])]) from None


def _content(reader: Reader, value: object) -> dict[str, Any]:
    if not isinstance(value, Mapping):
        reader.expected(("content",), "an object", value)
        return {}
    try:
        return Thresholds.from_json(value).to_json()
    except PolicyError as error:
        for one in error.errors:
            reader.refuse(("content", *one.loc), one.code, one.detail)
        return {}


def write(document: Document, *comments: str) -> str:
    """Return a policy file; `comments` stand at its top."""
    data: dict[str, Any] = {"driftguard_policy": FORMAT}
    if document.name:
        data["name"] = document.name
    if document.description:
        data["description"] = document.description
    data["content"] = document.content
    head = "".join(f"# {' '.join(comment.split())}\n" for comment in comments)
    return head + dump(data)


def dump(data: Mapping[str, Any]) -> str:
    """Return plain YAML in the order of `data`."""
    text: str = yaml.safe_dump(
        dict(data), sort_keys=False, allow_unicode=True, default_flow_style=False
    )
    return text
