"""What tasks with several labels need: labels as true and false, and the thresholds that predict them.

Shapes: N texts, K labels.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np

from ulmfit.pipeline.errors import InputError


def indicators(rows: Iterable[Sequence[str]], labels: Sequence[str]) -> np.ndarray:
    """Return lists of names as true and false (N, K); InputError for an unknown name."""
    places = {label: place for place, label in enumerate(labels)}
    rows = list(rows)
    result = np.zeros((len(rows), len(labels)), dtype=bool)
    for row, names in enumerate(rows):
        for name in names:
            if name not in places:
                raise InputError(f"label {name!r} is not one of {', '.join(labels)}")
            result[row, places[name]] = True
    return result


def names_of(marked: np.ndarray, labels: Sequence[str]) -> list[list[str]]:
    """Return the names of the labels that are true in each row (N, K), in the order of `labels`."""
    return [[label for label, is_true in zip(labels, row, strict=True) if is_true] for row in marked]


def tune_thresholds(gold: np.ndarray, probabilities: np.ndarray) -> list[float]:
    """Return the threshold of each label that gives it the highest F1 on validation texts.

    `gold` (N, K) is true or false. Candidates are .5, the middles between neighbouring probabilities, and one
    low enough that every text gets the label. Of several with the same F1 the nearest to .5 is chosen, then
    the smaller. A label that no text has keeps .5. Probabilities count as float32, as in
    `MultiLabelPredictions`.
    """
    rounded = probabilities.astype(np.float32).astype(np.float64)
    return [_threshold(gold[:, label], rounded[:, label]) for label in range(gold.shape[1])]


def _threshold(gold: np.ndarray, probabilities: np.ndarray) -> float:
    values = np.unique(probabilities)
    if not gold.any():
        return 0.5
    candidates = np.concatenate([[0.5, values[0] / 2], (values[1:] + values[:-1]) / 2])
    order = np.argsort(probabilities)
    # Texts from a threshold on, and how many of them have the label.
    below = np.searchsorted(probabilities[order], candidates, side="left")
    predicted = len(gold) - below
    right = gold.sum() - np.concatenate([[0], np.cumsum(gold[order])])[below]
    scores = 2 * right / (predicted + gold.sum())
    best = candidates[scores == scores.max()]
    return float(min(best, key=lambda threshold: (abs(threshold - 0.5), threshold)))
