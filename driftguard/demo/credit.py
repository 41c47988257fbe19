"""The credit data and the model that is trained on its baseline months."""

import datetime as dt
import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

if TYPE_CHECKING:
    pass

PATH = Path(__file__).resolve().parents[2] / "data" / "credit_default_monthly.parquet"
SHA256 = "cd20e4a6a6c77dd3978f11fe9f11b3fce76aaba8f04878383a84fdc563deda74"

TARGET = "late_next_month"
CATEGORICAL = ("SEX", "EDUCATION", "MARRIAGE", "PAY_STATUS", "PAY_STATUS_PREV")
NUMERIC = (
    "LIMIT_BAL",
    "AGE",
    "BILL_AMT",
    "BILL_AMT_PREV",
    "PAY_AMT",
    "PAY_AMT_PREV",
)
FEATURES = (
    "LIMIT_BAL",
    "SEX",
    "EDUCATION",
    "MARRIAGE",
    "AGE",
    "PAY_STATUS",
    "PAY_STATUS_PREV",
    "BILL_AMT",
    "BILL_AMT_PREV",
    "PAY_AMT",
    "PAY_AMT_PREV",
)
# Who the clients are; the same in every month.
CONSTANT = ("LIMIT_BAL", "SEX", "EDUCATION", "MARRIAGE", "AGE")
BASELINE_MONTHS = (dt.date(2005, 5, 31), dt.date(2005, 6, 30))
PRODUCTION_MONTHS = (
    dt.date(2005, 7, 31),
    dt.date(2005, 8, 31),
    dt.date(2005, 9, 30),
)
THRESHOLD = 0.5


class WrongDataError(Exception):
    """The file is not the one that the demo's figures were taken from."""


def load(path: Path = PATH) -> pd.DataFrame:
    """Return the table, or raise `WrongDataError` if it isn't byte for byte ours."""
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    if digest != SHA256:
        raise WrongDataError(f"{path.name} has SHA-256 {digest}, not {SHA256}.")
    return pd.read_parquet(path)


@dataclass(frozen=True, slots=True)
class Batch:
    """The clients of some months that the model has not learned from, and their scores.

    Rows of one month have no order in time. They are in a fixed shuffled one, so that
    the first thousand are as typical of the month as the last.
    """

    clients: NDArray[np.int64]
    features: pd.DataFrame
    probabilities: NDArray[np.float64]  # of being late, one per client
    labels: NDArray[np.int64]

    @property
    def predicted(self) -> NDArray[np.int64]:
        return (self.probabilities >= THRESHOLD).astype(np.int64)

    def __len__(self) -> int:
        return len(self.clients)


def one_thread() -> threadpool_limits:
    """Keep the numerical libraries to one thread inside a `with`.

    The server works on the same cores meanwhile, and threads that wait for each other
    would take many times as long as one.
    """
    return threadpool_limits(1)


class CreditModel:
    """Gradient boosting on the baseline months of the clients with ``ID % 10 < 7``."""

    def __init__(self, data: pd.DataFrame) -> None:
        from sklearn.ensemble import HistGradientBoostingClassifier

        self.data = data
        baseline = data[data["as_of"].isin(BASELINE_MONTHS)]
        learned = baseline[baseline["ID"] % 10 < 7]
        self.classifier: HistGradientBoostingClassifier = (
            HistGradientBoostingClassifier(random_state=0)
        )
        with one_thread():
            self.classifier.fit(learned[list(FEATURES)], learned[TARGET])
        self.training_accuracy = float(
            self.classifier.score(learned[list(FEATURES)], learned[TARGET])
        )

    def batch(self, *months: dt.date) -> Batch:
        """Score the held-out clients of ``months``."""
        rows = self.data[self.data["as_of"].isin(months) & (self.data["ID"] % 10 >= 7)]
        rows = rows.sample(frac=1, random_state=0)
        features = rows[list(FEATURES)]
        with one_thread():
            probabilities = self.classifier.predict_proba(features)[:, 1]
        return Batch(
            clients=rows["ID"].to_numpy(np.int64),
            features=features,
            probabilities=probabilities,
            labels=rows[TARGET].to_numpy(np.int64),
        )

    def importances(self) -> dict[str, float]:
        """Return each column's share of the ROC-AUC that shuffling it costs.

        Measured on the held-out clients of the baseline months; the shares sum to 1.
        """
        from sklearn.inspection import permutation_importance

        baseline = self.batch(*BASELINE_MONTHS)
        with one_thread():
            measured = permutation_importance(
                self.classifier,
                baseline.features,
                baseline.labels,
                scoring="roc_auc",
                n_repeats=3,
                random_state=0,
            )
        costs = np.maximum(measured.importances_mean, 0)
        shares = costs / costs.sum()
        return dict(zip(FEATURES, map(float, shares), strict=True))
