"""What the template of the page is given: words and coordinates, nothing to compute."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from monitoring.reports import charts
from monitoring.reports.charts import Series
from monitoring.reports.console import chance, moment
from monitoring.reports.sentences import label, number

Json = Mapping[str, Any]
MOST_CHARTS = 4
_DRAWN = ("accuracy", "f1", "recall", "rmse", "bias", "r2")
MOST_HEAT = 40
# Between a distribution's charts of a few bins and one that is unreadable.
MOST_BARS = 40
_ICONS = {"bad": "✕", "warn": "!", "good": "✓", "calm": "i"}


def context(report: Json) -> dict[str, Any]:
    """Return what `reports/drift.html` shows of a report in the form of its JSON."""
    performance = report["performance"]
    return {
        "status": _status(report["status"]),
        "performance_status": performance and _status(performance["status"]),
        "created": moment(report["created_at"]),
        "files": [_file(name, report[name]) for name in ("reference", "current")],
        "sentences": [
            {**one, "icon": _ICONS[one["tone"]]} for one in report["sentences"]
        ],
        "notes": report["notes"],
        "columns": [_column(one) for one in report["columns"]],
        "heats": list(_heats(report)),
        "performance": performance and _performance(report, performance),
        "algorithms": [_algorithm(n, one) for n, one in report["algorithms"].items()],
        "streams": charts.timeline(
            report["streams"], report["current"]["rows"], _span(report["current"])
        ),
        "quiet_streams": _quiet(report["streams"]),
        "features": [_feature(one) for one in report["causes"]["features"]],
        "slices": [_slice(one) for one in report["causes"]["slices"]],
        "fairness": _fairness(report["fairness"]),
        "clock": _clock(report["current"]["clock"]),
        "settings": _settings(report),
    }


def _span(side: Json) -> tuple[str, str] | None:
    return (side["first"], side["last"]) if side["first"] else None


def _status(status: str) -> dict[str, str]:
    return {"name": status.replace("_", " "), "tone": status}


def _figure(value: float | None) -> str:
    return "—" if value is None else number(value)


def _share(value: float | None) -> str:
    return "—" if value is None else f"{value:.1%}"


def _file(name: str, side: Json) -> dict[str, str]:
    span = ""
    if side["first"]:
        span = f"{moment(side['first'])} to {moment(side['last'])}"
    return {
        "name": name,
        "path": side["file"],
        "rows": f"{side['rows']:,}",
        "span": span,
        "sha256": side["sha256"],
    }


def _column(column: Json) -> dict[str, Any]:
    algorithms = column["algorithms"]
    moved = column["moved_bins"]
    bins = _fewer(column["bins"])
    second = "ks_test" if "ks_test" in algorithms else "chi_square"
    checks = column["quality"]["checks"]
    return {
        "name": column["name"],
        "kind": column["kind"],
        "is_input": column["is_input"],
        "calendar": column["calendar"],
        "status": _status(column["status"]),
        "psi": _figure(algorithms.get("psi", {}).get("score")),
        "second": _figure(algorithms.get(second, {}).get("score")),
        "second_name": "D" if second == "ks_test" else "V",
        "direction": column["direction"] or "",
        "missing": _share(checks["missing"]["share"]),
        "n": f"{column['n']:,}",
        "n_baseline": f"{column['n_baseline']:,}",
        "distinct": f"{column['distinct']:,}",
        "distinct_baseline": f"{column['distinct_baseline']:,}",
        "moments": [
            (name, _figure(column["moments"].get(f"{key}_baseline")), _figure(value))
            for name, key in (("mean", "mean"), ("standard deviation", "std"))
            if (value := column["moments"].get(key)) is not None
        ],
        "spark": charts.bars(bins, moved, width=120, height=30, labelled=False),
        "chart": charts.bars(bins, moved),
        "moved": [_moved(one) for one in moved],
        "algorithms": [_result(name, one) for name, one in algorithms.items()],
        "quality": list(_quality(column["quality"])),
    }


def _fewer(bins: Json | None) -> Json | None:
    """Return the bins of a column with many categories without the rarest."""
    if (
        bins is None
        or bins["categories"] is None
        or len(bins["categories"]) <= MOST_BARS
    ):
        return bins
    sides = list(zip(bins["categories"], bins["baseline"], bins["window"], strict=True))
    kept = sorted(sides, key=lambda one: -max(one[1], one[2]))[:MOST_BARS]
    names, before, after = zip(*kept, strict=True)
    return {"edges": None, "categories": names, "baseline": before, "window": after}


def _moved(one: Json) -> dict[str, str]:
    return {
        "name": charts.bin_name(one),
        "before": _share(one["baseline"]),
        "after": _share(one["window"]),
        "change": f"{one['change'] * 100:+.1f} points",
    }


def _result(name: str, one: Json) -> dict[str, Any]:
    return {
        "name": name,
        "status": _status(one["status"]),
        "score": _figure(one["score"]),
        "p": chance(one["p_value"]),
        "corrected": chance(one["p_value_corrected"]),
        "chance": _figure(one["no_drift_95"]),
        "warning": _figure(one["warning"]),
        "alert": _figure(one["alert"]),
        "votes": one["votes"],
        "reason": one["reason"],
    }


def _quality(quality: Json) -> Iterator[dict[str, Any]]:
    for name, check in quality["checks"].items():
        yield {
            "name": name.replace("_", " "),
            "before": _share(check["baseline_share"]),
            "after": _share(check["share"]),
            "p": chance(check["p_value_corrected"]),
            "is_finding": check["finding"],
        }
    if quality["new_categories"]:
        told = ", ".join(f"{k} ({n:,})" for k, n in quality["new_categories"].items())
        yield {"name": "new values", "words": told}
    if quality["vanished_categories"]:
        yield {"name": "gone", "words": ", ".join(quality["vanished_categories"])}


def _heats(report: Json) -> Iterator[dict[str, Any]]:
    chunks = report["chunks"]
    if len(chunks) < 2:
        return
    ranked = sorted(
        report["columns"],
        key=lambda one: (not one["is_input"], -(_psi(one) or 0.0)),
    )
    names = [one["name"] for one in ranked[:MOST_HEAT]]
    labels = [chunk["label"] for chunk in chunks]
    yield {
        "title": "Against all of the reference",
        "heat": charts.heat(names, labels, [chunk["columns"] for chunk in chunks]),
    }
    if any(chunk["season"] for chunk in chunks):
        seasons = [(chunk["season"] or {"columns": {}})["columns"] for chunk in chunks]
        yield {
            "title": "Against the same calendar months of the reference",
            "heat": charts.heat(names, labels, seasons),
        }


def _psi(column: Json) -> float | None:
    found: float | None = column["algorithms"].get("psi", {}).get("score")
    return found


def _performance(report: Json, performance: Json) -> dict[str, Any]:
    estimates = (performance["estimated"] or {"metrics": {}})["metrics"]
    rows = []
    for name, before in performance["reference"].items():
        estimate = estimates.get(name, {})
        residual = performance["residuals"].get(name)
        tested = performance["trust"].get(name)
        drop = performance["drops"].get(name)
        interval = ""
        if "low" in estimate:
            interval = f"{number(estimate['low'])} to {number(estimate['high'])}"
        rows.append(
            {
                "name": label(name),
                "before": _figure(before["value"]),
                "realized": _figure(performance["realized"].get(name, {}).get("value")),
                "drop": _figure(None if drop is None else drop["value"]),
                "estimate": _figure(estimate.get("value")),
                "interval": interval,
                "residual": _figure(None if residual is None else residual["value"]),
                "is_concept_drift": residual is not None and residual["concept_drift"],
                "off": _figure(None if tested is None else tested["mean_error"]),
                "covered": _share(None if tested is None else tested["covered"]),
            }
        )
    share = performance["labelled"] / max(performance["rows"], 1)
    return {
        "task": performance["task"],
        "estimator": {"cbpe": "CBPE", "dle": "DLE"}.get(performance["estimator"], ""),
        "reason": performance["reason"],
        "labelled": _share(share),
        "metrics": rows,
        "charts": list(_charts(report, performance)),
    }


def _charts(report: Json, performance: Json) -> Iterator[charts.Lines]:
    chunks = report["chunks"]
    if len(chunks) < 2:
        return
    first = performance["metric"]
    names = dict.fromkeys((first, *_DRAWN))
    drawn = 0
    for name in names:
        if name not in performance["reference"] or drawn == MOST_CHARTS:
            continue
        chart = charts.lines(_series(name, chunks, performance))
        if chart is not None:
            drawn += 1
            yield chart


def _series(name: str, chunks: Sequence[Json], performance: Json) -> Series:
    realized, estimated = [], []
    for chunk in chunks:
        point = chunk["performance"]
        realized.append(point["realized"].get(name, {}))
        estimated.append(
            (point["estimated"] or {"metrics": {}})["metrics"].get(name, {})
        )
    limits = next(
        ((e["lower_limit"], e["upper_limit"]) for e in estimated if "lower_limit" in e),
        None,
    )
    tones = [
        "off"
        if chunk["performance"]["residuals"].get(name, {}).get("concept_drift")
        else "on"
        for chunk in chunks
    ]
    return Series(
        label(name),
        [chunk["label"] for chunk in chunks],
        [one.get("value") for one in realized],
        [one.get("value") for one in estimated],
        [one.get("low") for one in estimated],
        [one.get("high") for one in estimated],
        tones,
        performance["reference"][name]["value"],
        limits,
    )


def _algorithm(name: str, one: Json) -> dict[str, Any]:
    interval = " to ".join(number(end) for end in one["interval"] or ())
    return {
        "name": name,
        "family": one["family"],
        "status": _status(one["status"]),
        "score": _figure(one["score"]),
        "interval": interval,
        "p": chance(one["p_value"]),
        "warning": _figure(one["warning"]),
        "alert": _figure(one["alert"]),
        "reason": one["reason"],
    }


def _quiet(streams: Sequence[Json]) -> str:
    """Return the streams that noticed nothing, in words."""
    return ", ".join(
        f"{one['algorithm']} of {one['subject']} {one['column']}"
        for one in streams
        if not one["detail"].get("changes")
    )


def _feature(one: Json) -> dict[str, str]:
    return {
        "name": one["feature"],
        "share": _share(one["contribution"]),
        "width": charts.at(100 * (one["contribution"] or 0.0)),
        "psi": _figure(one["psi"]),
    }


def _slice(one: Json) -> dict[str, str]:
    name = f"{one['feature']} "
    if one["is_missing"]:
        name += "is missing"
    elif one["category"] is not None:
        name += f"= {one['category']}"
    else:
        name += charts.bin_name({"low": one["low"], "high": one["high"]})
    return {
        "name": name,
        "before": _share(one["baseline_share"]),
        "now": _share(one["window_share"]),
        "fall": _share(one["fall_share"]),
    }


def _fairness(fairness: Json | None) -> list[dict[str, Any]]:
    if fairness is None:
        return []
    before = {one["attribute"]: one for one in fairness["reference"]["attributes"]}
    found = []
    for one in fairness["current"]["attributes"]:
        was = before.get(one["attribute"], {})
        figures = [
            (words, _figure(was.get(key)), _figure(one[key]))
            for words, key in (
                ("demographic parity ratio", "demographic_parity_ratio"),
                ("demographic parity difference", "demographic_parity_difference"),
                ("equalized odds ratio", "equalized_odds_ratio"),
                ("equalized odds difference", "equalized_odds_difference"),
                ("equal opportunity difference", "equal_opportunity_difference"),
            )
        ]
        found.append(
            {
                "name": one["attribute"],
                "figures": figures,
                "groups": [_group(group) for group in one["groups"]],
            }
        )
    return found


def _group(group: Json) -> dict[str, Any]:
    rate = group["selection_rate"]
    return {
        "name": group["group"],
        "n": f"{group['n']:,}",
        "rate": _share(rate),
        "width": charts.at(100 * (rate or 0.0)),
        "ratio": _figure(group["ratio"]),
        "is_low": group["ratio_high"] is not None and group["ratio_high"] < 0.8,
        "true_positives": _share(group["true_positive_rate"]),
        "false_positives": _share(group["false_positive_rate"]),
        "precision": _share(group["precision"]),
        "accuracy": _share(group["accuracy"]),
        "is_measurable": group["measurable"],
    }


def _clock(clock: Json) -> dict[str, Any] | None:
    if clock["step_seconds"] is None or not (clock["absent"] or clock["repeated"]):
        return None
    return {
        "steps": f"{clock['steps']:,}",
        "absent": f"{clock['absent']:,}",
        "repeated": f"{clock['repeated']:,}",
        "gaps": [
            (moment(gap["start"]), moment(gap["end"]), f"{gap['steps']:,}")
            for gap in clock["gaps"]
        ],
    }


def _settings(report: Json) -> list[tuple[str, str]]:
    found = []
    for name, value in report["settings"].items():
        if name == "algorithms" or value in (None, [], {}):
            continue
        told = ", ".join(map(str, value)) if isinstance(value, list | dict) else value
        found.append((name.replace("_", " "), str(told)))
    voting = [n for n, one in report["settings"]["algorithms"].items() if one["votes"]]
    return [*found, ("voting algorithms", ", ".join(voting))]
