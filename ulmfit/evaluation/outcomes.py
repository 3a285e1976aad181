"""One run's outputs on the test split, in the form that resampling needs: scored many times over, quickly."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Protocol, Self

import numpy as np

from ulmfit.evaluation.metrics import LabelCounts, label_scores_of_counts, scores_of_counts

Scores = dict[str, np.ndarray]
"""Metric -> one value a sample, shape (samples,); `label_precision` and so on have (samples, labels)."""

ScoreArrays = Callable[[np.ndarray, np.ndarray], Mapping[str, float]]
"""Scores arrays of gold values and outputs, both with one entry a document."""


class Outcomes(Protocol):
    """What a run says of each document; runs that are compared have the same documents in the same order."""

    quick: ClassVar[bool]
    """Whether ten thousand samples take seconds rather than minutes."""

    @property
    def documents(self) -> int:
        """How many there are."""

    def resampled(self, weights: np.ndarray) -> Scores:
        """Score samples of documents: `weights` (samples, documents) says how often each is drawn."""

    def differs(self, other: Any) -> np.ndarray:
        """Return for which documents the other run says something else, shape (documents,)."""

    def swapped(self, other: Any, swaps: np.ndarray) -> Scores:
        """Score this run with the other's outputs where `swaps` (samples, documents) is true."""


@dataclass(frozen=True, eq=False)
class LabelOutcomes:
    """Texts with one label each: gold and predicted are indices of labels, shape (documents,)."""

    quick: ClassVar[bool] = True

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

    def resampled(self, weights: np.ndarray) -> Scores:
        """Score samples; sums of weights are exact in float32 below 16 million documents."""
        gold = weights @ self._one_hot(self.gold)
        counts = weights @ np.hstack([self._one_hot(self.predicted), self._hits()])
        return self._scores(gold, counts)

    def differs(self, other: Self) -> np.ndarray:
        """Return for which documents another label is predicted."""
        return self.predicted != other.predicted

    def swapped(self, other: Self, swaps: np.ndarray) -> Scores:
        """Score this run with the other's outputs where `swaps` is true."""
        own = np.hstack([self._one_hot(self.predicted), self._hits()])
        change = np.hstack([other._one_hot(other.predicted), other._hits()]) - own
        some = np.flatnonzero(self.differs(other))
        gold = self._one_hot(self.gold).sum(axis=0, keepdims=True)
        return self._scores(gold, own.sum(axis=0) + swaps[:, some].astype(np.float32) @ change[some])

    def _one_hot(self, codes: np.ndarray) -> np.ndarray:
        return np.eye(self.labels, dtype=np.float32)[codes]

    def _hits(self) -> np.ndarray:
        return self._one_hot(self.gold) * (self.gold == self.predicted)[:, None].astype(np.float32)

    def _scores(self, gold: np.ndarray, others: np.ndarray) -> Scores:
        predicted, hits = np.split(others.astype(np.float64), 2, axis=-1)
        counts = LabelCounts(np.broadcast_to(gold.astype(np.float64), predicted.shape), predicted, hits)
        by_label = {f"label_{name}": values for name, values in label_scores_of_counts(counts).items()}
        return scores_of_counts(counts, self.positive) | by_label


@dataclass(frozen=True, eq=False)
class ArrayOutcomes:
    """Anything else: arrays with one entry a document, and a function that scores them."""

    quick: ClassVar[bool] = False

    gold: np.ndarray
    outputs: np.ndarray
    score: ScoreArrays

    @property
    def documents(self) -> int:
        """How many there are."""
        return len(self.gold)

    def resampled(self, weights: np.ndarray) -> Scores:
        """Score samples, one after the other."""
        drawn = (np.repeat(np.arange(self.documents), row.astype(np.intp)) for row in weights)
        return _stacked([self.score(self.gold[rows], self.outputs[rows]) for rows in drawn])

    def differs(self, other: Self) -> np.ndarray:
        """Return for which documents the outputs are others."""
        return (self.outputs != other.outputs).reshape(self.documents, -1).any(axis=1)

    def swapped(self, other: Self, swaps: np.ndarray) -> Scores:
        """Score this run with the other's outputs where `swaps` is true, one sample after the other."""
        shape = (self.documents,) + (1,) * (self.outputs.ndim - 1)
        mixed = (np.where(row.reshape(shape), other.outputs, self.outputs) for row in swaps)
        return _stacked([self.score(self.gold, outputs) for outputs in mixed])


def _stacked(scores: Sequence[Mapping[str, float]]) -> Scores:
    return {name: np.array([one[name] for one in scores]) for name in scores[0]}
