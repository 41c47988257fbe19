"""What DriftGuard found after each step of the replay, and how the console shows it."""

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Any, Self

from rich.box import SIMPLE_HEAD
from rich.console import Group
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

SCORED = "scored"
OUTCOMES = "outcomes"

# The words of the pages, not those of the interface.
HEALTH = {
    "APPROVED": ("within limits", "green"),
    "AT_RISK": ("at risk", "yellow"),
    "BLOCKED": ("blocked", "bold red"),
    "NOT_ASSESSED": ("not assessed", "dim"),
}
# Drift that a reader can leave out of the table.
NEGLIGIBLE_PSI = 0.01
COLUMNS_SHOWN = 2
NOTHING = "\N{EN DASH}"


@dataclass(frozen=True, slots=True)
class Drift:
    """One column's distance from the baseline."""

    psi: float
    ks: float | None  # None for a column of categories
    status: str  # ok, warning, alert, insufficient_data


@dataclass(frozen=True, slots=True)
class Realized:
    """The ROC-AUC of the newest month whose outcomes are in."""

    month: str  # 2026-08
    value: float
    rows: int


@dataclass(frozen=True, slots=True)
class Measurement:
    month: str  # 2026-08
    name: str  # of the month in the data: "August 2005"
    step: str  # SCORED or OUTCOMES
    rows: int
    columns: dict[str, Drift]
    score: Drift | None
    realized: Realized | None
    risk: float | None
    status: str
    reasons: list[str]

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> Self:
        columns = {name: Drift(**drift) for name, drift in data["columns"].items()}
        score = data["score"] and Drift(**data["score"])
        realized = data["realized"] and Realized(**data["realized"])
        return cls(**{**data, "columns": columns, "score": score, "realized": realized})

    def with_status(self, status: str) -> set[str]:
        return {name for name, drift in self.columns.items() if drift.status == status}

    def worst(self) -> list[tuple[str, Drift]]:
        """Return the columns that moved most, the worst first."""
        moved = [
            (name, drift)
            for name, drift in self.columns.items()
            if drift.psi >= NEGLIGIBLE_PSI
        ]
        return sorted(moved, key=lambda item: -item[1].psi)[:COLUMNS_SHOWN]


def shown(measurements: Iterable[Measurement]) -> Group:
    """Lay the measurements out, with the reasons below; fits 80 columns."""
    table = Table(
        title="What DriftGuard found",
        title_justify="left",
        box=SIMPLE_HEAD,
        padding=(0, 1, 0, 0),
        pad_edge=False,
    )
    table.add_column("month", no_wrap=True)
    table.add_column("rows", justify="right")
    table.add_column("largest PSI", no_wrap=True)
    table.add_column("score\nPSI", justify="right")
    table.add_column("ROC-AUC\nin", no_wrap=True)
    table.add_column("risk", justify="right")
    table.add_column("health", max_width=8)
    reasons = []
    for measurement in measurements:
        table.add_row(*_cells(measurement))
        reasons.append(_why(measurement))
    return Group(table, *reasons)


def _cells(measurement: Measurement) -> list[str | Text]:
    columns = [f"{name} {drift.psi:.2f}" for name, drift in measurement.worst()]
    realized = measurement.realized
    return [
        f"{measurement.month} {measurement.step}\n{measurement.name}",
        f"{measurement.rows:,}",
        "\n".join(columns) or "none moved",
        f"{measurement.score.psi:.2f}" if measurement.score else NOTHING,
        f"{realized.value:.3f}\n{realized.month}" if realized else NOTHING,
        NOTHING if measurement.risk is None else f"{measurement.risk:.0f}",
        _health(measurement),
    ]


def _health(measurement: Measurement) -> Text:
    words, colour = HEALTH.get(measurement.status, (measurement.status, ""))
    return Text(words, style=colour)


def _why(measurement: Measurement) -> Group:
    """Say why the health is what it is."""
    heading = Text(f"{measurement.month} {measurement.step}: ", style="bold")
    heading.append_text(_health(measurement))
    reasons = measurement.reasons or ["Every rule of the policy holds."]
    return Group(heading, *(Padding(Text(one), (0, 0, 0, 2)) for one in reasons))
