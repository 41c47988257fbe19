"""Putting an operator's detectors into the registry."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable
from importlib.metadata import entry_points
from typing import Any

from monitoring.custom.running import (
    CustomDetector,
    CustomDetectorError,
    Limits,
    ask,
)
from monitoring.detectors import ANY, DETECTORS, Detector, register

GROUP = "driftguard.detectors"
NAME = re.compile(r"[a-z][a-z0-9_]{0,39}")

# Name and path; without a name that of the callable.
Listed = tuple[str, str]


def installed() -> list[Listed]:
    """Return the detectors that installed packages bring along."""
    return [(one.name, one.value) for one in entry_points(group=GROUP)]


def join(listed: Iterable[Listed], limits: Limits) -> list[str]:
    """Put detectors into the registry; return what is wrong with those left out.

    They are imported and described in a process of their own, all in one.
    """
    wanted = [{"name": name, "path": path} for name, path in listed]
    if not wanted:
        return []
    try:
        answer = ask({"do": "describe", "detectors": wanted}, limits)
    except CustomDetectorError as error:
        paths = ", ".join(one["path"] for one in wanted)
        return [f"The custom detectors {paths} can't be loaded: {error}"]
    faults = []
    for described in answer["found"]:
        fault = _fault(described)
        if fault:
            faults.append(f"The custom detector {described['path']!r}: {fault}")
        elif not _is_joined(described):
            register(_detector(described, limits))
    return faults


def _fault(described: dict[str, Any]) -> str:
    """Return what is wrong with a detector, in words; nothing if it is sound."""
    if "error" in described:
        return str(described["error"])
    name = described["name"]
    if not NAME.fullmatch(name):
        return f"{name!r} is no name: use small letters, digits and _."
    if name in DETECTORS and not _is_joined(described):
        return f"the registry has an algorithm {name!r} already."
    warning, alert = described["warning"], described["alert"]
    if (warning is None) != (alert is None):
        return "it has one threshold; give both, warning and alert, or none."
    if warning is not None and not 0 < warning < alert < math.inf:
        return f"its thresholds {warning:g} and {alert:g} don't rise from above 0."
    return ""


def _is_joined(described: dict[str, Any]) -> bool:
    known = DETECTORS.get(described["name"])
    return (
        known is not None
        and known.family == "custom"
        and known.source == described["path"]
    )


def _detector(described: dict[str, Any], limits: Limits) -> Detector:
    return Detector(
        described["name"],
        "custom",
        ANY,
        CustomDetector(described["path"], limits),
        described["score"],
        (None, None),
        described["warning"],
        described["alert"],
        described["path"],
        described["parameters"],
    )
