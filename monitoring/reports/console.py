"""The report as tables on a console."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from monitoring.reports.sentences import label, number

_STYLES = {
    "alert": "bold red",
    "bad": "bold red",
    "failed": "bold red",
    "warning": "bold yellow",
    "warn": "bold yellow",
    "ok": "green",
    "good": "green",
}
_SIGNS = {"bad": "✗", "warn": "!", "good": "✓", "calm": "·"}
MOST_CHUNKS = 60
Json = Mapping[str, Any]


def show(report: Json, console: Console) -> None:
    """Print a report, as `analysis.to_json` gives it."""
    reference, current = report["reference"], report["current"]
    head = Text("Drift: ").append(_status(report["status"]))
    if report["performance"] is not None:
        head.append("   Performance: ").append(_status(report["performance"]["status"]))
    console.print(head)
    for name, side in (("Reference", reference), ("Current", current)):
        span = ""
        if side["first"]:
            span = f", {moment(side['first'])} to {moment(side['last'])}"
        console.print(Text(f"{name}: {side['file']}, {side['rows']:,} rows{span}"))
    console.print()
    for sentence in report["sentences"]:
        tone = sentence["tone"]
        sign = Text(f" {_SIGNS[tone]} ", style=_STYLES.get(tone, "dim"))
        console.print(sign.append(sentence["text"], style="default"))
    for note in report["notes"]:
        console.print(Text(f" · {note}", style="dim"))
    for table in _tables(report):
        console.print()
        console.print(table)


def _tables(report: Json) -> Iterator[Table]:
    yield _columns(report)
    if report["algorithms"]:
        yield _algorithms(report["algorithms"])
    if len(report["chunks"]) > 1:
        yield _chunks(report)
    if report["performance"] is not None:
        yield _performance(report["performance"])
    if report["streams"]:
        yield _streams(report["streams"])
    if report["fairness"] is not None:
        yield from _fairness(report["fairness"])


def _table(title: str, *columns: str, left: int = 1) -> Table:
    table = Table(title=title, title_justify="left", title_style="bold", box=None)
    for place, name in enumerate(columns):
        table.add_column(
            name,
            justify="left" if place < left else "right",
            header_style="dim",
            overflow="fold",
        )
    return table


def _status(status: str) -> Text:
    return Text(status.replace("_", " "), style=_STYLES.get(status, "dim"))


def moment(text: str) -> str:
    """Return an ISO 8601 time stamp as people read it, to the minute."""
    return text[:16].replace("T", " ")


def chance(value: float | None) -> str:
    """Return a p-value as it is read."""
    if value is None:
        return "-"
    return "< 0.0001" if value < 1e-4 else f"{value:.4f}"


def _figure(value: float | None) -> Text:
    return Text("-" if value is None else number(value))


def _columns(report: Json) -> Table:
    table = _table(
        "Columns", "column", "kind", "status", "PSI", "D or V", "p", "moves", "missing"
    )
    for column in report["columns"]:
        algorithms = column["algorithms"]
        psi = algorithms.get("psi", {})
        other = algorithms.get("ks_test", algorithms.get("chi_square", {}))
        missing = column["quality"]["checks"]["missing"]["share"]
        name = column["name"] if column["is_input"] else f"{column['name']} (output)"
        table.add_row(
            Text(name),
            Text(column["kind"]),
            _status(column["status"]),
            _figure(psi.get("score")),
            _figure(other.get("score")),
            Text(chance(other.get("p_value_corrected"))),
            Text(column["direction"] or ""),
            Text("-" if missing is None else f"{missing:.1%}"),
        )
    return table


def _algorithms(algorithms: Json) -> Table:
    table = _table(
        "All columns at once, and performance",
        "algorithm",
        "status",
        "score",
        "95 % interval",
        "p",
        "warning",
        "alert",
        "why not",
    )
    for name, one in algorithms.items():
        ends = one["interval"] or ()
        table.add_row(
            Text(name),
            _status(one["status"]),
            _figure(one["score"]),
            Text(" to ".join(number(end) for end in ends)),
            Text(chance(one["p_value"])),
            _figure(one["warning"]),
            _figure(one["alert"]),
            Text(one["reason"]),
        )
    return table


def _chunks(report: Json) -> Table:
    performance = report["performance"]
    metric = None if performance is None else performance["metric"]
    names = [] if metric is None else [label(metric), "estimated", "residual"]
    has_season = any(chunk["season"] for chunk in report["chunks"])
    seasons = ["same months"] if has_season else []
    table = _table("Chunks", "chunk", "rows", "drift", *seasons, *names, "most drift")
    table.columns[-1].justify = "left"
    shown = report["chunks"][-MOST_CHUNKS:]
    for chunk in shown:
        season = chunk["season"]
        cells = [Text(chunk["label"]), Text(f"{chunk['rows']:,}")]
        cells.append(_status(chunk["status"]))
        if has_season:
            cells.append(_status(season["status"]) if season else Text("-"))
        if metric is not None:
            cells += _outcome(chunk["performance"], metric)
        table.add_row(*cells, Text(_most(chunk["columns"])))
    if len(shown) < len(report["chunks"]):
        table.caption = f"The last {MOST_CHUNKS} of {len(report['chunks'])} chunks."
        table.caption_justify = "left"
    return table


def _outcome(point: Json, metric: str) -> list[Text]:
    realized = point["realized"].get(metric, {}).get("value")
    estimate = (point["estimated"] or {"metrics": {}})["metrics"].get(metric, {})
    told = _figure(estimate.get("value"))
    if "low" in estimate:
        told.append(
            f" ({number(estimate['low'])} to {number(estimate['high'])})", "dim"
        )
    residual = point["residuals"].get(metric)
    off = _figure(None if residual is None else residual["value"])
    if residual is not None and residual["concept_drift"]:
        off.stylize("bold yellow")
    return [_figure(realized), told, off]


def _most(columns: Json) -> str:
    """Return the columns in drift, by PSI."""
    found = [
        (name, one["psi"])
        for name, one in columns.items()
        if one["status"] in {"warning", "alert"} and one.get("psi") is not None
    ]
    found.sort(key=lambda one: -one[1])
    return ", ".join(f"{name} {number(psi)}" for name, psi in found[:3])


def _performance(performance: Json) -> Table:
    table = _table(
        "Performance on all rows",
        "metric",
        "reference",
        "realized",
        "estimated",
        "3 standard errors",
        "residual",
        "estimates were off by",
    )
    estimates = (performance["estimated"] or {"metrics": {}})["metrics"]
    for name, before in performance["reference"].items():
        estimate = estimates.get(name, {})
        residual = performance["residuals"].get(name)
        tested = performance["trust"].get(name)
        interval = ""
        if "low" in estimate:
            interval = f"{number(estimate['low'])} to {number(estimate['high'])}"
        table.add_row(
            Text(label(name)),
            _figure(before["value"]),
            _figure(performance["realized"].get(name, {}).get("value")),
            _figure(estimate.get("value")),
            Text(interval),
            _figure(None if residual is None else residual["value"]),
            _figure(None if tested is None else tested["mean_error"]),
        )
    return table


def _streams(streams: Sequence[Json]) -> Table:
    table = _table(
        "Changes over time", "of", "algorithm", "status", "changes", "at", left=2
    )
    table.columns[-1].justify = "left"
    for one in streams:
        changes = one["detail"].get("changes", [])
        if one["subject"] == "input" and not changes:
            continue
        first = [
            moment(change["at"]) if change["at"] else f"row {change['index'] + 1}"
            for change in changes[:4]
        ]
        more = f" and {len(changes) - 4} more" if len(changes) > 4 else ""
        table.add_row(
            Text(f"{one['subject']} {one['column']}"),
            Text(one["algorithm"]),
            _status(one["status"]),
            Text("-" if one["score"] is None else f"{len(changes)}"),
            Text(", ".join(first) + more or one["reason"]),
        )
    return table


def _fairness(fairness: Json) -> Iterator[Table]:
    for attribute in fairness["current"]["attributes"]:
        table = _table(
            f"Fairness: {attribute['attribute']}",
            "group",
            "rows",
            "favourable",
            "ratio to the best-off",
            "true positive rate",
            "false positive rate",
            "precision",
            "accuracy",
        )
        for group in attribute["groups"]:
            figures = (
                "selection_rate",
                "ratio",
                "true_positive_rate",
                "false_positive_rate",
                "precision",
                "accuracy",
            )
            table.add_row(
                Text(group["group"]),
                Text(f"{group['n']:,}"),
                *(_figure(group[figure]) for figure in figures),
            )
        yield table
