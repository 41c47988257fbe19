"""``python -m tests.bench.peers DIRECTORY [NAME …]``: DriftGuard against its peers.

Figures are ratios within one run. DIRECTORY holds the peers' environments, NAME is one
of cbpe, pca, univariate, domain. Both sides draw the same tables, which isn't timed,
and must find the same figures where they compute the same. They run one after the
other, on one thread each (`make bench-peers` says so for this side); the best of a few
runs counts, of more where a run is so short that a busy moment could fill it.
"""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np

from governance.schema import Task
from monitoring.stats.answers import Answers
from monitoring.stats.columns import Codes, Kind, Values
from monitoring.stats.domain import domain_classifier
from monitoring.stats.estimation import Cbpe
from monitoring.stats.kernel import kernel, prepare
from monitoring.stats.multivariate import PcaReconstruction
from tests.bench.kernels import Lines, note, scipy_loop, scipy_p_values
from tests.bench.peers import tables

ROOT = Path(__file__).parents[3]
KINDS: dict[str, Kind] = {
    **dict.fromkeys(tables.NUMERIC, "numeric"),
    **dict.fromkeys(tables.CATEGORICAL, "categorical"),
}
# The libraries that compute read these when they are loaded.
ONE_THREAD = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1")
QUIET = {"NML_DISABLE_USAGE_LOGGING": "1", "DO_NOT_TRACK": "1"}

Columns = dict[str, Values]


def theirs(directory: Path, peer: str, *case: str) -> tuple[float, list[float]]:
    """Run a peer in its environment; return its time and its figures."""
    python = directory / peer / "bin" / "python"
    done = subprocess.run(
        [str(python), "-m", f"tests.bench.peers.{peer}_times", *case],
        cwd=ROOT,
        env={**os.environ, **ONE_THREAD, **QUIET},
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        check=True,
    )
    seconds, figures = json.loads(done.stdout.splitlines()[-1])
    return float(seconds), figures


def columns(rows: int, seed: int, shift: float = 0.0) -> Columns:
    found: Columns = {}
    for name, values in tables.table(rows, seed, shift).items():
        is_code = KINDS[name] == "categorical"
        found[name] = Codes(values, tables.CATEGORIES) if is_code else values
    return found


def answers(rows: int, seed: int, tilt: float = 1.0) -> tuple[Answers, np.ndarray]:
    found = tables.answers(rows, seed, tilt)
    return Answers(found["score"], found["predicted"]), found["label"]


def bench_cbpe(lines: Lines, directory: Path) -> None:
    fitted, estimated = tables.CBPE_ROWS
    baseline, labels = answers(fitted, 0)
    window, _ = answers(estimated, 1, 0.6)
    size = tables.CHUNK_ROWS
    found: list[list[float | None]] = []

    def run() -> None:
        estimator = Cbpe.fit(Task.BINARY, baseline, labels, chunk_rows=size)
        found.clear()
        for start in range(0, estimated, size):
            rows = slice(start, start + size)
            chunk = Answers(window.scores[rows], window.predicted[rows])
            metrics = estimator.estimate(chunk).metrics
            found.append([metrics[name].value for name in tables.METRICS])

    ours = tables.best(7, run)
    peer, figures = theirs(directory, "nannyml", "cbpe")
    np.testing.assert_allclose(np.mean(found, axis=0), figures, atol=1e-5)
    title = f"CBPE, {estimated:,} rows in chunks of {size:,}, with fit"
    lines.add(f"{title}: NannyML", peer / ours, least=12)
    note(f"{ours * 1e3:.0f} ms; NannyML {peer * 1e3:.0f} ms")


def bench_pca(lines: Lines, directory: Path) -> None:
    baseline = columns(tables.BASELINE_ROWS, 0)
    window = columns(tables.PCA_ROWS, 1, 0.05)
    size = tables.CHUNK_ROWS
    found: list[float] = []

    def run() -> None:
        fitted = PcaReconstruction.fit(baseline, KINDS, chunk_rows=size)
        errors = fitted.errors(window)
        found[:] = errors.reshape(-1, size).mean(1).tolist()

    ours = tables.best(7, run)
    peer, figures = theirs(directory, "nannyml", "pca")
    np.testing.assert_allclose(found, figures, atol=1e-6)
    title = f"PCA reconstruction, {tables.PCA_ROWS:,} x {len(KINDS)}, with fit"
    lines.add(f"{title}: NannyML", peer / ours, least=30)
    note(f"{ours * 1e3:.0f} ms; NannyML {peer * 1e3:.0f} ms")


def bench_univariate(lines: Lines, directory: Path) -> None:
    baseline = columns(tables.BASELINE_ROWS, 0)
    window = columns(tables.UNIVARIATE_ROWS, 1, 0.05)
    scores: dict[str, dict[str, float]] = {}
    truth: dict[str, tuple[float, float]] = {}
    ours = tables.best(
        9, lambda: scores.update(kernel(prepare(baseline, KINDS), window))
    )
    loop = tables.best(3, lambda: truth.update(scipy_loop(baseline, window)))
    loop -= tables.best(1, lambda: scipy_p_values(truth, tables.UNIVARIATE_ROWS))
    found = [scores[name]["ks_test"] for name in tables.NUMERIC]
    np.testing.assert_allclose(found, [truth[name][0] for name in tables.NUMERIC])
    nannyml, figures = theirs(directory, "nannyml", "univariate")
    np.testing.assert_allclose(found, figures, atol=0.01)
    evidently, _ = theirs(directory, "evidently")
    title = f"univariate, {tables.UNIVARIATE_ROWS:,} x {len(KINDS)}, with fit"
    lines.add(f"{title}: scipy, p-values apart", loop / ours, least=5)
    lines.add(f"{title}: NannyML", nannyml / ours, least=2.5)
    lines.add(f"{title}: Evidently", evidently / ours, least=70)
    note(
        f"{ours * 1e3:.0f} ms; scipy {loop * 1e3:.0f} ms, NannyML "
        f"{nannyml * 1e3:.0f} ms, Evidently {evidently * 1e3:.0f} ms"
    )


def bench_domain(lines: Lines, directory: Path) -> None:
    baseline = columns(tables.DOMAIN_ROWS, 0)
    window = columns(tables.DOMAIN_ROWS, 1, 0.1)
    found: list[float] = []

    def run() -> None:
        found[:] = [domain_classifier(baseline, window, KINDS).score]

    ours = tables.best(7, run)
    peer, figures = theirs(directory, "nannyml", "domain")
    title = f"domain classifier, {tables.DOMAIN_ROWS:,} rows, without fit"
    lines.add(f"{title}: NannyML", peer / ours, least=3)
    # Other trees: the areas are alike, not equal. The higher one sees more.
    note(
        f"{ours * 1e3:.0f} ms, area {found[0]:.3f}; NannyML {peer * 1e3:.0f} ms, "
        f"area {figures[0]:.3f}"
    )


BENCHES = {
    "cbpe": bench_cbpe,
    "pca": bench_pca,
    "univariate": bench_univariate,
    "domain": bench_domain,
}


def main() -> int:
    directory, *chosen = sys.argv[1:]
    lines = Lines()
    if unknown := set(chosen) - BENCHES.keys():
        print(f"There is no {unknown.pop()!r}, only {', '.join(BENCHES)}.")
        return 2
    for name in chosen or BENCHES:
        BENCHES[name](lines, Path(directory).absolute())
    return int(lines.missed)


if __name__ == "__main__":
    sys.exit(main())
