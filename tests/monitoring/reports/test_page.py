import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from django.template.loader import render_to_string
from rich.console import Console

from monitoring.reports import charts, console, page
from monitoring.reports.charts import Series
from monitoring.reports.plan import Plan
from tests.monitoring.reports.files import BINARY, binary, report

# What could load something or run something.
ACTIVE = {"script", "link", "iframe", "img", "object", "embed", "audio", "video", "use"}
VOID = {"meta", "br"}


class Reader(HTMLParser):
    """Collects tags and attributes, and checks that tags are closed in order."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str | None]] = []
        self._open: list[str] = []

    def handle_starttag(self, tag: str, attrs: Any) -> None:
        self.tags.append(tag)
        self.attributes += attrs
        if tag not in VOID:
            self._open.append(tag)

    def handle_startendtag(self, tag: str, attrs: Any) -> None:
        self.tags.append(tag)
        self.attributes += attrs

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag

    def close(self) -> None:
        super().close()
        assert self._open == []


def read(found: dict[str, Any]) -> tuple[str, Reader]:
    text = render_to_string("reports/drift.html", page.context(found))
    reader = Reader()
    reader.feed(text)
    reader.close()
    return text, reader


def printed(found: dict[str, Any]) -> str:
    screen = Console(width=160)
    with screen.capture() as capture:
        console.show(found, screen)
    return capture.get()


@pytest.fixture
def rich_report(tmp_path: Path) -> dict[str, Any]:
    """Return a report that has every part."""
    reference, current = binary(900, 0), binary(900, 40, shift=0.8, honest=False)
    for side in (reference, current):
        side["sex"] = np.where(np.arange(len(side)) % 2, "f", "m")
    holed = current.drop(index=range(200, 300))
    plan = replace(BINARY, period="week", protected={"sex": None})
    return report(plan, reference, holed, tmp_path)


def test_the_page_is_one_file_without_scripts_and_loads_nothing(
    rich_report: dict[str, Any],
) -> None:
    text, reader = read(rich_report)
    assert not ACTIVE & set(reader.tags)
    for name, value in reader.attributes:
        assert not name.startswith("on")
        assert name not in {"src", "href", "srcset", "data", "action"}, value
    assert "url(" not in text
    assert "@import" not in text
    assert "http" not in text
    assert "prefers-color-scheme: dark" in text


def test_the_page_shows_every_part(rich_report: dict[str, Any]) -> None:
    text, reader = read(rich_report)
    for heading in (
        "What matters",
        "Performance",
        "Columns",
        "Drift over time",
        "All columns at once, and performance",
        "Where the drift comes from",
        "Changes in the course of the current rows",
        "Fairness",
        "Time stamps",
        "How it was measured",
    ):
        assert f"<h2>{heading}</h2>" in text, heading
    for sentence in rich_report["sentences"]:
        assert sentence["text"].replace("'", "&#x27;") in text
    assert reader.tags.count("details") == len(rich_report["columns"])
    assert rich_report["current"]["sha256"] in text
    assert "nan" not in text.lower().replace("finance", "")


def test_coordinates_are_numbers_inside_of_their_picture(
    rich_report: dict[str, Any],
) -> None:
    text, _ = read(rich_report)
    pictures = re.findall(r"<svg[^>]*viewBox=\"0 0 (\d+) (\d+)\".*?</svg>", text, re.S)
    assert len(pictures) > 10
    for tag in re.findall(r"<(?:rect|circle|line)[^>]*>", text):
        for name, value in re.findall(r'(\w+)="([^"]*)"', tag):
            if name in {
                "x",
                "y",
                "x1",
                "x2",
                "y1",
                "y2",
                "cx",
                "cy",
                "width",
                "height",
            }:
                assert -1 <= float(value) <= 1_100, tag


def test_names_and_values_are_shown_and_never_obeyed(tmp_path: Path) -> None:
    evil = "<script>alert(1)</script>[red]{{ x }}"
    rng = np.random.default_rng(0)
    side = pd.DataFrame({evil: rng.choice([evil, "b\"onload='x'"], 200)})
    other = pd.DataFrame({evil: [evil + "!"] * 200})
    found = report(Plan(), side, other, tmp_path)
    text, reader = read(found)
    assert not ACTIVE & set(reader.tags)
    assert "&lt;script&gt;" in text
    assert not any(name.startswith("on") for name, _ in reader.attributes)
    told = re.sub(r"\s+", "", printed(found))
    assert evil.replace(" ", "") in told


def test_a_report_of_one_row_has_a_page_and_a_table(tmp_path: Path) -> None:
    side = pd.DataFrame({"x": [1.0], "c": ["a"]})
    found = report(Plan(), side, side, tmp_path)
    text, _ = read(found)
    assert "insufficient data" in text
    assert "insufficient data" in printed(found)


def test_the_console_shows_every_part(rich_report: dict[str, Any]) -> None:
    told = printed(rich_report)
    for title in (
        "Columns",
        "All columns at once",
        "Chunks",
        "Performance on all rows",
        "Changes over time",
        "Fairness: sex",
    ):
        assert title in told
    assert "Drift: alert   Performance: alert" in told


def test_a_bin_has_a_name() -> None:
    bins = {"categories": None, "edges": [1.0, 2_500.0]}
    assert charts.bin_names(bins) == ["≤ 1", "1 to 2,500", "> 2,500"]
    assert charts.bin_names({"categories": None, "edges": []}) == ["all"]


def test_lines_break_where_nothing_is_known() -> None:
    values = [0.1, 0.2, None, 0.4, 0.5, None, 0.7]
    nothing = [None] * 7
    chart = charts.lines(
        Series(
            "x",
            list("abcdefg"),
            values,
            nothing,
            nothing,
            nothing,
            ["on"] * 7,
            None,
            None,
        )
    )
    assert chart is not None
    assert [len(run.split()) for run in chart.realized] == [2, 2]
    assert len(chart.dots) == 5
    empty = Series("x", ["a"], [None], [None], [None], [None], ["on"], None, None)
    assert charts.lines(empty) is None


def test_a_line_of_equal_values_has_a_scale() -> None:
    flat = Series(
        "x",
        ["a", "b"],
        [0.0, 0.0],
        [None] * 2,
        [None] * 2,
        [None] * 2,
        ["on"] * 2,
        0.0,
        None,
    )
    chart = charts.lines(flat)
    assert chart is not None
    assert len(chart.y_ticks) > 1
