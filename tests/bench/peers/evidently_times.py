"""``python -m tests.bench.peers.evidently_times``: Evidently's time and figures.

Runs in the environment of requirements/peers/evidently.txt.
"""

import json
import sys
import warnings
from typing import Any

import pandas as pd
from evidently import DataDefinition, Dataset, Report
from evidently.metrics import ValueDrift

from tests.bench.peers import tables


def dataset(columns: tables.Arrays) -> Dataset:
    found: dict[str, Any] = dict(columns)
    for name in tables.CATEGORICAL:
        found[name] = pd.Categorical.from_codes(found[name], tables.CATEGORIES)
    definition = DataDefinition(
        numerical_columns=tables.NUMERIC, categorical_columns=tables.CATEGORICAL
    )
    return Dataset.from_pandas(pd.DataFrame(found), data_definition=definition)


def main() -> int:
    warnings.simplefilter("ignore")
    reference = dataset(tables.table(tables.BASELINE_ROWS, 0))
    window = dataset(tables.table(tables.UNIVARIATE_ROWS, 1, 0.05))
    metrics = [
        *(
            ValueDrift(column=x, method=m)
            for x in tables.NUMERIC
            for m in ("ks", "psi")
        ),
        *(
            ValueDrift(column=c, method=m)
            for c in tables.CATEGORICAL
            for m in ("chisquare", "jensenshannon")
        ),
    ]
    found: list[Any] = []

    def run() -> None:
        found[:] = Report(metrics).run(window, reference).dict()["metrics"]

    seconds = tables.best(2, run)
    print(json.dumps([seconds, [float(one["value"]) for one in found]]), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
