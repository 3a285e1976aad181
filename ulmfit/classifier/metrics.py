"""Classification metrics, computed by scikit-learn; and the same for many samples at once, from counts.

All lie between 0 and 1, except Cohen's kappa and Matthews' correlation coefficient (-1 to 1, 0: chance).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ulmfit.datasets.metrics import ranking_metrics
from ulmfit.pipeline.errors import InputError

if TYPE_CHECKING:
    import numpy as np

MAIN_METRICS = ranking_metrics("single_label")


def score(
    gold: Sequence[str], predicted: Sequence[str], labels: Sequence[str], positive_label: str | None = None
) -> dict[str, float]:
    """Return every metric of single-label predictions.

    `labels` are all the names of the data set: one that occurs neither in `gold` nor in `predicted` counts
    as 0 in the macro averages, and so does the precision of a label that is never predicted. Macro recall is
    balanced accuracy where every label occurs in `gold`; balanced accuracy leaves the others out. `kappa` and
    `mcc` are 0 where they would be 0 / 0. `germeval_f` is the "average F" of GermEval 2018: the harmonic mean
    of macro precision and macro recall. The keys starting with `binary_` are there only when `positive_label`
    is given: PolEval 2019, task 6-1, ranks by `binary_f1`, task 6-2 by `micro_f1` and `macro_f1`. Raises
    InputError for empty or uneven input and for names that are not in `labels`.
    """
    _check(gold, predicted, labels, positive_label)
    from sklearn.metrics import (
        accuracy_score,
        cohen_kappa_score,
        matthews_corrcoef,
        precision_recall_fscore_support,
    )

    true, guessed = _codes(gold, labels), _codes(predicted, labels)
    single = len({*true, *guessed}) == 1

    def averages(average: str, over: Sequence[str]) -> tuple[float, float, float]:
        precision, recall, f1, _ = precision_recall_fscore_support(
            true, guessed, labels=_codes(over, labels), average=average, zero_division=0
        )
        return float(precision), float(recall), float(f1)

    macro_precision, macro_recall, macro_f1 = averages("macro", labels)
    scores = {
        "accuracy": float(accuracy_score(true, guessed)),
        "macro_f1": macro_f1,
        "micro_f1": averages("micro", labels)[2],
        "macro_precision": macro_precision,
        "macro_recall": macro_recall,
        "weighted_f1": averages("weighted", labels)[2],
        "germeval_f": _harmonic_mean(macro_precision, macro_recall),
        "kappa": 0.0 if single else float(cohen_kappa_score(true, guessed)),
        "mcc": 0.0 if single else float(matthews_corrcoef(true, guessed)),
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


def label_scores(
    gold: Sequence[str], predicted: Sequence[str], labels: Sequence[str]
) -> dict[str, dict[str, float]]:
    """Return precision, recall and f1 of each label; 0 where a label is never predicted or never occurs."""
    _check(gold, predicted, labels, None)
    from sklearn.metrics import precision_recall_fscore_support

    true, guessed, every = _codes(gold, labels), _codes(predicted, labels), _codes(labels, labels)
    parts = precision_recall_fscore_support(true, guessed, labels=every, average=None, zero_division=0)
    columns = dict(zip(("precision", "recall", "f1"), parts, strict=False))
    return {
        label: {name: float(column[index]) for name, column in columns.items()}
        for index, label in enumerate(labels)
    }


def confusion_matrix(
    gold: Sequence[str], predicted: Sequence[str], labels: Sequence[str]
) -> tuple[tuple[int, ...], ...]:
    """Return counts: one row a gold label, one column a predicted label, both in the order of `labels`."""
    _check(gold, predicted, labels, None)
    from sklearn.metrics import confusion_matrix as count

    matrix = count(list(gold), list(predicted), labels=list(labels))
    return tuple(tuple(int(cell) for cell in row) for row in matrix)


@dataclass(frozen=True, eq=False)
class LabelCounts:
    """How often each label is gold, is predicted, and is rightly predicted: all that the metrics need.

    Each array has the shape (..., labels), floats; the leading axes are samples of documents.
    """

    gold: np.ndarray
    predicted: np.ndarray
    hits: np.ndarray


def scores_of_counts(
    counts: LabelCounts, positive: int | None = None, held: np.ndarray | None = None
) -> dict[str, np.ndarray]:
    """Return what `score` returns, for many samples at once: arrays of the shape (...).

    `positive` is the index of the positive label. Every sample needs at least one document. `held` (...,
    labels) says which labels a sample can tell of; the others are left out of its macro averages, and
    `binary_` metrics are NaN where the positive label is one of them. None: all labels count.
    """
    import numpy as np

    by_label = label_scores_of_counts(counts)
    total, right = counts.gold.sum(axis=-1), counts.hits.sum(axis=-1)
    accuracy = right / total
    macro = {name: mean_of_held(values, held) for name, values in by_label.items()}
    precision, recall = macro["precision"], macro["recall"]
    agreement = (counts.gold * counts.predicted).sum(axis=-1)
    room = (total**2 - (counts.predicted**2).sum(axis=-1)) * (total**2 - (counts.gold**2).sum(axis=-1))
    scores = {
        "accuracy": accuracy,
        "macro_f1": macro["f1"],
        "micro_f1": accuracy,
        "macro_precision": precision,
        "macro_recall": recall,
        "weighted_f1": (by_label["f1"] * counts.gold).sum(axis=-1) / total,
        "germeval_f": ratio(2 * precision * recall, precision + recall),
        "kappa": ratio(right * total - agreement, total**2 - agreement),
        "mcc": ratio(right * total - agreement, room**0.5),
    }
    if positive is not None:
        told = True if held is None else held[..., positive]
        scores |= {
            f"binary_{name}": np.where(told, values[..., positive], np.nan)
            for name, values in by_label.items()
        }
    return scores


def held_labels(gold: np.ndarray, whole: np.ndarray) -> np.ndarray:
    """Return which labels resamples can tell of: those they hold, and those that the whole split lacks too.

    `gold` (samples, labels) and `whole` (labels,) are how often each label is gold. A rare label that a
    resample happens to lack has no recall there; counted as 0 it would pull the interval of a row without an
    error far below 100. A label that the whole split lacks counts as 0 in the score, and so everywhere.
    """
    return (gold > 0) | (whole == 0)


def mean_of_held(values: np.ndarray, held: np.ndarray | None) -> np.ndarray:
    """Return the mean over labels (..., labels) of those that are held; None: of all."""
    import numpy as np

    if held is None:
        return values.mean(axis=-1)
    return ratio(np.where(held, values, 0.0).sum(axis=-1), held.sum(axis=-1))


def majority_score(metric: str, gold: Sequence[float], positive: int | None = None) -> float:
    """Return what always predicting the most frequent label scores; `gold` is how often each label occurs."""
    import numpy as np

    counts = np.array(gold, dtype=float)
    always = (np.arange(len(gold)) == counts.argmax()) * counts.sum()
    return float(scores_of_counts(LabelCounts(counts, always, np.minimum(counts, always)), positive)[metric])


def label_scores_of_counts(counts: LabelCounts) -> dict[str, np.ndarray]:
    """Return what `label_scores` returns, for many samples at once: arrays of the shape (..., labels)."""
    return {
        "precision": ratio(counts.hits, counts.predicted),
        "recall": ratio(counts.hits, counts.gold),
        "f1": ratio(2 * counts.hits, counts.gold + counts.predicted),
    }


def ratio(part: np.ndarray, whole: np.ndarray) -> np.ndarray:
    """Return part / whole, and 0 where the whole is 0."""
    import numpy as np

    return np.divide(part, whole, out=np.zeros(np.shape(whole)), where=whole != 0)


def _codes(names: Sequence[str], labels: Sequence[str]) -> list[int]:
    index = {label: number for number, label in enumerate(labels)}
    return [index[name] for name in names]


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
