"""One run's outputs on a split as arrays: scored as they are, resampled, or swapped with another run's.

Most metrics follow from sums over documents, so that a sample's scores need one product of matrices. The
formulas stand in `datasets/metric_table.py`. Shapes: S samples, N documents, C columns, K labels.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Self

import numpy as np

from ulmfit.datasets.metric_table import (
    LabelSums,
    Metric,
    MultiLabelSums,
    NumberSums,
    metric_of,
    metrics_of,
    ratio,
)
from ulmfit.datasets.task import Task
from ulmfit.pipeline.errors import InputError

Scores = dict[str, np.ndarray]
"""Metric -> value of each sample (S,); `label_precision` and so on have (S, K). NaN: undefined for this
sample."""


class Outcomes(ABC):
    """A run's outputs for each document; runs that are compared have the same documents in the same order."""

    task: ClassVar[Task]
    positive: int | None = None
    """Place of the positive label; None if there is none."""
    gold: np.ndarray
    predicted: np.ndarray

    @abstractmethod
    def columns(self) -> np.ndarray:
        """Return what the metrics sum over documents (N, C)."""

    def columns_to_swap(self) -> np.ndarray:
        """Return columns (N, C) that may be mixed with another run's."""
        return self.columns()

    @abstractmethod
    def sums(self, totals: np.ndarray, weights: np.ndarray | None) -> Any:
        """Name the sums of the columns (S, C); `weights` (S, N) are for metrics that sort."""

    @abstractmethod
    def mixed(self, other: Any, swapped: np.ndarray) -> Self:
        """Return this run with the other's outputs where `swapped` (N,) is true."""

    @abstractmethod
    def differs(self, other: Any) -> np.ndarray:
        """Return for which documents (N,) the other run has another output."""

    def check(self) -> None:
        """Raise InputError if there is nothing to score."""
        if not self.documents:
            raise InputError("metrics: there are no rows to score; expected at least one")

    def to_swap(self, name: str) -> Self:
        """Return the run with outputs on one scale for all runs, if the metric does not depend on it."""
        return self

    @property
    def documents(self) -> int:
        """The number of documents."""
        return len(self.gold)

    @property
    def metrics(self) -> list[Metric]:
        """All metrics of the run."""
        return metrics_of(self.task, positive_label=self.positive is not None)

    def is_quick(self, name: str) -> bool:
        """Return whether ten thousand samples with swapped outputs take seconds rather than minutes."""
        return not metric_of(self.task, name).sorts

    def scores(self) -> dict[str, float]:
        """Return every metric of the documents as they are; InputError if there is nothing to score."""
        self.check()
        sums = self._of_all()
        return {metric.name: float(metric.formula(sums)[0]) for metric in self.metrics}

    def score(self, name: str) -> float:
        """Return one metric of the documents as they are; InputError if there is nothing to score."""
        self.check()
        return float(metric_of(self.task, name).formula(self._of_all())[0])

    def resampled(self, weights: np.ndarray) -> Scores:
        """Score samples of documents: `weights` (S, N) says how often each is drawn.

        A label that a sample lacks is left out of its macro averages, see `LabelSums.held`.
        """
        sums = self.sums(weights @ self.columns(), weights)
        return {metric.name: metric.formula(sums) for metric in self.metrics}

    def swapped(self, other: Any, swaps: np.ndarray, name: str) -> np.ndarray:
        """Score this run by one metric (S,), with the other's outputs where `swaps` (S, N) is true."""
        metric = metric_of(self.task, name)
        if metric.sorts:
            return np.array([metric.formula(self.mixed(other, row)._of_all())[0] for row in swaps])
        totals = swapped_sums(self.columns_to_swap(), other.columns_to_swap(), swaps)
        return metric.formula(self.sums(totals, None))

    def _of_all(self) -> Any:
        once = np.ones((1, self.documents), dtype=np.float32)
        return self.sums(once @ self.columns(), once)


