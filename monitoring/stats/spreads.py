"""How much a metric of a sample varies: its standard deviation over single rows.

Each metric is a function of means over rows. The influence of a row is what the metric
changes, to first order, when the row's weight does; its standard deviation over the
baseline (ddof 0), divided by the root of a window's rows, is the sampling error there.
For shares it is the binomial error, for the area under the ROC curve DeLong's.

References
----------
Hampel, JASA 69 (1974) 383-393, section 2.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from monitoring.stats.tally import Floats, Ints

Spreads = dict[str, float]
Booleans = NDArray[np.bool_]


def share_of(hits: Booleans) -> float:
    """Return the standard deviation of a share.

    Examples
    --------
    >>> share_of(np.array([True, True, False, False]))
    0.5

    """
    return float(np.std(hits))


def positive_spreads(predicted: Booleans, labels: Booleans, scores: Floats) -> Spreads:
    """Return the standard deviation of each metric of a binary model.

    Parameters
    ----------
    predicted, labels : bool array, shape (n,), n > 0
        Whether the positive class is meant.
    scores : float array, shape (n,)

    Returns
    -------
    dict of str to float
        Of the metrics that have one: precision has none where nothing was predicted.

    """
    influences = _influences(predicted, labels, scores)
    influences["accuracy"] = (predicted == labels).astype(np.float64)
    return {name: float(np.std(found)) for name, found in influences.items()}


def class_spreads(predicted: Ints, labels: Booleans, scores: Floats) -> Spreads:
    """Return the standard deviation of each macro metric of a multiclass model.

    Parameters
    ----------
    predicted : int array, shape (n,)
        Position of the predicted class.
    labels : bool array, shape (n, k)
        Whether a row is of a class.
    scores : float array, shape (n, k)
        Probability of each class.

    Returns
    -------
    dict of str to float
        Rows weigh on several classes at once, so the influences are averaged before
        their deviation is taken.

    """
    size = labels.shape[1]
    totals: dict[str, Floats] = {}
    counts: dict[str, int] = {}
    for one in range(size):
        found = _influences(predicted == one, labels[:, one], scores[:, one])
        for name, influence in found.items():
            totals[name] = totals.get(name, 0.0) + influence
            counts[name] = counts.get(name, 0) + 1
    spreads = {name: float(np.std(totals[name])) / counts[name] for name in totals}
    if "recall" in spreads:
        spreads["balanced_accuracy"] = spreads["recall"]
    known = predicted < size
    right = np.zeros(len(predicted), np.bool_)
    right[known] = labels[known, predicted[known]]
    return spreads | {"accuracy": share_of(right)}


def _influences(
    predicted: Booleans, labels: Booleans, scores: Floats
) -> dict[str, Floats]:
    hits = predicted & labels
    found = {
        "precision": _of_ratio(hits, predicted),
        "recall": _of_ratio(hits, labels),
        "specificity": _of_ratio(~predicted & ~labels, ~labels),
        "f1": _of_ratio(2 * hits, 1 * predicted + labels),
        "roc_auc": _of_area(labels, scores),
    }
    influences = {name: one for name, one in found.items() if one is not None}
    if "recall" in influences and "specificity" in influences:
        influences["balanced_accuracy"] = (
            influences["recall"] + influences["specificity"]
        ) / 2
    return influences


def _of_ratio(part: NDArray[Any], whole: NDArray[Any]) -> Floats | None:
    """Return each row's influence on sum(part) / sum(whole)."""
    total = float(whole.mean())
    if not total:
        return None
    result: Floats = (part - float(part.mean()) / total * whole) / total
    return result


def _of_area(labels: Booleans, scores: Floats) -> Floats | None:
    """Return each row's influence on the area under the ROC curve."""
    p = int(np.count_nonzero(labels))
    q = len(labels) - p
    if not p or not q:
        return None
    _, places = np.unique(scores, return_inverse=True)
    positives = np.bincount(places[labels])
    positives = np.append(positives, np.zeros(places.max() + 1 - len(positives)))
    negatives = np.bincount(places[~labels], minlength=len(positives))
    # Placements as in `performance.roc_auc`: the share of the other class below.
    below = ((np.cumsum(negatives) - negatives / 2) / q)[places]
    above = (1 - (np.cumsum(positives) - positives / 2) / p)[places]
    area = float(below[labels].mean())
    rows = len(labels)
    return np.where(labels, (below - area) * rows / p, (above - area) * rows / q)
