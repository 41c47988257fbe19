"""Charts: a table first, which the browser draws, a reader opens and a file holds."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from governance.admin.display import EMPTY, figure

Cell = str | float | int | None


@dataclass(frozen=True, slots=True)
class Limit:
    """A line that a value is held against, with its words."""

    value: float
    words: str
    tone: str = "calm"  # warn, bad or calm


@dataclass(frozen=True, slots=True)
class Row:
    """What stands in one line, and where it is told in full."""

    cells: tuple[Cell, ...]
    address: str = ""


@dataclass(frozen=True, slots=True)
class Chart:
    """One table and how `charts.js` draws it.

    The first column names a row. `kind` is one of risk, heat, course and ranges, or
    table, which isn't drawn; `options` is what else that kind needs.
    """

    name: str
    kind: str
    words: str  # what is seen, for whoever can't see it
    columns: tuple[str, ...]
    rows: tuple[Row, ...]
    limits: tuple[Limit, ...] = ()
    options: Mapping[str, Any] = field(default_factory=dict)

    @property
    def element(self) -> str:
        """The id of the element that holds the data."""
        return f"data-{self.name}"

    @property
    def data(self) -> dict[str, Any]:
        """What `charts.js` draws."""
        return {
            "kind": self.kind,
            "columns": self.columns,
            "rows": [row.cells for row in self.rows],
            "addresses": [row.address for row in self.rows],
            "limits": [
                {"value": one.value, "words": one.words, "tone": one.tone}
                for one in self.limits
            ],
            "options": dict(self.options),
        }

    @property
    def shown(self) -> list[tuple[str, str, list[tuple[str, bool]]]]:
        """Each row as texts: its name, its address, and its cells."""
        return [
            (str(row.cells[0]), row.address, [_shown(cell) for cell in row.cells[1:]])
            for row in self.rows
        ]


def _shown(cell: Cell) -> tuple[str, bool]:
    """Return a cell's text, and whether it is a number."""
    if cell is None:
        return EMPTY, True
    if isinstance(cell, str):
        return cell, False
    return (f"{cell:,}" if isinstance(cell, int) else figure(cell)), True
