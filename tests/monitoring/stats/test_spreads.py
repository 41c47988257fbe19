"""Standard errors against the bootstrap."""

import numpy as np
import pytest

from governance.schema import Task
from monitoring.stats.answers import Answers
from monitoring.stats.estimation import Cbpe
from monitoring.stats.expected import Probabilities, Scores

ROWS = 2_000


def bootstrap(
    knowledge: Scores | Probabilities, answers: Answers, labels: np.ndarray
) -> dict[str, float]:
    rng = np.random.default_rng(0)
    values: dict[str, list[float]] = {}
    for _ in range(400):
        rows = rng.integers(0, ROWS, ROWS)
        mine = answers.at(rows)
        certain = knowledge.certain(mine, labels[rows])
        for name, metric in knowledge.metrics(mine, certain).items():
            assert metric.value is not None
            values.setdefault(name, []).append(metric.value)
    return {name: float(np.std(found)) for name, found in values.items()}


def test_errors_of_a_binary_model_are_those_of_the_bootstrap() -> None:
    rng = np.random.default_rng(1)
    scores = np.round(rng.beta(2, 3, ROWS), 2)
    labels = (rng.random(ROWS) < scores).astype(int)
    answers = Answers(scores, (scores >= 0.45).astype(int))
    estimator = Cbpe.fit(Task.BINARY, answers, labels)
    for name, truth in bootstrap(Scores(), answers, labels).items():
        assert estimator.fit_error(name) == pytest.approx(truth, rel=0.12), name


def test_errors_of_a_multiclass_model_are_those_of_the_bootstrap() -> None:
    rng = np.random.default_rng(2)
    table = rng.dirichlet([2, 1, 1], ROWS)
    labels = (rng.random((ROWS, 1)) > table.cumsum(1)).sum(1)
    answers = Answers(table.max(1), table.argmax(1), table)
    estimator = Cbpe.fit(Task.MULTICLASS, answers, labels)
    for name, truth in bootstrap(Probabilities(3), answers, labels).items():
        assert estimator.fit_error(name) == pytest.approx(truth, rel=0.12), name
