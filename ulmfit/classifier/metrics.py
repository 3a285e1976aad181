"""Scores of predictions. The metrics themselves stand in one table, `datasets/metric_table.py`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from ulmfit.classifier.outcomes import LabelOutcomes, Outcomes
from ulmfit.datasets.metric_table import LabelSums, metric_of, ranking_metrics
from ulmfit.pipeline.errors import InputError

if TYPE_CHECKING:
    from ulmfit.classifier.predictions import Predictions


def scores(predictions: Predictions, positive_label: str | None = None) -> dict[str, float]:
    """Return every metric of the predictions' task.

    `positive_label` is for single-label tasks alone; metrics that are about it are missing without one. A
    label without texts counts as 0 in macro averages. Raises InputError without rows, and for gold numbers
    that are all the same.
    """
    return predictions.outcomes(positive_label).scores()


def main_score_of(metric: str, predictions: Predictions, positive_label: str | None = None) -> float:
    """Return the one metric that a data set is ranked by; InputError when it does not fit the task."""
    return _main_score(metric, predictions.outcomes(positive_label))


def score(
    gold: Sequence[str], predicted: Sequence[str], labels: Sequence[str], positive_label: str | None = None
) -> dict[str, float]:
    """Return every metric of single-label predictions that are given as names.

    `labels` are all the names of the data set. Raises InputError for empty or uneven input and for names that
    are not in `labels`.
    """
    return _outcomes(gold, predicted, labels, positive_label).scores()


def main_score(
    metric: str,
    gold: Sequence[str],
    predicted: Sequence[str],
    labels: Sequence[str],
    positive_label: str | None = None,
) -> float:
    """Return one metric of single-label predictions that are given as names, as `main_score_of` does."""
    return _main_score(metric, _outcomes(gold, predicted, labels, positive_label))


def label_scores(
    gold: Sequence[str], predicted: Sequence[str], labels: Sequence[str]
) -> dict[str, dict[str, float]]:
    """Return precision, recall and f1 of each label; 0 where a label is never predicted or never occurs."""
    return dict(zip(labels, _outcomes(gold, predicted, labels, None).label_scores(), strict=True))


def confusion_matrix(
    gold: Sequence[str], predicted: Sequence[str], labels: Sequence[str]
) -> tuple[tuple[int, ...], ...]:
    """Return counts: a row for each gold label, a column for each predicted one, in the order of `labels`."""
    return _outcomes(gold, predicted, labels, None).confusion()


def majority_score(metric: str, gold: Sequence[float], positive: int | None = None) -> float:
    """Return the score of always predicting the most frequent label; `gold` counts each label."""
    counts = np.array(gold, dtype=float)
    always = (np.arange(len(gold)) == counts.argmax()) * counts.sum()
    sums = LabelSums(counts, always, np.minimum(counts, always), counts.sum(), counts, positive)
    return float(metric_of("single_label", metric).formula(sums))


def _main_score(metric: str, outcomes: Outcomes) -> float:
    fitting = ranking_metrics(outcomes.task, positive_label=outcomes.positive is not None)
    if metric not in fitting:
        raise InputError(
            f"metric {metric!r} cannot be computed of {outcomes.task} predictions: expected one of "
            f"{', '.join(fitting)}"
        )
    return outcomes.score(metric)


def _outcomes(
    gold: Sequence[str], predicted: Sequence[str], labels: Sequence[str], positive_label: str | None
) -> LabelOutcomes:
    if not gold:
        raise InputError("metrics: there are no rows to score; expected at least one")
    if len(gold) != len(predicted):
        raise InputError(
            f"metrics: {len(gold)} gold labels but {len(predicted)} predictions; expected as many"
        )
    if len(set(labels)) != len(labels):
        raise InputError("metrics: a label name is listed twice; expected distinct names")
    known = set(labels)
    for kind, names in (("gold", gold), ("predicted", predicted)):
        if unknown := sorted(set(names) - known):
            raise InputError(f"metrics: {kind} label {unknown[0]!r} is not one of {', '.join(labels)}")
    if positive_label is not None and positive_label not in known:
        raise InputError(f"metrics: positive label {positive_label!r} is not one of {', '.join(labels)}")
    return LabelOutcomes.of(gold, predicted, labels, positive_label)