@dataclass(frozen=True, eq=False)
class LabelOutcomes(Outcomes):
    """Texts with one label each: gold and predicted are places of labels (N,)."""

    task = "single_label"

    gold: np.ndarray
    predicted: np.ndarray
    labels: int
    positive: int | None = None

    @classmethod
    def of(
        cls,
        gold: Sequence[str],
        predicted: Sequence[str],
        labels: Sequence[str],
        positive_label: str | None = None,
    ) -> Self:
        """Take names of labels; `labels` gives their order."""
        index = {label: number for number, label in enumerate(labels)}
        return cls(
            np.array([index[name] for name in gold], dtype=np.intp),
            np.array([index[name] for name in predicted], dtype=np.intp),
            len(labels),
            None if positive_label is None else index[positive_label],
        )

    def columns(self) -> np.ndarray:
        """Return the gold, the predicted and the rightly predicted label as 0 and 1 (N, 3 K).

        In float32, whose sums are exact below 16 million documents.
        """
        gold, right = self._one_hot(self.gold), (self.gold == self.predicted)[:, None]
        return np.hstack([gold, self._one_hot(self.predicted), gold * right])

    def sums(self, totals: np.ndarray, weights: np.ndarray | None) -> LabelSums:
        """Name the sums of the columns."""
        gold, predicted, hits = np.split(totals.astype(np.float64), 3, axis=-1)
        whole = np.bincount(self.gold, minlength=self.labels)
        return LabelSums(gold, predicted, hits, gold.sum(axis=-1), whole, self.positive)

    def mixed(self, other: Self, swapped: np.ndarray) -> Self:
        """Return this run with the other's outputs where `swapped` is true."""
        return replace(self, predicted=np.where(swapped, other.predicted, self.predicted))

    def differs(self, other: Self) -> np.ndarray:
        """Return for which documents another label is predicted."""
        return self.predicted != other.predicted

    def resampled(self, weights: np.ndarray) -> Scores:
        """Score samples, their single labels too; NaN for a label that a sample lacks."""
        sums = self.sums(weights @ self.columns(), weights)
        by_label = {
            f"label_{name}": np.where(sums.held, values, np.nan) for name, values in _by_label(sums).items()
        }
        return {metric.name: metric.formula(sums) for metric in self.metrics} | by_label

    def label_scores(self) -> list[dict[str, float]]:
        """Return precision, recall and f1 of each label; 0 where it is never predicted or never occurs."""
        found = _by_label(self._of_all())
        return [{name: float(values[0, k]) for name, values in found.items()} for k in range(self.labels)]

    def confusion(self) -> tuple[tuple[int, ...], ...]:
        """Return counts (K, K): one row per gold label, one column per predicted label."""
        cells = np.bincount(self.gold * self.labels + self.predicted, minlength=self.labels**2)
        return tuple(tuple(row) for row in cells.reshape(self.labels, self.labels).tolist())

    def _one_hot(self, codes: np.ndarray) -> np.ndarray:
        return np.eye(self.labels, dtype=np.float32)[codes]


def _by_label(sums: LabelSums) -> dict[str, np.ndarray]:
    return {"precision": sums.precision, "recall": sums.recall, "f1": sums.f1}


@dataclass(frozen=True, eq=False)
class MultiLabelOutcomes(Outcomes):
    """Texts with any number of labels: gold and predicted are true or false (N, K), beside probabilities."""

    task = "multi_label"

    gold: np.ndarray
    predicted: np.ndarray
    probabilities: np.ndarray

    def columns(self) -> np.ndarray:
        """Return counts of labels, and scores of single documents."""
        hits = self.gold & self.predicted
        marked = self.gold.sum(axis=1) + self.predicted.sum(axis=1)
        f1 = np.where(marked == 0, 1.0, ratio(2.0 * hits.sum(axis=1), marked))
        wrong = (self.gold != self.predicted).mean(axis=1)
        ones = np.ones(self.documents)
        return np.column_stack([self.gold, self.predicted, hits, f1, wrong == 0, wrong, ones]).astype(float)

    def sums(self, totals: np.ndarray, weights: np.ndarray | None) -> MultiLabelSums:
        """Name the sums of the columns."""
        labels = self.gold.shape[1]
        gold, predicted, hits = np.split(totals[..., : 3 * labels], 3, axis=-1)
        f1, exact, wrong, documents = np.moveaxis(totals[..., 3 * labels :], -1, 0)
        return MultiLabelSums(
            gold=gold,
            predicted=predicted,
            hits=hits,
            documents=documents,
            whole=self.gold.sum(axis=0),
            document_f1=f1,
            exact=exact,
            wrong=wrong,
            ranked=_ranked(weights, self._average_precisions),
        )

    def mixed(self, other: Self, swapped: np.ndarray) -> Self:
        """Return this run with the other's outputs where `swapped` is true."""
        return replace(
            self,
            predicted=np.where(swapped[:, None], other.predicted, self.predicted),
            probabilities=np.where(swapped[:, None], other.probabilities, self.probabilities),
        )

    def differs(self, other: Self) -> np.ndarray:
        """Return for which documents labels or probabilities are others."""
        changed = (self.predicted != other.predicted) | (self.probabilities != other.probabilities)
        return changed.any(axis=1)

    def _average_precisions(self, weights: np.ndarray) -> np.ndarray:
        pairs = zip(self.gold.T, self.probabilities.T, strict=True)
        return np.stack([average_precisions(*pair, weights) for pair in pairs], axis=-1)


