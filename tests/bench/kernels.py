"""``python -m tests.bench.kernels``: the univariate kernel and the grid, in ratios.

Exact KS and PSI on 15 numeric, chi-square and Jensen-Shannon on 5 categorical columns
against a baseline of 10,000 rows. What is compared runs in turn, and the best of
several runs counts, so that a busy machine slows both sides.
"""

import sys
import time
import tracemalloc
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from scipy import stats
from scipy.spatial.distance import jensenshannon

from monitoring.detectors import LIVE_THRESHOLDS
from monitoring.stats.columns import Codes, Kind, Values
from monitoring.stats.drift import evaluate
from monitoring.stats.grid import Grid
from monitoring.stats.kernel import NumericReference, Reference, kernel, prepare

NUMERIC = [f"x{i}" for i in range(15)]
CATEGORICAL = [f"c{i}" for i in range(5)]
KINDS: dict[str, Kind] = {
    **dict.fromkeys(NUMERIC, "numeric"),
    **dict.fromkeys(CATEGORICAL, "categorical"),
}
CATEGORIES = [f"category {i}" for i in range(8)]
BASELINE_ROWS = 10_000
DECILES = np.arange(1, 10) / 10

Rows = dict[str, Values]


def make_rows(rng: np.random.Generator, rows: int, shift: float = 0.0) -> Rows:
    columns: Rows = {name: rng.normal(shift, 1, rows) for name in NUMERIC}
    for name in CATEGORICAL:
        codes = rng.integers(0, len(CATEGORIES), rows).astype(np.int32)
        columns[name] = Codes(codes, CATEGORIES)
    return columns


def scipy_loop(baseline: Rows, window: Rows) -> dict[str, tuple[float, float]]:
    """Return what a loop over the columns with scipy and numpy finds."""
    found = {}
    for name in NUMERIC:
        first, second = np.asarray(baseline[name]), np.asarray(window[name])
        d = stats.ks_2samp(first, second, method="asymp").statistic
        edges = np.unique(np.quantile(first, DECILES))
        p, q = (
            np.bincount(np.searchsorted(edges, side), minlength=len(edges) + 1)
            / len(side)
            for side in (first, second)
        )
        p, q = np.where(p == 0, 1e-4, p), np.where(q == 0, 1e-4, q)
        found[name] = float(d), float(((p - q) * np.log(p / q)).sum())
    for name in CATEGORICAL:
        sides: list[Any] = [baseline[name], window[name]]
        table = np.stack(
            [np.bincount(side.codes, minlength=len(CATEGORIES)) for side in sides]
        )
        chi_square = stats.chi2_contingency(table).statistic
        found[name] = float(chi_square), float(jensenshannon(*table, base=2))
    return found


def scipy_p_values(found: dict[str, tuple[float, float]], rows: int) -> None:
    """Compute the p-values that `scipy_loop` can't leave out: their time comes off."""
    size = round(BASELINE_ROWS * rows / (BASELINE_ROWS + rows))
    for name in NUMERIC:
        stats.distributions.kstwo.sf(found[name][0], size)
    for name in CATEGORICAL:
        stats.chi2.sf(found[name][0], len(CATEGORIES) - 1)


def sort_and_search(reference: Reference, window: Rows) -> None:
    for name in NUMERIC:
        column = reference[name]
        assert isinstance(column, NumericReference)
        np.searchsorted(np.sort(np.asarray(window[name])), column.points)


def best(runs: int, *functions: Callable[[], object]) -> list[float]:
    """Return the best time of each function, in seconds, run in turn."""
    times = [float("inf")] * len(functions)
    for _ in range(runs):
        for place, function in enumerate(functions):
            start = time.perf_counter()
            function()
            times[place] = min(times[place], time.perf_counter() - start)
    return times


def note(text: str) -> None:
    print(f"    {text}")


class Lines:
    """Prints one line for each limit and remembers whether one was missed."""

    missed = False

    def add(
        self,
        text: str,
        value: float,
        *,
        least: float | None = None,
        most: float | None = None,
        unit: str = "x",
    ) -> None:
        sign, limit = (">=", least) if least is not None else ("<=", most)
        assert limit is not None
        held = value >= limit if least is not None else value <= limit
        self.missed |= not held
        verdict = "pass" if held else "MISSED"
        print(f"  {text:<62} {value:8.2f} {unit}  {sign} {limit:g}  {verdict}")


