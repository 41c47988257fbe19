"""What DriftGuard found after each step of the replay, and how the console shows it."""

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Any, Self

from rich.table import Table
from rich.text import Text

SCORED = "scored"
OUTCOMES = "outcomes in"

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


def table(measurements: Iterable[Measurement]) -> Table:
    """Lay the measurements out, one row for each step."""
    shown = Table(title="What DriftGuard found", title_justify="left", expand=False)
    for heading in ("month", "step"):
        shown.add_column(heading, no_wrap=True)
    shown.add_column("rows", justify="right")
    shown.add_column("largest PSI", no_wrap=True)
    shown.add_column("score\nPSI", justify="right")
    shown.add_column("ROC-AUC\n(month)", no_wrap=True)
    shown.add_column("risk", justify="right")
    shown.add_column("health", no_wrap=True)
    shown.add_column("why", overflow="fold", min_width=24)
    for measurement in measurements:
        shown.add_row(*_cells(measurement))
    return shown


def _cells(measurement: Measurement) -> list[str | Text]:
    columns = [f"{name} {drift.psi:.2f}" for name, drift in measurement.worst()]
    realized = measurement.realized
    words, colour = HEALTH.get(measurement.status, (measurement.status, ""))
    return [
        f"{measurement.month}\n({measurement.name})",
        measurement.step,
        f"{measurement.rows:,}",
        "\n".join(columns) or "none moved",
        f"{measurement.score.psi:.2f}" if measurement.score else NOTHING,
        f"{realized.value:.3f}\n({realized.month})" if realized else NOTHING,
        NOTHING if measurement.risk is None else f"{measurement.risk:.0f}",
        Text(words, style=colour),
        "\n".join(measurement.reasons) or "every rule of the policy holds",
    ]
