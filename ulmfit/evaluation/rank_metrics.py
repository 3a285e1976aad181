"""Metrics that depend on an order, for many weighted samples at once; the order is found once.

Shapes: S samples, N documents. Weights say how often a document is in a sample.
"""

from __future__ import annotations

import numpy as np

from ulmfit.classifier.metrics import ratio


def average_precisions(gold: np.ndarray, scores: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Return the average precision of each sample (S,) as scikit-learn defines it; 0 without a positive text.

    `gold` (N,) is true or false, `scores` (N,) are higher for what is more likely, `weights` are (S, N).
    """
    order, starts = _groups(-scores)
    sorted_weights = weights[:, order].astype(np.float64)
    drawn = np.add.reduceat(sorted_weights, starts, axis=1)
    right = np.add.reduceat(sorted_weights * gold[order], starts, axis=1)
    found = np.cumsum(right, axis=1)
    precision = ratio(found, np.cumsum(drawn, axis=1))
    return ratio((right * precision).sum(axis=1), found[:, -1])


def spearman_correlations(first: np.ndarray, second: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Return Spearman's rank correlation of each sample (S,); 0 where all numbers of a sample are equal.

    `first` and `second` are (N,), `weights` (S, N). Equal numbers have the mean of their ranks.
    """
    weights = weights.astype(np.float64)
    total = weights.sum(axis=1, keepdims=True)
    ranks = [_ranks(values, weights) - (total + 1) / 2 for values in (first, second)]
    products = [(weights * ranks[i] * ranks[j]).sum(axis=1) for i, j in ((0, 1), (0, 0), (1, 1))]
    return np.clip(ratio(products[0], np.sqrt(products[1] * products[2])), -1, 1)


def _ranks(values: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Return the rank (S, N) of each document in each sample, from 1, equal ones sharing the mean."""
    order, starts = _groups(values)
    drawn = np.add.reduceat(weights[:, order], starts, axis=1)
    middle = np.cumsum(drawn, axis=1) - drawn + (drawn + 1) / 2
    group = np.empty(len(values), dtype=np.intp)
    group[order] = np.repeat(np.arange(len(starts)), np.diff(np.append(starts, len(values))))
    return middle[:, group]


def _groups(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the order that sorts the values, and where each group of equal ones starts in it."""
    order = np.argsort(values, kind="stable")
    ordered = values[order]
    return order, np.flatnonzero(np.append(True, ordered[1:] != ordered[:-1]))
