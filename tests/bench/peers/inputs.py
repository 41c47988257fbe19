"""The inputs that peers and DriftGuard are both given; runs in either environment.

Nothing is trained and nothing is drawn: scores are fixed formulas of real columns, so
that both sides see the same numbers whatever is installed.
"""

from pathlib import Path

import numpy as np
import pandas as pd
from sklearn import datasets

CREDIT = Path(__file__).parents[3] / "data" / "credit_default_monthly.parquet"
CATEGORICAL = ["SEX", "EDUCATION", "MARRIAGE", "PAY_STATUS", "PAY_STATUS_PREV"]
NUMERIC = [
    "LIMIT_BAL",
    "AGE",
    "BILL_AMT",
    "BILL_AMT_PREV",
    "PAY_AMT",
    "PAY_AMT_PREV",
]


def credit() -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return May and June as the reference and the later months, with a score.

    The score ranks well and is too low on purpose: it needs to be calibrated.
    """
    rows = pd.read_parquet(CREDIT).sort_values(["as_of", "ID"], ignore_index=True)
    margin = (
        -2.5
        + 0.8 * rows["PAY_STATUS"].clip(lower=0)
        + 0.4 * rows["PAY_STATUS_PREV"].clip(lower=0)
        - 0.4 * np.log1p(rows["PAY_AMT"]) / 10
        - rows["LIMIT_BAL"] / 5e5
        + (rows["AGE"] - 35) / 100
    )
    rows["score"] = 1 / (1 + np.exp(-margin))
    rows["predicted"] = (rows["score"] >= 0.2).astype(int)
    rows = rows.rename(columns={"late_next_month": "label"})
    is_reference = rows["as_of"].rank(method="dense") <= 2
    return _parts(rows, is_reference)


def cancer() -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return a binary model by one column, on 400 and 169 rows."""
    data = datasets.load_breast_cancer()
    texture = data.data[:, 1]
    score = 1 / (1 + np.exp(0.35 * (texture - 17)))
    rows = pd.DataFrame(data.data, columns=[f"x{i}" for i in range(30)])
    rows["score"] = score
    rows["predicted"] = (score >= 0.4).astype(int)
    rows["label"] = data.target
    return _parts(rows, np.arange(len(rows)) < 400)


def digits() -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return a model of ten classes by the distance to their centres, too modest."""
    data = datasets.load_digits()
    centres = np.stack([data.data[data.target == one].mean(0) for one in range(10)])
    distance = ((data.data[:, None] - centres) ** 2).sum(2)
    margins = -distance / 500
    chances = np.exp(margins - margins.max(1, keepdims=True))
    chances /= chances.sum(1, keepdims=True)
    rows = pd.DataFrame(chances, columns=[f"p{one}" for one in range(10)])
    rows["predicted"] = chances.argmax(1)
    rows["label"] = data.target
    return _parts(rows, np.arange(len(rows)) < 1200)


def diabetes() -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return ten numeric columns, with a value missing in every seventh row."""
    data = datasets.load_diabetes()
    rows = pd.DataFrame(data.data, columns=[f"x{i}" for i in range(10)])
    for column in range(10):
        rows.loc[rows.index % 7 == column % 7, f"x{column}"] = np.nan
    return _parts(rows, np.arange(len(rows)) < 300)


def credit_columns() -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return the credit columns alone, some values missing, categories as text."""
    parts = []
    for part in credit():
        columns = part[NUMERIC].astype(float).join(part[CATEGORICAL].astype(str))
        columns.loc[columns.index % 11 == 0, "BILL_AMT"] = np.nan
        columns.loc[columns.index % 13 == 0, "EDUCATION"] = None
        parts.append(columns)
    return parts[0], parts[1]


def _parts(
    rows: pd.DataFrame, is_reference: np.ndarray
) -> tuple[pd.DataFrame, pd.DataFrame]:
    return (
        rows[is_reference].reset_index(drop=True),
        rows[~is_reference].reset_index(drop=True),
    )