@dataclass(frozen=True, eq=False)
class NumberOutcomes(Outcomes):
    """Texts with one number each: gold and predicted (N,)."""

    task = "regression"

    gold: np.ndarray
    predicted: np.ndarray

    def check(self) -> None:
        """Raise InputError for gold numbers that are all the same, for which only errors are defined."""
        if (different := len(set(self.gold.tolist()))) < 2:
            raise InputError(
                f"metrics: {self.documents} rows with {different} different gold numbers; expected at least "
                "two, without which no correlation is defined"
            )

    def columns(self) -> np.ndarray:
        """Return moments of gold and predicted numbers, each less its mean, and errors."""
        return self._columns(self.predicted.mean())

    def columns_to_swap(self) -> np.ndarray:
        """Return the same, the predicted numbers less the mean gold number, which all runs share."""
        return self._columns(self.gold.mean())

    def sums(self, totals: np.ndarray, weights: np.ndarray | None) -> NumberSums:
        """Turn the sums of the columns into means."""
        *parts, documents = np.moveaxis(totals, -1, 0)
        gold, predicted, gold_square, predicted_square, product, absolute, square = (
            part / documents for part in parts
        )
        ranked = _ranked(weights, self._rank_correlations)
        return NumberSums(gold, predicted, gold_square, predicted_square, product, absolute, square, ranked)

    def mixed(self, other: Self, swapped: np.ndarray) -> Self:
        """Return this run with the other's outputs where `swapped` is true."""
        return replace(self, predicted=np.where(swapped, other.predicted, self.predicted))

    def differs(self, other: Self) -> np.ndarray:
        """Return for which documents the numbers are others."""
        return self.predicted != other.predicted

    def to_swap(self, name: str) -> Self:
        """Return the predictions as ranks for metrics that sort, standardised for others.

        A correlation does not depend on scale; of outputs in two scales it would mostly tell which run each
        came from. Standardised means: to the mean and deviation of the gold numbers, so that sums lose no
        digits.
        """
        metric = metric_of(self.task, name)
        if not metric.scale_free:
            return self
        if metric.sorts:
            from scipy.stats import rankdata

            return replace(self, predicted=rankdata(self.predicted))
        centred = self.predicted - self.predicted.mean()
        deviation = centred.std() if np.ptp(self.predicted) > 0 else np.inf
        return replace(self, predicted=self.gold.mean() + self.gold.std() * centred / deviation)

    def _columns(self, centre: float) -> np.ndarray:
        gold, predicted = self.gold - self.gold.mean(), self.predicted - centre
        error = self.predicted - self.gold
        moments = [gold, predicted, gold**2, predicted**2, gold * predicted]
        return np.column_stack([*moments, np.abs(error), error**2, np.ones(self.documents)])

    def _rank_correlations(self, weights: np.ndarray) -> np.ndarray:
        return spearman_correlations(self.gold, self.predicted, weights)


def _ranked(
    weights: np.ndarray | None, compute: Callable[[np.ndarray], np.ndarray]
) -> Callable[[], np.ndarray]:
    def ranked() -> np.ndarray:
        assert weights is not None, "a metric whose formula calls `ranked` is marked `sorts=True`"
        return compute(weights)

    return ranked


def swapped_sums(own: np.ndarray, other: np.ndarray, swaps: np.ndarray) -> np.ndarray:
    """Sum columns (N, C) over documents, with the other's where `swaps` (S, N) is true: (S, C)."""
    change = other - own
    some = np.flatnonzero(change.any(axis=1))
    return own.sum(axis=0) + swaps[:, some].astype(own.dtype) @ change[some]


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
