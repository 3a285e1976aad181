"""One run's outputs on the test split, in the form that resampling needs: scored many times over, quickly.

Almost every metric follows from sums over documents, so that a sample's score needs one product of matrices.
Shapes: S samples, N documents, K labels.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol, Self

import numpy as np

from ulmfit.classifier.metrics import (
    LabelCounts,
    held_labels,
    label_scores_of_counts,
    mean_of_held,
    ratio,
    scores_of_counts,
)
from ulmfit.classifier.multi_label import MultiLabelPredictions
from ulmfit.classifier.predictions import Predictions
from ulmfit.classifier.regression import RegressionPredictions
from ulmfit.classifier.task_predictions import TaskPredictions
from ulmfit.evaluation.rank_metrics import average_precisions, spearman_correlations

Scores = dict[str, np.ndarray]
"""Metric -> one value a sample (S,); `label_precision` and so on have (S, K). NaN: the sample cannot tell."""


class Outcomes(Protocol):
    """What a run says of each document; runs that are compared have the same documents in the same order."""

    @property
    def documents(self) -> int:
        """How many there are."""

    def is_quick(self, metric: str) -> bool:
        """Return whether ten thousand samples with swapped outputs take seconds rather than minutes."""

    def resampled(self, weights: np.ndarray) -> Scores:
        """Score samples of documents: `weights` (S, N) says how often each is drawn."""

    def to_swap(self, metric: str) -> Self:
        """Return the run with its outputs on one scale for all runs, where the metric is blind to scale."""

    def differs(self, other: Any) -> np.ndarray:
        """Return for which documents (N,) the other run says something else."""

    def swapped(self, other: Any, swaps: np.ndarray, metric: str) -> np.ndarray:
        """Score this run by one metric, with the other's outputs where `swaps` (S, N) is true."""


@dataclass(frozen=True, eq=False)
class LabelOutcomes:
    """Texts with one label each: gold and predicted are indices of labels (N,)."""

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

    @property
    def documents(self) -> int:
        """How many there are."""
        return len(self.gold)

    def is_quick(self, metric: str) -> bool:
        """Every metric is."""
        return True

    def resampled(self, weights: np.ndarray) -> Scores:
        """Score samples; sums of weights are exact in float32 below 16 million documents.

        A label that a sample lacks has no score there (NaN), see `metrics.held_labels`.
        """
        gold = self._one_hot(self.gold)
        counts = self._counts(weights @ gold, weights @ self._columns())
        held = held_labels(counts.gold, gold.sum(axis=0))
        by_label = {
            f"label_{name}": np.where(held, values, np.nan)
            for name, values in label_scores_of_counts(counts).items()
        }
        return scores_of_counts(counts, self.positive, held) | by_label

    def to_swap(self, metric: str) -> Self:
        """Outputs are swapped as they are."""
        return self

    def differs(self, other: Self) -> np.ndarray:
        """Return for which documents another label is predicted."""
        return self.predicted != other.predicted

    def swapped(self, other: Self, swaps: np.ndarray, metric: str) -> np.ndarray:
        """Score this run with the other's outputs where `swaps` is true."""
        gold = self._one_hot(self.gold).sum(axis=0)
        sums = swapped_sums(self._columns(), other._columns(), swaps)
        return scores_of_counts(self._counts(gold, sums), self.positive)[metric]

    def _one_hot(self, codes: np.ndarray) -> np.ndarray:
        return np.eye(self.labels, dtype=np.float32)[codes]

    def _columns(self) -> np.ndarray:
        right = (self.gold == self.predicted)[:, None]
        return np.hstack([self._one_hot(self.predicted), self._one_hot(self.gold) * right])

    def _counts(self, gold: np.ndarray, sums: np.ndarray) -> LabelCounts:
        predicted, hits = np.split(sums.astype(np.float64), 2, axis=-1)
        return LabelCounts(np.broadcast_to(gold.astype(np.float64), predicted.shape), predicted, hits)