def check(
    found: dict[str, dict[str, float]], truth: dict[str, tuple[float, float]]
) -> None:
    """Both sides must have computed the same."""
    for name in NUMERIC:
        np.testing.assert_allclose(
            (found[name]["ks_test"], found[name]["psi"]), truth[name], rtol=1e-9
        )
    for name in CATEGORICAL:
        scores = found[name]["chi_square_statistic"], found[name]["jensen_shannon"]
        np.testing.assert_allclose(scores, truth[name], rtol=1e-9)


def bench_kernel(lines: Lines, rows: int, faster: float, runs: int) -> None:
    rng = np.random.default_rng(rows)
    baseline, window = make_rows(rng, BASELINE_ROWS), make_rows(rng, rows, 0.05)
    reference = prepare(baseline, KINDS)
    truth = scipy_loop(baseline, window)
    check(kernel(reference, window), truth)
    ours, loop, p_values, floor, whole = best(
        runs,
        lambda: kernel(reference, window),
        lambda: scipy_loop(baseline, window),
        lambda: scipy_p_values(truth, rows),
        lambda: sort_and_search(reference, window),
        lambda: kernel(prepare(baseline, KINDS), window),
    )
    label = f"{rows:,} rows"
    theirs = loop - p_values
    lines.add(
        f"{label}: faster than scipy, p-values apart", theirs / ours, least=faster
    )
    lines.add(f"{label}: against one sort and search a column", ours / floor, most=1.25)
    note(
        f"{ours * 1e3:.1f} ms; scipy {theirs * 1e3:.1f} ms and p-values "
        f"{p_values * 1e3:.1f} ms; with the baseline prepared anew "
        f"{theirs / whole:.1f} x"
    )


def bench_memory(lines: Lines) -> None:
    rng = np.random.default_rng(0)
    baseline, window = make_rows(rng, BASELINE_ROWS), make_rows(rng, 1_000_000)
    reference, grid = prepare(baseline, KINDS), Grid.fit(baseline, KINDS)
    work: Sequence[tuple[str, Callable[[], object]]] = (
        ("kernel", lambda: kernel(reference, window)),
        ("grid counts", lambda: grid.count(window)),
    )
    for text, function in work:
        tracemalloc.start()
        function()
        peak = tracemalloc.get_traced_memory()[1] / 2**20
        tracemalloc.stop()
        title = f"1,000,000 x 20: peak memory of the {text}, above the data"
        lines.add(title, peak, most=60, unit="MiB")


def make_blobs(grid: Grid, rng: np.random.Generator, total: int) -> list[bytes]:
    """Return six day profiles and 24 hour profiles of a week with `total` rows."""
    hour = total // (7 * 24)
    days = [grid.count(make_rows(rng, 24 * hour)).to_bytes() for _ in range(6)]
    return days + [grid.count(make_rows(rng, hour)).to_bytes() for _ in range(24)]


def bench_live(lines: Lines) -> None:
    rng = np.random.default_rng(0)
    grid = Grid.fit(make_rows(rng, BASELINE_ROWS), KINDS)
    few, many = (make_blobs(grid, rng, rows) for rows in (10_000, 10_000_000))

    def live(blobs: list[bytes]) -> object:
        return evaluate(grid, grid.merge(blobs), thresholds=LIVE_THRESHOLDS).to_json()

    live(few)  # loads scipy.special
    small, large = best(30, lambda: live(few), lambda: live(many))
    lines.add("live view of 10,000,000 rows in a week", large * 1e3, most=50, unit="ms")
    lines.add("live view, 10,000,000 rows against 10,000", large / small, most=1.5)
    sizes = " and ".join(f"{sum(map(len, b)) / 2**20:.2f} MiB" for b in (few, many))
    note(
        f"{small * 1e3:.1f} and {large * 1e3:.1f} ms for {sizes} of profiles, without "
        "reading them"
    )


def bench_counting(lines: Lines) -> None:
    rng = np.random.default_rng(0)
    baseline, window = make_rows(rng, BASELINE_ROWS), make_rows(rng, 200_000)
    grid = Grid.fit(baseline, KINDS)
    (seconds,) = best(3, lambda: grid.count(window).to_bytes())
    speed = 200_000 / seconds / 1e6
    lines.add("rows counted and stored, 20 columns", speed, least=0.15, unit="M/s")


def main() -> int:
    lines = Lines()
    bench_kernel(lines, 10_000, faster=4, runs=30)
    bench_kernel(lines, 1_000_000, faster=5, runs=3)
    bench_memory(lines)
    bench_live(lines)
    bench_counting(lines)
    return int(lines.missed)


if __name__ == "__main__":
    sys.exit(main())
