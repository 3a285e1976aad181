"""The table of metrics: name, title, bounds and formula of everything that predictions are scored by.

A new metric is one entry in `METRICS`. Scores, bootstrap intervals, permutation tests, epochs chosen by it,
titles and columns of tables follow from the entry; scikit-learn is the reference in the tests.

A formula scores many samples of documents at once. Shapes: S samples, N documents, K labels.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ulmfit.datasets.task import Task

if TYPE_CHECKING:
    import numpy as np


@dataclass(frozen=True, eq=False)
class LabelSums:
    """Sums over the documents of each sample, in tasks with labels; floats.

    `gold`, `predicted` and `hits` (S, K) are how often each label is gold, is predicted, and is both.
    """

    gold: np.ndarray
    predicted: np.ndarray
    hits: np.ndarray
    documents: np.ndarray
    """The size of each sample (S,)."""
    whole: np.ndarray
    """How often each label is gold in the whole split (K,)."""
    positive: int | None = None
    """Place of the positive label; None if there is none."""

    @property
    def held(self) -> np.ndarray:
        """Which labels (S, K) count in means over labels: those in the sample, and those in no sample at all.

        A resample may lack a rare label, whose recall is then undefined. As 0 it would pull the interval of a
        perfect row far below 100, so it is left out. A label that the whole split lacks counts as 0.
        """
        return (self.gold > 0) | (self.whole == 0)

    @property
    def precision(self) -> np.ndarray:
        """Precision of each label (S, K); 0 where it is never predicted."""
        return ratio(self.hits, self.predicted)

    @property
    def recall(self) -> np.ndarray:
        """Recall of each label (S, K); 0 where it never occurs."""
        return ratio(self.hits, self.gold)

    @property
    def f1(self) -> np.ndarray:
        """F1 of each label (S, K); 0 where it neither occurs nor is predicted."""
        return ratio(2 * self.hits, self.gold + self.predicted)

    def macro(self, values: np.ndarray) -> np.ndarray:
        """Return the mean (S,) of values (S, K) over the labels that count."""
        import numpy as np

        return ratio(np.where(self.held, values, 0.0).sum(axis=-1), self.held.sum(axis=-1))

    def of_positive(self, values: np.ndarray) -> np.ndarray:
        """Return the positive label's value (S,) of values (S, K); NaN in samples without it."""
        import numpy as np

        return np.where(self.held[..., self.positive], values[..., self.positive], np.nan)


@dataclass(frozen=True, eq=False, kw_only=True)
class MultiLabelSums(LabelSums):
    """Sums of multi-label tasks: also scores of single documents, summed (S,)."""

    document_f1: np.ndarray
    """F1 of a document's labels; 1 where it has none and none is predicted."""
    exact: np.ndarray
    """Documents with exactly the right labels."""
    wrong: np.ndarray
    """Share of a document's labels that are wrong."""
    ranked: Callable[[], np.ndarray]
    """Computes the average precision of each label (S, K), which has to sort the documents."""


@dataclass(frozen=True, eq=False)
class NumberSums:
    """Means over the documents of each sample (S,), in regression tasks; numbers may be shifted."""

    gold: np.ndarray
    predicted: np.ndarray
    gold_square: np.ndarray
    predicted_square: np.ndarray
    product: np.ndarray
    absolute_error: np.ndarray
    square_error: np.ndarray
    ranked: Callable[[], np.ndarray]
    """Computes Spearman's correlation (S,), which has to sort the documents."""

    @property
    def gold_variance(self) -> np.ndarray:
        """Variance of the gold numbers (S,)."""
        return _variance(self.gold_square, self.gold)

    @property
    def predicted_variance(self) -> np.ndarray:
        """Variance of the predicted numbers (S,)."""
        return _variance(self.predicted_square, self.predicted)


