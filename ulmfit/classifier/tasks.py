"""What differs between the kinds of task in training and prediction: targets, loss, outputs, predictions.

Shapes: N texts, B texts of a batch, K labels.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol, Self

import numpy
from torch import Tensor

from ulmfit.classifier.losses import (
    BinaryCrossEntropy,
    CrossEntropy,
    SquaredError,
    class_weights,
    effective_smoothing,
    positive_weights,
)
from ulmfit.classifier.multi_label import indicators, tune_thresholds
from ulmfit.classifier.predictions import (
    MultiLabelPredictions,
    Predictions,
    RegressionPredictions,
    SingleLabelPredictions,
)
from ulmfit.classifier.settings import ClassifierSettings
from ulmfit.datasets.task import Task, task_of

Loss = Callable[[Tensor, Tensor], Tensor]


class TaskKind(Protocol):
    """A kind of task, of one data set."""

    @property
    def outputs(self) -> int:
        """Outputs of the model for a text."""

    def targets(self, column: Sequence[Any]) -> numpy.ndarray:
        """Return the targets of the loss, (N,) or (N, K), from a label column."""

    def loss(self, train_targets: numpy.ndarray, settings: ClassifierSettings) -> Loss:
        """Return the loss of outputs (B, `outputs`) and targets; its weights come from `train_targets`."""

    def activation(self, outputs: Tensor) -> Tensor:
        """Map the model's outputs (B, `outputs`) to probabilities, or to numbers in the labels' units."""

    def tune(self, column: Sequence[Any], values: numpy.ndarray) -> None:
        """Tune on validation (thresholds, if any), from its label column and the activated outputs."""

    def predictions(self, ids: Sequence[str], column: Sequence[Any], values: numpy.ndarray) -> Predictions:
        """Return the predictions of the texts `ids` from their activated outputs (N, `outputs`)."""

    def description(self) -> dict[str, Any]:
        """Return what `model.json` has beside the labels, as far as prediction needs it."""


def task_kind(description: Mapping[str, Any], train_column: Sequence[Any]) -> TaskKind:
    """Return the kind of task of a `dataset.json`; `train_column` are the labels of the training texts."""
    return TASK_KINDS[task_of(description)](description["labels"], train_column)


class SingleLabel:
    """One of K labels per text."""

    def __init__(self, labels: Sequence[str]) -> None:
        self.labels = list(labels)
        self.outputs = len(self.labels)

    def targets(self, column: Sequence[str]) -> numpy.ndarray:
        """Return the indices of the labels (N,)."""
        numbers = {label: number for number, label in enumerate(self.labels)}
        return numpy.array([numbers[label] for label in column], dtype=numpy.int64)

    def loss(self, train_targets: numpy.ndarray, settings: ClassifierSettings) -> Loss:
        """Return the cross-entropy that the settings describe."""
        return CrossEntropy(
            class_weights(train_targets, self.labels, settings),
            effective_smoothing(settings, self.outputs),
            settings.focal_gamma,
        )

    def activation(self, outputs: Tensor) -> Tensor:
        """Return probabilities (B, K) that sum to 1."""
        return outputs.softmax(1)

    def tune(self, column: Sequence[str], values: numpy.ndarray) -> None:
        """Tune nothing: the most probable label is predicted."""

    def predictions(
        self, ids: Sequence[str], column: Sequence[str], values: numpy.ndarray
    ) -> SingleLabelPredictions:
        """Predict the most probable label."""
        return SingleLabelPredictions.from_probabilities(ids, list(column), values, self.labels)

    def description(self) -> dict[str, Any]:
        """Return nothing: in `model.json` this task is the default."""
        return {}


class MultiLabel:
    """Any number of the K labels per text; thresholds are .5 until they are tuned."""

    def __init__(self, labels: Sequence[str]) -> None:
        self.labels = list(labels)
        self.outputs = len(self.labels)
        self.thresholds = [0.5] * self.outputs

    def targets(self, column: Sequence[Sequence[str]]) -> numpy.ndarray:
        """Return 1 for every label that a text has, else 0 (N, K)."""
        return indicators(column, self.labels).astype(numpy.float32)

    def loss(self, train_targets: numpy.ndarray, settings: ClassifierSettings) -> Loss:
        """Return the binary cross-entropy that the settings describe."""
        return BinaryCrossEntropy(
            positive_weights(train_targets, self.labels, settings),
            effective_smoothing(settings, self.outputs),
            settings.focal_gamma,
        )

    def activation(self, outputs: Tensor) -> Tensor:
        """Return independent probabilities (B, K)."""
        return outputs.sigmoid()

    def tune(self, column: Sequence[Sequence[str]], values: numpy.ndarray) -> None:
        """Choose the thresholds that give each label the highest F1."""
        self.thresholds = tune_thresholds(indicators(column, self.labels), values)

    def predictions(
        self, ids: Sequence[str], column: Sequence[Sequence[str]], values: numpy.ndarray
    ) -> MultiLabelPredictions:
        """Predict the labels from their thresholds on."""
        return MultiLabelPredictions.from_probabilities(ids, column, values, self.labels, self.thresholds)

    def description(self) -> dict[str, Any]:
        """Return the task and the labels' thresholds."""
        return {"task": "multi_label", "thresholds": self.thresholds}


class Regression:
    """One number per text; the model is trained on (number - mean) / sd with those of the training texts.

    `sd` is the population's standard deviation, above 0.
    """

    outputs = 1

    def __init__(self, mean: float, sd: float) -> None:
        self.mean, self.sd = mean, sd

    @classmethod
    def of(cls, column: Sequence[float]) -> Self:
        """Take mean and deviation of the training texts' numbers."""
        numbers = numpy.array(column, dtype=numpy.float64)
        return cls(float(numbers.mean()), float(numbers.std()))

    def targets(self, column: Sequence[float]) -> numpy.ndarray:
        """Return standardised numbers (N,)."""
        numbers = numpy.array(column, dtype=numpy.float64)
        return ((numbers - self.mean) / self.sd).astype(numpy.float32)

    def loss(self, train_targets: numpy.ndarray, settings: ClassifierSettings) -> Loss:
        """Return the mean squared error of standardised numbers."""
        return SquaredError()

    def activation(self, outputs: Tensor) -> Tensor:
        """Return numbers (B, 1) in the labels' units."""
        return outputs * self.sd + self.mean

    def tune(self, column: Sequence[float], values: numpy.ndarray) -> None:
        """Choose nothing."""

    def predictions(
        self, ids: Sequence[str], column: Sequence[float], values: numpy.ndarray
    ) -> RegressionPredictions:
        """Predict the outputs themselves."""
        gold = [float(number) for number in column]
        return RegressionPredictions(list(ids), gold, [float(number) for number in values[:, 0]])

    def description(self) -> dict[str, Any]:
        """Return the task, and what turns outputs into numbers of the labels' units."""
        return {"task": "regression", "target_mean": self.mean, "target_sd": self.sd}


TASK_KINDS: dict[Task, Callable[[Sequence[str], Sequence[Any]], TaskKind]] = {
    "single_label": lambda labels, train_column: SingleLabel(labels),
    "multi_label": lambda labels, train_column: MultiLabel(labels),
    "regression": lambda labels, train_column: Regression.of(train_column),
}
"""Makes a kind of task from the names of the labels and the label column of the training texts."""
