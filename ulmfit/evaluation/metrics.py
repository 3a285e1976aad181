"""Classification metrics, computed by scikit-learn. All lie between 0 and 1."""

from __future__ import annotations

from collections.abc import Sequence
from typing import get_args

from ulmfit.datasets.stages import Metric, SingleLabelMetric
from ulmfit.errors import InputError

MainMetric = Metric
"""The metrics that a data set can be ranked by."""

MAIN_METRICS: tuple[str, ...] = get_args(SingleLabelMetric)


def score(
    gold: Sequence[str], predicted: Sequence[str], labels: Sequence[str], positive_label: str | None = None
) -> dict[str, float]:
    """Return every metric of single-label predictions.

    `labels` are all the names of the data set: one that occurs neither in `gold` nor in `predicted` counts
    as 0 in the macro averages, and so does the precision of a label that is never predicted. The keys
    starting with `binary_` are there only when `positive_label` is given. Raises InputError for empty or
    uneven input and for names that are not in `labels`.
    """
    _check(gold, predicted, labels, positive_label)
    from sklearn.metrics import accuracy_score, precision_recall_fscore_support

    def averages(average: str, over: Sequence[str]) -> tuple[float, float, float]:
        precision, recall, f1, _ = precision_recall_fscore_support(
            list(gold), list(predicted), labels=list(over), average=average, zero_division=0
        )
        return float(precision), float(recall), float(f1)

    macro_precision, macro_recall, macro_f1 = averages("macro", labels)
    scores = {
        "accuracy": float(accuracy_score(list(gold), list(predicted))),
        "macro_f1": macro_f1,
        "micro_f1": averages("micro", labels)[2],
        "macro_precision": macro_precision,
        "macro_recall": macro_recall,
        "germeval_f": _harmonic_mean(macro_precision, macro_recall),
    }
    if positive_label is not None:
        precision, recall, f1 = averages("macro", [positive_label])
        scores |= {"binary_f1": f1, "binary_precision": precision, "binary_recall": recall}
    return scores


def main_score(
    metric: str,
    gold: Sequence[str],
    predicted: Sequence[str],
    labels: Sequence[str],
    positive_label: str | None = None,
) -> float:
    """Return the one metric that a data set is ranked by."""
    scores = score(gold, predicted, labels, positive_label)
    if metric not in MAIN_METRICS or metric not in scores:
        expected = ", ".join(name for name in MAIN_METRICS if name in scores)
        raise InputError(
            f"metric {metric!r} cannot be computed: expected one of {expected} "
            "(binary_f1 needs a positive label)"
        )
    return scores[metric]


def confusion_matrix(
    gold: Sequence[str], predicted: Sequence[str], labels: Sequence[str]
) -> tuple[tuple[int, ...], ...]:
    """Return counts: one row a gold label, one column a predicted label, both in the order of `labels`."""
    _check(gold, predicted, labels, None)
    from sklearn.metrics import confusion_matrix as count

    matrix = count(list(gold), list(predicted), labels=list(labels))
    return tuple(tuple(int(cell) for cell in row) for row in matrix)


def _harmonic_mean(first: float, second: float) -> float:
    return 2 * first * second / (first + second) if first + second else 0.0


def _check(
    gold: Sequence[str], predicted: Sequence[str], labels: Sequence[str], positive_label: str | None
) -> None:
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
