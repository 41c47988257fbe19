"""Whether alert settings are looser than others: what an approval has to do with.

Looser is whatever lets a change go unnoticed that was noticed before.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

from governance.decision import Thresholds
from monitoring.alerting.settings import AlertSettings, Override

Limits = tuple[float, float]  # warning, alert


@dataclass(frozen=True, slots=True)
class Looser:
    """One setting that is looser, by its place in the settings' JSON."""

    loc: tuple[str, ...]
    detail: str


def thresholds_of(
    settings: AlertSettings,
    name: str,
    default: Limits | None,
) -> Limits | None:
    """Return warning and alert threshold of an algorithm, None if it isn't judged.

    Parameters
    ----------
    settings : AlertSettings
        What is set goes first.
    name : str
        The algorithm.
    default : tuple of float or None
        The thresholds where nothing is set: the policy's, else the registry's.

    Examples
    --------
    >>> set_so = AlertSettings(overrides={"psi": Override(warning=0.05)})
    >>> thresholds_of(set_so, "psi", (0.1, 0.25))
    (0.05, 0.25)

    """
    one = settings.overrides.get(name, Override())
    usual = default or (None, None)
    warning = usual[0] if one.warning is None else one.warning
    alert = usual[1] if one.alert is None else one.alert
    # One that is set alone, of an algorithm without defaults, is both.
    warning, alert = (
        alert if warning is None else warning,
        warning if alert is None else alert,
    )
    if warning is None or alert is None:
        return None
    return min(warning, alert), max(warning, alert)


def looser(
    new: AlertSettings,
    old: AlertSettings,
    defaults: Mapping[str, Limits | None],
) -> list[Looser]:
    """Return every setting by which less is noticed than before.

    Parameters
    ----------
    new, old : AlertSettings
        What is asked for, and what is in force.
    defaults : mapping of str to (warning, alert) or None
        Thresholds of the algorithms where nothing is set.

    Examples
    --------
    >>> [one.loc for one in looser(AlertSettings(enabled=False), AlertSettings(), {})]
    [('enabled',)]

    """
    return [*_switches(new, old), *_limits(new, old), *_thresholds(new, old, defaults)]


def _switches(new: AlertSettings, old: AlertSettings) -> Iterator[Looser]:
    if old.enabled and not new.enabled:
        yield Looser(("enabled",), "alerting would be switched off")
    for name in old.algorithms:
        if name not in new.algorithms:
            loc = ("algorithms", "enabled")
            yield Looser(loc, f"{name} would no longer alert")
    if old.schedule.enabled and not new.schedule.enabled:
        loc = ("schedule", "enabled")
        yield Looser(loc, "scheduled analyses would be switched off")
    elif old.schedule.enabled and _rarer(new.schedule.frequency) > _rarer(
        old.schedule.frequency
    ):
        loc = ("schedule", "frequency")
        yield Looser(loc, f"analyses would run {new.schedule.frequency} only")


def _rarer(frequency: str) -> int:
    return ("hourly", "daily", "weekly").index(frequency)


def _limits(new: AlertSettings, old: AlertSettings) -> Iterator[Looser]:
    for loc, after, before in (
        ("accuracyDropWarning", new.accuracy_drop_warning, old.accuracy_drop_warning),
        ("accuracyDropAlert", new.accuracy_drop_alert, old.accuracy_drop_alert),
        (
            "performanceDropRelative",
            new.performance_drop_relative,
            old.performance_drop_relative,
        ),
        (
            "minBaselineSampleSize",
            new.min_baseline_sample_size,
            old.min_baseline_sample_size,
        ),
    ):
        if after > before:
            yield Looser((loc,), f"{after:g} is more than {before:g}")


def _thresholds(
    new: AlertSettings,
    old: AlertSettings,
    defaults: Mapping[str, Limits | None],
) -> Iterator[Looser]:
    for name in old.algorithms:
        if name not in new.algorithms:
            continue
        before = thresholds_of(old, name, defaults.get(name))
        after = thresholds_of(new, name, defaults.get(name))
        if before is None:
            continue
        fields = ("warningThreshold", "alertThreshold")
        for place, field in enumerate(fields):
            loc = ("algorithms", "overrides", name, field)
            if after is None:
                yield Looser(loc, f"{name} would no longer be judged")
            elif after[place] > before[place]:
                detail = f"{after[place]:g} is more than {before[place]:g}"
                yield Looser(loc, detail)
        one, other = (
            dict(side.overrides.get(name, Override()).params) for side in (new, old)
        )
        if one != other:
            # Nobody can tell in general which way a parameter works.
            loc = ("algorithms", "overrides", name, "params")
            yield Looser(loc, f"the parameters of {name} would change")


def demanded(policy: Thresholds) -> AlertSettings:
    """Return the loosest settings that a policy allows."""
    return AlertSettings(
        algorithms=tuple(policy.algorithms),
        overrides={
            name: Override(limits.mild, limits.serious)
            for name, limits in policy.algorithms.items()
        },
        accuracy_drop_warning=policy.absolute_drop.mild,
        accuracy_drop_alert=policy.absolute_drop.serious,
        performance_drop_relative=policy.relative_drop.mild,
        min_baseline_sample_size=policy.minimum_sample,
    )


def in_force(settings: AlertSettings, policy: Thresholds) -> AlertSettings:
    """Return settings of which none is looser than the policy.

    The policy's algorithms alert with its limits or stricter ones, whatever is set.
    """
    overrides = dict(settings.overrides)
    names = list(settings.algorithms)
    for name, limits in policy.algorithms.items():
        if name not in names:
            names.append(name)
        found = thresholds_of(settings, name, (limits.mild, limits.serious))
        assert found is not None  # noqa: S101 - the policy has both
        stricter = (min(found[0], limits.mild), min(found[1], limits.serious))
        overrides[name] = Override(*stricter, overrides.get(name, Override()).params)
    return replace(
        settings,
        algorithms=tuple(names),
        overrides=overrides,
        accuracy_drop_warning=min(
            settings.accuracy_drop_warning, policy.absolute_drop.mild
        ),
        accuracy_drop_alert=min(
            settings.accuracy_drop_alert, policy.absolute_drop.serious
        ),
        performance_drop_relative=min(
            settings.performance_drop_relative, policy.relative_drop.mild
        ),
        min_baseline_sample_size=min(
            settings.min_baseline_sample_size, policy.minimum_sample
        ),
    )