@dataclass(frozen=True, eq=False)
class MultiLabelOutcomes:
    """Texts with any number of labels: gold and predicted are true or false (N, K), beside probabilities."""

    gold: np.ndarray
    predicted: np.ndarray
    probabilities: np.ndarray

    @property
    def documents(self) -> int:
        """How many there are."""
        return len(self.gold)

    def is_quick(self, metric: str) -> bool:
        """Average precision has to sort every sample."""
        return metric != "average_precision"

    def resampled(self, weights: np.ndarray) -> Scores:
        """Score samples; a label that a sample lacks is left out of its macro averages."""
        gold = weights @ self.gold.astype(np.float64)
        held = held_labels(gold, self.gold.sum(axis=0))
        scores = self._scores(gold, weights @ self._columns(), held)
        precisions = [
            average_precisions(*pair, weights) for pair in zip(self.gold.T, self.probabilities.T, strict=True)
        ]
        return scores | {"average_precision": mean_of_held(np.stack(precisions, axis=-1), held)}

    def to_swap(self, metric: str) -> Self:
        """Outputs are swapped as they are."""
        return self

    def differs(self, other: Self) -> np.ndarray:
        """Return for which documents labels or probabilities are others."""
        changed = (self.predicted != other.predicted) | (self.probabilities != other.probabilities)
        return changed.any(axis=1)

    def swapped(self, other: Self, swaps: np.ndarray, metric: str) -> np.ndarray:
        """Score this run with the other's outputs where `swaps` is true."""
        if metric != "average_precision":
            sums = swapped_sums(self._columns(), other._columns(), swaps)
            return self._scores(self.gold.sum(axis=0), sums)[metric]
        once = np.ones((1, self.documents))
        scores = np.empty(len(swaps))
        for place, row in enumerate(swaps):
            mixed = np.where(row[:, None], other.probabilities, self.probabilities)
            pairs = zip(self.gold.T, mixed.T, strict=True)
            scores[place] = np.mean([average_precisions(*pair, once)[0] for pair in pairs])
        return scores

    def _columns(self) -> np.ndarray:
        """Return what the metrics sum over documents: counts of labels, and scores of single documents."""
        hits = self.gold & self.predicted
        marked = self.gold.sum(axis=1) + self.predicted.sum(axis=1)
        f1 = np.where(marked == 0, 1.0, ratio(2.0 * hits.sum(axis=1), marked))
        wrong = (self.gold != self.predicted).mean(axis=1)
        ones = np.ones(self.documents)
        return np.column_stack([self.predicted, hits, f1, wrong == 0, wrong, ones]).astype(np.float64)

    def _scores(self, gold: np.ndarray, sums: np.ndarray, held: np.ndarray | None = None) -> Scores:
        labels = self.gold.shape[1]
        predicted, hits = sums[..., :labels], sums[..., labels : 2 * labels]
        f1, exact, wrong, total = np.moveaxis(sums[..., 2 * labels :], -1, 0)
        pooled = ratio(2 * hits.sum(axis=-1), gold.sum(axis=-1) + predicted.sum(axis=-1))
        return {
            "macro_f1": mean_of_held(ratio(2 * hits, gold + predicted), held),
            "micro_f1": pooled,
            "samples_f1": f1 / total,
            "subset_accuracy": exact / total,
            "hamming_loss": wrong / total,
        }


