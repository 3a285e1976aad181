"""The losses of the three kinds of task: cross-entropy, binary cross-entropy and squared error.

Shapes: B texts, K classes or labels. Label smoothing, weights and the focal loss can be combined; each loss
says what that means.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy
import torch
from torch import Tensor, nn
from torch.nn import functional

from ulmfit.classifier.settings import ClassifierSettings


class CrossEntropy(nn.Module):
    """Cross-entropy of one label per text, or of the probabilities t of all labels (soft labels).

    With target t, which is [k = y] for label y, probabilities p, smoothing e, weights w and focal exponent g,
    a text's loss is

        sum over classes k of  q_k w_k (1 - p_k)^g (-log p_k),  where  q_k = e / K + (1 - e) t_k,

    and a batch's loss is the sum of its texts' losses divided by the sum of all t_k w_k. The weights act on
    the smoothed target class by class. For labels without the focal factor (g = 0) that is
    `torch.nn.CrossEntropyLoss(weight, label_smoothing=e)`; with e = 0 and w = 1 it is the focal loss of Lin
    et al. 2017 (arXiv 1708.02002, section 3.2), averaged over texts.
    """

    weight: Tensor | None

    def __init__(
        self, weight: Tensor | None = None, label_smoothing: float = 0.0, focal_gamma: float = 0.0
    ) -> None:
        super().__init__()
        self.register_buffer("weight", weight)
        self.label_smoothing, self.focal_gamma = label_smoothing, focal_gamma

    def forward(self, logits: Tensor, targets: Tensor) -> Tensor:
        """Map logits (B, K) and class numbers (B,), or probabilities (B, K), to the batch's loss."""
        soft = targets.ndim == 2
        if not (self.focal_gamma or soft):
            return functional.cross_entropy(
                logits, targets, weight=self.weight, label_smoothing=self.label_smoothing
            )
        log_p = logits.log_softmax(1)
        classes = logits.shape[1]
        target = targets if soft else functional.one_hot(targets, classes)
        target = target.to(log_p.dtype)
        smoothed = self.label_smoothing / classes + (1 - self.label_smoothing) * target
        if self.weight is not None:
            smoothed, target = smoothed * self.weight, target * self.weight
        losses = smoothed * -log_p
        if self.focal_gamma:
            losses = losses * _focal_factor(log_p, self.focal_gamma)
        return losses.sum() / target.sum()


class BinaryCrossEntropy(nn.Module):
    """Cross-entropy of K independent yes-no questions, which are the labels of a multi-label task.

    With answer t (0 or 1), probability p, smoothing e, the label's weight w of a yes and focal exponent g,
    the loss of a text and a label is

        w q (1 - p)^g (-log p)  +  (1 - q) p^g (-log(1 - p)),  where  q = e / 2 + (1 - e) t,

    and a batch's loss is the mean over texts and labels. Without the focal factor (g = 0) that is
    `torch.nn.BCEWithLogitsLoss(pos_weight=w)` of the smoothed targets.
    """

    positive_weight: Tensor | None

    def __init__(
        self,
        positive_weight: Tensor | None = None,
        label_smoothing: float = 0.0,
        focal_gamma: float = 0.0,
    ) -> None:
        super().__init__()
        self.register_buffer("positive_weight", positive_weight)
        self.label_smoothing, self.focal_gamma = label_smoothing, focal_gamma

    def forward(self, logits: Tensor, targets: Tensor) -> Tensor:
        """Map logits and targets of 0 and 1, both (B, K), to the batch's loss."""
        smoothed = self.label_smoothing / 2 + (1 - self.label_smoothing) * targets
        if not self.focal_gamma:
            return functional.binary_cross_entropy_with_logits(
                logits, smoothed, pos_weight=self.positive_weight
            )
        log_yes, log_no = functional.logsigmoid(logits), functional.logsigmoid(-logits)
        yes = smoothed * _focal_factor(log_yes, self.focal_gamma) * -log_yes
        no = (1 - smoothed) * _focal_factor(log_no, self.focal_gamma) * -log_no
        if self.positive_weight is not None:
            yes = yes * self.positive_weight
        return (yes + no).mean()


class SquaredError(nn.Module):
    """Mean squared error of one number per text."""

    def forward(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """Map outputs (B, 1) and targets (B,) to the batch's loss."""
        return functional.mse_loss(outputs.squeeze(1), targets)


def _focal_factor(log_p: Tensor, gamma: float) -> Tensor:
    """Return (1 - p)^gamma; 1 - p is kept above 0, where the slope of a gamma below 1 is infinite."""
    rest = -torch.expm1(log_p)
    return rest.clamp_min(torch.finfo(rest.dtype).tiny) ** gamma


def effective_smoothing(settings: ClassifierSettings, classes: int) -> float:
    """Return the label smoothing of a task with `classes` classes or labels."""
    return settings.label_smoothing / (classes if settings.smoothing_divided_by_classes else 1)


def class_weights(
    numbers: numpy.ndarray, labels: Sequence[str], settings: ClassifierSettings
) -> Tensor | None:
    """Return the weight (K,) of every class, or None where all weigh 1.

    `numbers` (texts,) are the classes of the training texts, places in `labels`, or their probabilities
    (texts, K), of which the most probable class counts; a class without a text counts as if it had one.
    Raises InputError when the weights of the settings are not those of exactly these labels.
    """
    if settings.class_weights == "none":
        return None
    if (given := _given_weights(labels, settings)) is not None:
        return given
    return balanced_weights(numbers.argmax(axis=1) if numbers.ndim == 2 else numbers, len(labels))


def _given_weights(labels: Sequence[str], settings: ClassifierSettings) -> Tensor | None:
    """Return the weights (K,) that the settings name, checked; None: they name none."""
    if not isinstance(settings.class_weights, dict):
        return None
    settings.check_labels(labels)
    return torch.tensor([settings.class_weights[label] for label in labels], dtype=torch.float32)


def balanced_weights(numbers: numpy.ndarray, classes: int) -> Tensor:
    """Return weights (K,) with which every class of the texts' classes `numbers` (texts,) weighs alike.

    A class without a text counts as if it had one.
    """
    counts = numpy.bincount(numbers, minlength=classes)
    # Label noise may leave a class without texts; an infinite weight would make losses infinite, or NaN.
    return torch.tensor(len(numbers) / (classes * numpy.maximum(counts, 1)), dtype=torch.float32)


def positive_weights(
    targets: numpy.ndarray, labels: Sequence[str], settings: ClassifierSettings
) -> Tensor | None:
    """Return the weight (K,) of a yes of every label, or None where all weigh 1.

    `targets` (texts, K) are the training texts' labels as 0 and 1. Balanced is texts without the label by
    texts with it, so that both weigh alike; a label of every text weighs 1. Raises InputError when the
    weights of the settings are not those of exactly these labels.
    """
    if settings.class_weights == "none":
        return None
    if (given := _given_weights(labels, settings)) is not None:
        return given
    counts = targets.sum(axis=0, dtype=numpy.float64)
    without = len(targets) - counts
    return torch.tensor(numpy.where(without > 0, without / counts, 1.0), dtype=torch.float32)
