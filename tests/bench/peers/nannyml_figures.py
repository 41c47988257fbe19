"""Write what NannyML finds on the inputs, for the tests to compare with.

Runs in an environment of its own (requirements/peers/nannyml.txt):
``python -m tests.bench.peers.nannyml_figures`` from the root of the project.
"""

import json
import logging
import sys
import warnings
from pathlib import Path

import nannyml
import pandas as pd

from tests.bench.peers import inputs

FILE = Path(__file__).parents[2] / "monitoring" / "stats" / "nannyml.json"
BINARY = ["roc_auc", "f1", "precision", "recall", "specificity", "accuracy"]


def cbpe(
    reference: pd.DataFrame, window: pd.DataFrame, chunk_rows: int
) -> dict[str, object]:
    classes = [
        name for name in window.columns if name.startswith("p") and name[1:].isdigit()
    ]
    probabilities = {int(name[1:]): name for name in classes} or "score"
    estimator = nannyml.CBPE(
        metrics=BINARY,
        y_pred_proba=probabilities,
        y_pred="predicted",
        y_true="label",
        problem_type="classification_multiclass"
        if classes
        else "classification_binary",
        chunk_size=chunk_rows,
    )
    estimator.fit(reference)
    found = estimator.estimate(window).filter(period="analysis").data
    return {
        "chunk_rows": chunk_rows,
        "estimates": {name: found[name, "value"].tolist() for name in BINARY},
        "errors": {name: found[name, "sampling_error"].tolist() for name in BINARY},
        "limits": {
            name: [found[name, "lower_threshold"][0], found[name, "upper_threshold"][0]]
            for name in BINARY
        },
    }


def reconstruction(
    reference: pd.DataFrame, window: pd.DataFrame, chunk_rows: int
) -> dict[str, object]:
    calculator = nannyml.DataReconstructionDriftCalculator(
        column_names=list(reference.columns), chunk_size=chunk_rows
    )
    calculator.fit(reference)
    found = calculator.calculate(window).filter(period="analysis").data
    column = found["reconstruction_error"]
    return {
        "chunk_rows": chunk_rows,
        "errors": column["value"].tolist(),
        "limits": [column["lower_threshold"][0], column["upper_threshold"][0]],
    }


def main() -> int:
    warnings.simplefilter("ignore")
    logging.disable(logging.CRITICAL)
    features = [f"x{i}" for i in range(30)]
    cancer = [part[features] for part in inputs.cancer()]
    figures = {
        "nannyml": nannyml.__version__,
        "cbpe": {
            "credit": cbpe(*inputs.credit(), 5_000),
            "cancer": cbpe(*inputs.cancer(), 80),
            "digits": cbpe(*inputs.digits(), 200),
        },
        "pca": {
            "credit": reconstruction(*inputs.credit_columns(), 5_000),
            "cancer": reconstruction(*cancer, 40),
            "diabetes": reconstruction(*inputs.diabetes(), 30),
        },
    }
    FILE.write_text(
        json.dumps(figures, indent=1, default=float) + "\n", encoding="utf-8"
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