@dataclass(frozen=True)
class Metric:
    """One entry of the table. A metric of two tasks has an entry for each."""

    name: str
    title: str
    task: Task
    formula: Callable[[Any], np.ndarray]
    """Maps the task's sums to scores (S,): `LabelSums`, `MultiLabelSums` or `NumberSums`."""
    plain: bool = False
    """True: shown as it is; false: in percent."""
    bounds: tuple[float, float] = (0.0, 1.0)
    """The lowest and the highest possible value."""
    ranks: bool = True
    """Whether data sets can be ranked, and epochs chosen, by it: more is better and 1 is best."""
    column: bool = False
    """Whether it also has a column where another metric is the main one; if not, only the record has it."""
    beside: tuple[str, ...] = ()
    """Metrics that have a column beside it where it is the main one."""
    same_as: str = ""
    """A metric of the same value, which has no column beside it; empty: none."""
    of_positive_label: bool = False
    """Whether it needs a positive label, which it is about."""
    sorts: bool = False
    """Whether it has to sort each sample; permutation tests then draw fewer."""
    scale_free: bool = False
    """Whether it does not depend on the predictions' scale; permutation tests then bring runs to one
    scale."""


def _kappa(sums: LabelSums) -> np.ndarray:
    right, total = sums.hits.sum(axis=-1) * sums.documents, sums.documents**2
    by_chance = (sums.gold * sums.predicted).sum(axis=-1)
    return ratio(right - by_chance, total - by_chance)


def _mcc(sums: LabelSums) -> np.ndarray:
    right, total = sums.hits.sum(axis=-1) * sums.documents, sums.documents**2
    by_chance = (sums.gold * sums.predicted).sum(axis=-1)
    room = (total - (sums.predicted**2).sum(axis=-1)) * (total - (sums.gold**2).sum(axis=-1))
    return ratio(right - by_chance, room**0.5)


def _germeval(sums: LabelSums) -> np.ndarray:
    """Harmonic mean of macro precision and macro recall: the "average F" of GermEval 2018."""
    precision, recall = sums.macro(sums.precision), sums.macro(sums.recall)
    return ratio(2 * precision * recall, precision + recall)


def _micro_f1(sums: LabelSums) -> np.ndarray:
    return ratio(2 * sums.hits.sum(axis=-1), sums.gold.sum(axis=-1) + sums.predicted.sum(axis=-1))


def _pearson(sums: NumberSums) -> np.ndarray:
    import numpy as np

    spread = np.sqrt(sums.gold_variance * sums.predicted_variance)
    return np.clip(ratio(sums.product - sums.gold * sums.predicted, spread), -1, 1)


def _r2(sums: NumberSums) -> np.ndarray:
    import numpy as np

    return np.where(sums.gold_variance > 0, 1 - ratio(sums.square_error, sums.gold_variance), 0.0)


_SIGNED = (-1.0, 1.0)
_ERROR: dict[str, Any] = {"plain": True, "bounds": (0.0, math.inf), "ranks": False, "column": True}