@dataclass(frozen=True, eq=False)
class NumberOutcomes:
    """Texts with one number each: gold and predicted (N,)."""

    gold: np.ndarray
    predicted: np.ndarray

    @property
    def documents(self) -> int:
        """How many there are."""
        return len(self.gold)

    def is_quick(self, metric: str) -> bool:
        """Spearman's correlation has to sort every sample."""
        return metric != "spearman"

    def resampled(self, weights: np.ndarray) -> Scores:
        """Score samples; a correlation in a sample of equal numbers is 0."""
        scores = self._scores(weights @ self._columns())
        return scores | {"spearman": spearman_correlations(self.gold, self.predicted, weights)}

    def to_swap(self, metric: str) -> Self:
        """Return the predictions as ranks for Spearman's, standardised for Pearson's correlation.

        A correlation is blind to scale and, mixed of two scales, is mostly one of which came from where.
        Standardised is to the gold numbers' mean and deviation, so that sums lose no digits.
        """
        if metric == "spearman":
            from scipy.stats import rankdata

            return replace(self, predicted=rankdata(self.predicted))
        if metric != "pearson":
            return self
        centred = self.predicted - self.predicted.mean()
        deviation = centred.std() if np.ptp(self.predicted) > 0 else np.inf
        return replace(self, predicted=self.gold.mean() + self.gold.std() * centred / deviation)

    def differs(self, other: Self) -> np.ndarray:
        """Return for which documents the numbers are others."""
        return self.predicted != other.predicted

    def swapped(self, other: Self, swaps: np.ndarray, metric: str) -> np.ndarray:
        """Score this run with the other's outputs where `swaps` is true."""
        if metric != "spearman":
            return self._scores(swapped_sums(self._columns(), other._columns(), swaps))[metric]
        once = np.ones((1, self.documents))
        mixed = (np.where(row, other.predicted, self.predicted) for row in swaps)
        return np.array([spearman_correlations(self.gold, some, once)[0] for some in mixed])

    def _columns(self) -> np.ndarray:
        """Return moments of gold and predicted numbers, both less the mean gold number, and errors."""
        gold, predicted = self.gold - self.gold.mean(), self.predicted - self.gold.mean()
        error = predicted - gold
        ones = np.ones(self.documents)
        moments = [gold, predicted, gold**2, predicted**2, gold * predicted]
        return np.column_stack([*moments, np.abs(error), error**2, ones])

    def _scores(self, sums: np.ndarray) -> Scores:
        *others, total = np.moveaxis(sums, -1, 0)
        gold, predicted, gold_square, predicted_square, product, absolute, square = (
            part / total for part in others
        )
        gold_variance = _variance(gold_square, gold)
        spread = np.sqrt(gold_variance * _variance(predicted_square, predicted))
        return {
            "mae": absolute,
            "rmse": np.sqrt(square),
            "r2": np.where(gold_variance > 0, 1 - ratio(square, gold_variance), 0.0),
            "pearson": np.clip(ratio(product - gold * predicted, spread), -1, 1),
        }


def _variance(mean_square: np.ndarray, mean: np.ndarray) -> np.ndarray:
    """Return the variance, and 0 for what is only rounding."""
    variance = mean_square - mean**2
    return np.where(variance > 1e-12 * mean_square, variance, 0.0)


def swapped_sums(own: np.ndarray, other: np.ndarray, swaps: np.ndarray) -> np.ndarray:
    """Sum columns (N, C) over documents, with the other's where `swaps` (S, N) is true: (S, C)."""
    change = other - own
    some = np.flatnonzero(change.any(axis=1))
    return own.sum(axis=0) + swaps[:, some].astype(own.dtype) @ change[some]


def outcomes_of(predictions: TaskPredictions, positive_label: str | None = None) -> Outcomes:
    """Return the outcomes of a run of any task; `positive_label` is for single-label tasks."""
    if isinstance(predictions, Predictions):
        return LabelOutcomes.of(predictions.gold, predictions.predicted, predictions.labels, positive_label)
    if isinstance(predictions, MultiLabelPredictions):
        return MultiLabelOutcomes(
            predictions.gold_indicators, predictions.predicted_indicators, predictions.probabilities
        )
    assert isinstance(predictions, RegressionPredictions)
    return NumberOutcomes(np.array(predictions.gold), np.array(predictions.predicted))
