"""``python -m tests.bench.peers.nannyml_times CASE``: NannyML's time and figures.

Runs in the environment of requirements/peers/nannyml.txt.
"""

import json
import logging
import sys
import warnings
from collections.abc import Callable
from typing import Any

import nannyml
import numpy as np
import pandas as pd

from tests.bench.peers import tables

Case = Callable[[], tuple[float, list[float]]]


def frame(columns: tables.Arrays) -> pd.DataFrame:
    """Return the columns as NannyML takes them, codes as pandas' categories."""
    found: dict[str, Any] = dict(columns)
    for name in tables.CATEGORICAL:
        if name in found:
            found[name] = pd.Categorical.from_codes(found[name], tables.CATEGORIES)
    return pd.DataFrame(found)


def cbpe() -> tuple[float, list[float]]:
    fitted, estimated = tables.CBPE_ROWS
    reference = pd.DataFrame(tables.answers(fitted, 0))
    window = pd.DataFrame(tables.answers(estimated, 1, 0.6)).drop(columns="label")
    found: list[Any] = []

    def run() -> None:
        estimator = nannyml.CBPE(
            metrics=tables.METRICS,
            y_pred_proba="score",
            y_pred="predicted",
            y_true="label",
            problem_type="classification_binary",
            chunk_size=tables.CHUNK_ROWS,
        )
        estimator.fit(reference)
        found[:] = [estimator.estimate(window).filter(period="analysis").data]

    seconds = tables.best(1, run)
    return seconds, [float(found[0][one, "value"].mean()) for one in tables.METRICS]


def pca() -> tuple[float, list[float]]:
    reference = frame(tables.table(tables.BASELINE_ROWS, 0))
    window = frame(tables.table(tables.PCA_ROWS, 1, 0.05))
    found: list[Any] = []

    def run() -> None:
        calculator = nannyml.DataReconstructionDriftCalculator(
            column_names=list(reference), chunk_size=tables.CHUNK_ROWS
        )
        calculator.fit(reference)
        found[:] = [calculator.calculate(window).filter(period="analysis").data]

    seconds = tables.best(2, run)
    return seconds, found[0]["reconstruction_error", "value"].tolist()


def univariate() -> tuple[float, list[float]]:
    """Time one algorithm a column, where DriftGuard computes two."""
    reference = frame(tables.table(tables.BASELINE_ROWS, 0))
    window = frame(tables.table(tables.UNIVARIATE_ROWS, 1, 0.05))
    found: list[Any] = []

    def run() -> None:
        calculator = nannyml.UnivariateDriftCalculator(
            column_names=list(reference),
            continuous_methods=["kolmogorov_smirnov"],
            categorical_methods=["chi2"],
            chunk_size=tables.UNIVARIATE_ROWS,
        )
        calculator.fit(reference)
        found[:] = [calculator.calculate(window).filter(period="analysis").data]

    seconds = tables.best(1, run)
    names = tables.NUMERIC
    return seconds, [
        float(found[0][name, "kolmogorov_smirnov", "value"].iloc[0]) for name in names
    ]


def domain() -> tuple[float, list[float]]:
    """Time the window alone: fitting trains on every chunk of the reference too."""
    reference = frame(tables.table(tables.DOMAIN_ROWS, 0))
    window = frame(tables.table(tables.DOMAIN_ROWS, 1, 0.1))
    calculator = nannyml.DomainClassifierCalculator(
        list(reference), chunk_size=tables.DOMAIN_ROWS
    )
    calculator.fit(reference)
    found: list[Any] = []

    def run() -> None:
        found[:] = [calculator.calculate(window).filter(period="analysis").data]

    seconds = tables.best(2, run)
    return seconds, found[0]["domain_classifier_auroc", "value"].tolist()


CASES: dict[str, Case] = {
    "cbpe": cbpe,
    "pca": pca,
    "univariate": univariate,
    "domain": domain,
}


def main() -> int:
    warnings.simplefilter("ignore")
    logging.disable(logging.CRITICAL)
    seconds, figures = CASES[sys.argv[1]]()
    # LightGBM writes to the same place: what counts is the last line.
    print(json.dumps([seconds, np.array(figures).tolist()]), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