METRICS: tuple[Metric, ...] = (
    Metric("accuracy", "accuracy", "single_label", lambda s: s.hits.sum(axis=-1) / s.documents, column=True),
    Metric("macro_f1", "macro F1", "single_label", lambda s: s.macro(s.f1), column=True),
    Metric("micro_f1", "micro F1", "single_label", _micro_f1, same_as="accuracy"),
    Metric("macro_precision", "macro precision", "single_label", lambda s: s.macro(s.precision), ranks=False),
    # Equal to balanced accuracy where every label occurs in gold; balanced accuracy leaves the others out.
    Metric("macro_recall", "macro recall", "single_label", lambda s: s.macro(s.recall), ranks=False),
    Metric(
        "weighted_f1", "weighted F1", "single_label", lambda s: (s.f1 * s.gold).sum(axis=-1) / s.documents
    ),
    Metric(
        "germeval_f",
        "GermEval average F",
        "single_label",
        _germeval,
        beside=("macro_precision", "macro_recall"),
    ),
    # These two are 0 where they would be 0 / 0.
    Metric("kappa", "Cohen's kappa", "single_label", _kappa, bounds=_SIGNED),
    Metric("mcc", "MCC", "single_label", _mcc, bounds=_SIGNED),
    # PolEval 2019, task 6-1, ranks by the first of these; task 6-2 by micro and macro F1.
    Metric(
        "binary_f1",
        "F1",
        "single_label",
        lambda s: s.of_positive(s.f1),
        column=True,
        of_positive_label=True,
    ),
    Metric(
        "binary_precision",
        "precision",
        "single_label",
        lambda s: s.of_positive(s.precision),
        ranks=False,
        column=True,
        of_positive_label=True,
    ),
    Metric(
        "binary_recall",
        "recall",
        "single_label",
        lambda s: s.of_positive(s.recall),
        ranks=False,
        column=True,
        of_positive_label=True,
    ),
    Metric("macro_f1", "macro F1", "multi_label", lambda s: s.macro(s.f1), column=True),
    Metric("micro_f1", "micro F1", "multi_label", _micro_f1, column=True),
    Metric("samples_f1", "samples F1", "multi_label", lambda s: s.document_f1 / s.documents, column=True),
    Metric("subset_accuracy", "subset accuracy", "multi_label", lambda s: s.exact / s.documents, column=True),
    Metric("hamming_loss", "Hamming loss", "multi_label", lambda s: s.wrong / s.documents, ranks=False),
    # Does not depend on the thresholds.
    Metric(
        "average_precision", "average precision", "multi_label", lambda s: s.macro(s.ranked()), sorts=True
    ),
    # A correlation with predictions that are all the same is 0.
    Metric(
        "pearson",
        "Pearson r",
        "regression",
        _pearson,
        plain=True,
        bounds=_SIGNED,
        column=True,
        scale_free=True,
    ),
    Metric(
        "spearman",
        "Spearman rho",
        "regression",
        lambda s: s.ranked(),
        plain=True,
        bounds=_SIGNED,
        column=True,
        sorts=True,
        scale_free=True,
    ),
    Metric("r2", "R²", "regression", _r2, plain=True, bounds=(-math.inf, 1.0)),
    Metric("mae", "mean absolute error", "regression", lambda s: s.absolute_error, **_ERROR),
    Metric(
        "rmse",
        "root mean squared error",
        "regression",
        lambda s: s.square_error**0.5,
        **_ERROR,
    ),
)


def metrics_of(task: Task, *, positive_label: bool = True) -> list[Metric]:
    """Return the metrics of a task, in the table's order; without a positive label, those that need none."""
    return [one for one in METRICS if one.task == task and (positive_label or not one.of_positive_label)]


def metric_of(task: Task, name: str) -> Metric:
    """Return the entry of a task's metric; KeyError if the task has none of this name."""
    return {one.name: one for one in metrics_of(task)}[name]


def ranking_metrics(task: Task, *, positive_label: bool = True) -> tuple[str, ...]:
    """Return the names of the metrics that a task's data sets can be ranked by; the first is the default."""
    return tuple(one.name for one in metrics_of(task, positive_label=positive_label) if one.ranks)


def columns_with(task: Task, main: str) -> list[str]:
    """Return the metrics that have a column in a table with the main metric `main`, which is the first."""
    entry = metric_of(task, main)
    others = [*(one.name for one in metrics_of(task) if one.column), *entry.beside]
    return [main, *(name for name in others if name not in (main, entry.same_as))]


def ratio(part: np.ndarray, whole: np.ndarray) -> np.ndarray:
    """Return part / whole, and 0 where the whole is 0."""
    import numpy as np

    return np.divide(part, whole, out=np.zeros(np.shape(whole)), where=whole != 0)


def _variance(mean_square: np.ndarray, mean: np.ndarray) -> np.ndarray:
    """Return the variance; 0 where it is no more than rounding error."""
    import numpy as np

    variance = mean_square - mean**2
    return np.where(variance > 1e-12 * mean_square, variance, 0.0)
