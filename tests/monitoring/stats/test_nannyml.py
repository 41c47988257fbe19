"""The same inputs give what NannyML finds: `tests.bench.peers.nannyml_figures`.

NannyML 0.13 ran in an environment of its own; its figures are kept in nannyml.json.
"""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from governance.schema import Task
from monitoring.stats.answers import Answers
from monitoring.stats.columns import Kind, Values
from monitoring.stats.estimation import Cbpe
from monitoring.stats.multivariate import PcaReconstruction
from tests.bench.peers import inputs

FIGURES = json.loads(Path(__file__).with_name("nannyml.json").read_text("utf-8"))
CBPE = {"credit": inputs.credit, "cancer": inputs.cancer, "digits": inputs.digits}


def pca_parts(name: str) -> tuple[pd.DataFrame, pd.DataFrame]:
    if name == "credit":
        return inputs.credit_columns()
    if name == "diabetes":
        return inputs.diabetes()
    features = [f"x{i}" for i in range(30)]
    reference, window = inputs.cancer()
    return reference[features], window[features]


def answers(rows: pd.DataFrame) -> Answers:
    predicted = rows["predicted"].to_numpy()
    classes = [name for name in rows if name.startswith("p") and name[1:].isdigit()]
    if not classes:
        return Answers(rows["score"].to_numpy(), predicted)
    table = rows[classes].to_numpy()
    return Answers(table.max(1), predicted, table)


def chunks(rows: pd.DataFrame, size: int) -> list[pd.DataFrame]:
    return [rows.iloc[at : at + size] for at in range(0, len(rows), size)]


@pytest.mark.parametrize("name", CBPE)
def test_cbpe_equals_nannyml(name: str) -> None:
    truth = FIGURES["cbpe"][name]
    size = truth["chunk_rows"]
    reference, window = CBPE[name]()
    task = Task.MULTICLASS if name == "digits" else Task.BINARY
    labels = reference["label"].to_numpy()
    estimator = Cbpe.fit(task, answers(reference), labels, chunk_rows=size)
    found = [estimator.estimate(answers(chunk)) for chunk in chunks(window, size)]
    for metric, values in truth["estimates"].items():
        for mine, theirs in zip(found, values, strict=True):
            value = mine.metrics[metric].value
            if value is None:
                # nothing was predicted as positive, where NannyML says 0
                assert theirs == 0
            else:
                assert value == pytest.approx(theirs, abs=1e-6)
        limits = estimator.limits[metric]
        expected = pytest.approx(truth["limits"][metric], abs=1e-9)
        assert [limits.low, limits.high] == expected


@pytest.mark.parametrize("name", CBPE)
def test_sampling_errors_of_shares_equal_nannyml(name: str) -> None:
    # Not those of F1 and ROC-AUC: NannyML scales F1's linearly and leaves out the
    # larger class of ROC-AUC's; `test_spreads` compares ours with the bootstrap.
    truth = FIGURES["cbpe"][name]
    reference, window = CBPE[name]()
    task = Task.MULTICLASS if name == "digits" else Task.BINARY
    labels = reference["label"].to_numpy()
    estimator = Cbpe.fit(task, answers(reference), labels)
    first = chunks(window, truth["chunk_rows"])[0]
    found = estimator.estimate(answers(first)).metrics
    names = ["accuracy"] if name == "digits" else ["accuracy", "precision", "recall"]
    for metric in names:
        one = found[metric]
        assert one.low is not None
        assert one.value is not None
        assert (one.value - one.low) / 3 == pytest.approx(truth["errors"][metric][0])


@pytest.mark.parametrize("name", FIGURES["pca"])
def test_pca_reconstruction_equals_nannyml(name: str) -> None:
    truth = FIGURES["pca"][name]
    size = truth["chunk_rows"]
    reference, window = pca_parts(name)
    kinds: dict[str, Kind] = {
        column: "categorical" if column in inputs.CATEGORICAL else "numeric"
        for column in reference
    }

    def columns(rows: pd.DataFrame) -> dict[str, Values]:
        found: dict[str, Any] = {}
        for column, kind in kinds.items():
            values = rows[column]
            found[column] = (
                values.tolist() if kind == "categorical" else values.to_numpy(float)
            )
        return found

    fitted = PcaReconstruction.fit(columns(reference), kinds, chunk_rows=size)
    found = [fitted.errors(columns(chunk)).mean() for chunk in chunks(window, size)]
    np.testing.assert_allclose(found, truth["errors"], atol=1e-9)
    detail = fitted.measure(columns(window)).detail
    limits = [detail["lower_limit"], detail["upper_limit"]]
    assert limits == pytest.approx(truth["limits"], abs=1e-9)
