"""Reading alert settings that people wrote: every fault is named.

What is absent has its default: settings are replaced as a whole.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping
from typing import Any, ClassVar
from urllib.parse import urlsplit

from governance.reading import DescriptionError, Location, Reader
from monitoring.alerting.parameters import ORDERED, parameter
from monitoring.alerting.settings import (
    FREQUENCIES,
    LONGEST_WINDOW_DAYS,
    AlertSettings,
    Channels,
    Override,
    Schedule,
)
from monitoring.detectors import DETECTORS, Detector

FIELDS = tuple(AlertSettings().to_json())
MOST_RECIPIENTS = 50
LONGEST_ADDRESS = 320
LONGEST_URL = 2_000
WEBHOOKS = ("slack", "discord", "webhook")


class AlertSettingsError(DescriptionError):
    """The alert settings are wrong."""

    code: ClassVar[str] = "alert_settings"


def read(
    content: object, detectors: Mapping[str, Detector] = DETECTORS
) -> AlertSettings:
    """Return the settings that some JSON describes.

    Parameters
    ----------
    content : object
        By the names of `AlertSettings.to_json`; others are refused.
    detectors : mapping of str to Detector
        The algorithms that may be named.

    Raises
    ------
    AlertSettingsError
        With every fault in `errors`.

    Examples
    --------
    >>> read({"accuracyDropWarning": 0.02}).accuracy_drop_warning
    0.02

    """
    reader = _SettingsReader(detectors)
    settings = reader.settings(content)
    if reader.errors:
        raise AlertSettingsError(reader.errors)
    return settings


class _SettingsReader(Reader):
    def __init__(self, detectors: Mapping[str, Detector]) -> None:
        super().__init__()
        self.detectors = detectors

    def settings(self, content: object) -> AlertSettings:
        """Return the settings; of use only without `errors`."""
        given = self.mapping((), content)
        self.known((), given, FIELDS)
        default = AlertSettings()
        algorithms, overrides = self._algorithms(given.get("algorithms"))
        warning, alert = self._drops(given)
        relative = self._positive(given, "performanceDropRelative", high=1_000)
        return AlertSettings(
            enabled=self.flag(("enabled",), given.get("enabled"), default.enabled),
            algorithms=algorithms,
            overrides=overrides,
            accuracy_drop_warning=warning,
            accuracy_drop_alert=alert,
            performance_drop_relative=(
                default.performance_drop_relative if relative is None else relative
            ),
            min_baseline_sample_size=self._count(
                ("minBaselineSampleSize",),
                given.get("minBaselineSampleSize"),
                default.min_baseline_sample_size,
                high=2**31 - 1,
            ),
            channels=self._channels(given.get("notifications")),
            schedule=self._schedule(given.get("schedule")),
        )

    def _positive(
        self, given: Mapping[str, object], name: str, *, high: float
    ) -> float | None:
        found = self.number((name,), given.get(name), low=0, high=high)
        if found == 0:
            self.refuse((name,), "range", "expected a number above 0")
        return found

    def _count(self, loc: Location, value: object, default: int, *, high: float) -> int:
        found = self.number(loc, value, low=1, high=high)
        if found is not None and not found.is_integer():
            self.expected(loc, "a whole number", value)
        return default if found is None else int(found)

    def _drops(self, given: Mapping[str, object]) -> tuple[float, float]:
        default = AlertSettings()
        warning = self._positive(given, "accuracyDropWarning", high=1)
        alert = self._positive(given, "accuracyDropAlert", high=1)
        found = (
            default.accuracy_drop_warning if warning is None else warning,
            default.accuracy_drop_alert if alert is None else alert,
        )
        if found[0] > found[1]:
            name = "accuracyDropAlert" if warning is None else "accuracyDropWarning"
            self.refuse((name,), "order", _inverted(*found))
        return found

    def _algorithms(self, value: object) -> tuple[tuple[str, ...], dict[str, Override]]:
        given = self.mapping(("algorithms",), value)
        self.known(("algorithms",), given, ("enabled", "overrides"))
        enabled = AlertSettings().algorithms
        if given.get("enabled") is not None:
            enabled = self._enabled(given["enabled"])
        loc = ("algorithms", "overrides")
        overrides = {
            name: self._override(self.detectors[name], (*loc, name), one)
            for name, one in self.mapping(loc, given.get("overrides")).items()
            if self._is_algorithm((*loc, name), name)
        }
        return enabled, overrides

    def _enabled(self, value: object) -> tuple[str, ...]:
        loc = ("algorithms", "enabled")
        found: list[str] = []
        for place, name in enumerate(self.items(loc, value)):
            if not isinstance(name, str):
                self.expected((*loc, place), "the name of an algorithm", name)
            elif name in found:
                self.refuse((*loc, place), "duplicate", f"{name} is there already")
            elif self._is_algorithm((*loc, place), name):
                found.append(name)
        return tuple(found)

    def _is_algorithm(self, loc: Location, name: str) -> bool:
        if name in self.detectors:
            return True
        self.refuse(
            loc,
            "unknown_algorithm",
            f"there is no algorithm {name[:60]!r}; GET /api/v1/drift/algorithms lists "
            "them",
        )
        return False

    def _override(self, detector: Detector, loc: Location, value: object) -> Override:
        given = self.mapping(loc, value)
        self.known(loc, given, ("warningThreshold", "alertThreshold", "params"))
        warning, alert = (
            self._threshold(detector, (*loc, name), given.get(name))
            for name in ("warningThreshold", "alertThreshold")
        )
        # One that is set alone goes with the other one's default.
        lower = detector.warning if warning is None else warning
        upper = detector.alert if alert is None else alert
        if lower is not None and upper is not None and lower > upper:
            name = "alertThreshold" if warning is None else "warningThreshold"
            self.refuse((*loc, name), "order", _inverted(lower, upper))
        params = self._params(detector, (*loc, "params"), given.get("params"))
        return Override(warning, alert, params)

    def _threshold(
        self, detector: Detector, loc: Location, value: object
    ) -> float | None:
        low, high = detector.limits
        top = math.inf if high is None else high
        # A score that can't be reached would be an alarm switched off.
        found = self.number(loc, value, low=0 if low is None else low, high=top)
        if found == 0:
            self.refuse(loc, "range", "expected a number above 0")
        return found

    def _params(
        self, detector: Detector, loc: Location, value: object
    ) -> dict[str, Any]:
        given = self.mapping(loc, value)
        found: dict[str, Any] = {}
        for name, one in given.items():
            if name not in detector.parameters:
                listed = ", ".join(detector.parameters) or "no parameters"
                detail = f"{detector.name} has {listed}, not {name[:60]!r}"
                self.refuse((*loc, name), "unknown_parameter", detail)
                continue
            what = parameter(detector.name, name, detector.parameters[name])
            if complaint := what.complaint(one):
                self.refuse((*loc, name), *complaint)
            else:
                found[name] = what.clean(one)
        self._fit_together(detector, loc, found)
        return found

    def _fit_together(
        self, detector: Detector, loc: Location, params: Mapping[str, Any]
    ) -> None:
        """Refuse parameters that are possible each, but not with one another."""
        values = {**detector.parameters, **params}
        for algorithm, smaller, larger in ORDERED:
            if algorithm == detector.name and values[smaller] > values[larger]:
                name = smaller if smaller in params else larger
                detail = f"{smaller} may not be larger than {larger}"
                self.refuse((*loc, name), "order", detail)
        if detector.family == "streaming" and params and not self.errors:
            try:
                detector.function(**values)
            except ValueError as error:
                self.refuse(loc, "range", str(error))

    def _channels(self, value: object) -> Channels:
        loc: Location = ("notifications",)
        given = self.mapping(loc, value)
        self.known(loc, given, ("email", *WEBHOOKS, "recipients"))
        addresses = {
            name: self._webhook((*loc, name), given.get(name)) for name in WEBHOOKS
        }
        recipients = self.items((*loc, "recipients"), given.get("recipients"))
        if len(recipients) > MOST_RECIPIENTS:
            detail = f"expected at most {MOST_RECIPIENTS}"
            self.refuse((*loc, "recipients"), "too_many", detail)
        return Channels(
            email=self.flag((*loc, "email"), given.get("email"), default=False),
            recipients=self._recipients((*loc, "recipients"), recipients),
            **addresses,
        )

    def _webhook(self, loc: Location, value: object) -> str | None:
        if value is None or value is False:
            return None
        if isinstance(value, str) and is_https(value):
            return value
        self.refuse(loc, "url", "expected the https address of a webhook, or null")
        return None

    def _recipients(self, loc: Location, values: Collection[object]) -> tuple[str, ...]:
        found: list[str] = []
        for place, one in enumerate(values):
            if not isinstance(one, str) or not (is_email(one) or is_https(one)):
                detail = "expected an e-mail address or an https address"
                self.refuse((*loc, place), "recipient", detail)
            elif one in found:
                self.refuse((*loc, place), "duplicate", "it is there already")
            else:
                found.append(one)
        return tuple(found)

    def _schedule(self, value: object) -> Schedule:
        default = Schedule()
        loc: Location = ("schedule",)
        given = self.mapping(loc, value)
        self.known(loc, given, default.to_json().keys())
        frequency = self.choice(
            (*loc, "frequency"), given.get("frequency"), FREQUENCIES
        )
        return Schedule(
            self.flag((*loc, "enabled"), given.get("enabled"), default.enabled),
            frequency or default.frequency,
            self._count(
                (*loc, "timeWindowDays"),
                given.get("timeWindowDays"),
                default.window_days,
                high=LONGEST_WINDOW_DAYS,
            ),
        )


def is_email(text: str) -> bool:
    """Tell whether a text is an address that mail can go to.

    Examples
    --------
    >>> [is_email(one) for one in ("a@b.example", "a@b", "a b@c.example", "@c.example")]
    [True, False, False, False]

    """
    if len(text) > LONGEST_ADDRESS or not text.isprintable():
        return False
    local, _, domain = text.rpartition("@")
    name = set(local)
    is_local = 0 < len(local) <= 64 and not name & set(' ()<>[]:;@\\,"')
    labels = domain.split(".")
    return (
        is_local
        and ".." not in local
        and not local.startswith(".")
        and not local.endswith(".")
        and len(labels) > 1
        and all(_is_label(label) for label in labels)
    )


def _is_label(label: str) -> bool:
    plain = label.replace("-", "")
    is_sound = plain.isalnum() and not label.startswith("-")
    return is_sound and len(label) <= 63 and not label.endswith("-")


def is_https(text: str) -> bool:
    """Tell whether a text is an https address without a password in it.

    Where it leads is checked at the moment of sending.

    Examples
    --------
    >>> [is_https(one) for one in ("https://a.example/x", "http://a.example", "https:")]
    [True, False, False]

    """
    if len(text) > LONGEST_URL or not text.isprintable() or " " in text:
        return False
    try:
        parts = urlsplit(text)
        port = parts.port
    except ValueError:
        return False
    host = parts.hostname or ""
    is_host = bool(host) and (":" in host or all(map(_is_label, host.split("."))))
    is_plain = parts.username is None and parts.password is None
    return parts.scheme == "https" and is_host and is_plain and port != 0


def _inverted(warning: float, alert: float) -> str:
    return f"the warning threshold {warning:g} lies above the alert threshold {alert:g}"
