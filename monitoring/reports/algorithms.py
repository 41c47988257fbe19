"""The registry as a document: one section for each algorithm."""

from __future__ import annotations

import inspect
import re
import textwrap
from collections.abc import Iterator
from typing import Any

from monitoring.detectors import DETECTORS, Detector, Family

_FAMILIES: dict[Family, tuple[str, str]] = {
    "univariate": (
        "One column",
        "A column of the window against the same column of the baseline.",
    ),
    "multivariate": (
        "All columns at once",
        "What no single column shows: rows are compared as a whole, in analyses.",
    ),
    "performance": (
        "Performance",
        "How much worse the model is than on its baseline; the score is the drop of a "
        "metric, relative to the baseline for errors. A drop counts where its interval "
        "lies above 0.",
    ),
    "streaming": (
        "Changes over time",
        "Each row is fed once, in the order of time. A change is told with the index "
        "and the time stamp of the row at which it was noticed; the score is how many "
        "there are in the window.",
    ),
}
_KINDS = {
    "numeric": "numeric columns",
    "categorical": "categorical columns",
    "binary": "binary models",
    "multiclass": "models of several classes",
    "regression": "regressions",
    "errors": "errors in [0, 1]",
    "values": "values of any size",
}
# Of functions whose docstring has no section of parameters.
_MEANINGS = {
    "bins": "`psi`: the baseline's deciles; `doane`: Doane's bins of the baseline",
    "correction": "Yates' continuity correction, if two categories are left",
    "max_rows": "rows drawn of each side, without replacement",
    "permutations": "how often the rows are dealt out anew",
    "seed": "of the draw and the permutations",
    "explained": "share of the variance to keep, in (0, 1)",
    "chunk_rows": "rows of the chunks that give mean and spread; a tenth if null",
    "metric": "accuracy if null, the mean absolute error of a regression",
}
_SECTION = re.compile(r"^(\w[\w ]*)\n-+$", re.M)


def markdown() -> str:
    """Return docs/algorithms.md."""
    return "\n".join(_lines()).rstrip() + "\n"


def _lines() -> Iterator[str]:
    yield "# Algorithms"
    yield ""
    yield from _wrapped(
        "Made from the registry by `manage.py algorithms_doc`; a test keeps it true. "
        "What *drift* means is in [concepts.md](concepts.md): a score at or above its "
        "threshold, and more than chance explains. Where too few rows are in, the "
        "status is `insufficient_data`, never `ok`. Missing values are left out and "
        "counted; ±inf never gets in."
    )
    for family, (title, words) in _FAMILIES.items():
        members = [one for one in DETECTORS.values() if one.family == family]
        yield f"## {title}"
        yield ""
        yield from _wrapped(words)
        yield "| algorithm | score | range | warning | alert | votes |"
        yield "|---|---|---|---|---|---|"
        for one in members:
            cells = (
                f"[`{one.name}`](#{one.name})",
                one.score,
                _range(one),
                _number(one.warning),
                _number(one.alert),
                _votes(one),
            )
            yield f"| {' | '.join(cells)} |"
        yield ""
        for one in members:
            yield from _section(one)


def _wrapped(paragraph: str) -> Iterator[str]:
    yield from textwrap.wrap(paragraph, 88, break_long_words=False)
    yield ""


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:g}"


def _range(one: Detector) -> str:
    low, high = one.limits
    if low is None:
        return "any"
    return f"from {low:g}" if high is None else f"{low:g} to {high:g}"


def _votes(one: Detector) -> str:
    if one.votes:
        return "by default"
    return "where enabled" if one.may_vote else "never"


def _section(one: Detector) -> Iterator[str]:
    yield f"### {one.name}"
    yield ""
    yield from _prose(one)
    kinds = sorted(_KINDS[kind] for kind in one.kinds)
    yield f"* for {' and '.join(kinds)}"
    if one.live:
        yield "* measured from counts too, in the live view"
    yield f"* source: {one.source}"
    yield ""
    if one.parameters:
        meanings = parameters_of(one)
        yield "| parameter | default | meaning |"
        yield "|---|---|---|"
        for name, default in one.parameters.items():
            yield f"| `{name}` | {_value(default)} | {meanings[name]} |"
        yield ""


def _value(value: Any) -> str:
    if value is None:
        return "`null`"
    if isinstance(value, bool):
        return f"`{str(value).lower()}`"
    return f"`{value}`"


def _prose(one: Detector) -> Iterator[str]:
    """Return what the docstring says before its first section."""
    text = _SECTION.split(inspect.getdoc(one.function) or "")[0].strip()
    for paragraph in re.split(r"\n\s*\n", text):
        if not paragraph.lstrip().startswith(">>>"):
            # What a function returns is what the algorithm is.
            words = re.sub(r"^Return (?=\w|`)", "", " ".join(paragraph.split()))
            words = re.sub(r"^Parameters and errors are those of `\w+`[;.] ", "", words)
            yield from _wrapped(words[:1].upper() + words[1:])


def parameters_of(one: Detector) -> dict[str, str]:
    """Return what each parameter means, by the docstrings of the function.

    Raises KeyError if one is not described anywhere.
    """
    told: dict[str, str] = {}
    for described in (one.function, getattr(one.function, "__init__", None)):
        parts = _SECTION.split(inspect.getdoc(described) or "")
        sections = dict(zip(parts[1::2], parts[2::2], strict=True))
        told |= _described(sections.get("Parameters", ""))
    return {name: told.get(name) or _MEANINGS[name] for name in one.parameters}


def _described(section: str) -> dict[str, str]:
    """Read a numpydoc section: names, colon, type, then indented words."""
    found: dict[str, str] = {}
    for block in re.split(r"^(?=\w)", section.strip("\n"), flags=re.M):
        head, _, words = block.partition("\n")
        for name in head.partition(" : ")[0].split(","):
            if " : " in head:
                found[name.strip()] = " ".join(words.split()).rstrip(".")
    return found
