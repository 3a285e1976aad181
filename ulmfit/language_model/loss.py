"""The losses of a language model: cross-entropy with and without logits, AR and TAR.

Shapes: B batch, T tokens of a chunk, E embedding, V vocabulary.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from ulmfit.language_model.linear_cross_entropy import linear_cross_entropy
from ulmfit.language_model.model import LanguageModel, Outputs
from ulmfit.language_model.sampled_softmax import ClassSampler


class LanguageModelLoss:
    """The loss function as fastai sees it: mean cross-entropy of logits, in nats.

    `label_smoothing` spreads a share of every target over all V pieces. Validation (no gradients) does not
    use it, so that losses are comparable.
    """

    def __init__(self, label_smoothing: float = 0.0) -> None:
        self.label_smoothing = label_smoothing

    def __call__(self, logits: Tensor, targets: Tensor, reduction: str = "mean") -> Tensor:
        """Map logits (B, T, V) and ids (B, T) to a scalar; with reduction none to (B x T,)."""
        return functional.cross_entropy(
            logits.flatten(0, 1).float(),
            targets.flatten(),
            label_smoothing=self.smoothing_now(),
            reduction=reduction,
        )

    def smoothing_now(self) -> float:
        """Return the share in training, 0 in validation."""
        return self.label_smoothing if torch.is_grad_enabled() else 0.0


class StreamLoss:
    """The same loss from a model's outputs, without holding all logits; and AR and TAR.

    `ar` is alpha and `tar` beta of Merity et al. 2017 (arXiv 1708.02182), section 4.6. With a `sampler` the
    softmax is over a part of the vocabulary in training (with gradients), and over all of it in
    validation.
    """

    def __init__(
        self,
        model: LanguageModel,
        loss: LanguageModelLoss,
        ar: float,
        tar: float,
        sampler: ClassSampler | None = None,
    ) -> None:
        self.model, self.loss, self.ar, self.tar, self.sampler = model, loss, ar, tar, sampler

    def __call__(self, outputs: Outputs, targets: Tensor) -> Tensor:
        """Map a chunk's outputs and ids (B, T) to the mean cross-entropy, a scalar in nats."""
        decoder = self.model.decoder.decoder
        weight: Tensor = decoder.weight
        bias: Tensor = decoder.bias
        targets = targets.t().flatten()
        if self.sampler is not None and torch.is_grad_enabled():
            sample = self.sampler(targets)
            weight = weight.index_select(0, sample.classes)
            bias = bias.index_select(0, sample.classes) + sample.correction
            targets = sample.targets
        # Time comes first in the outputs' memory, so that this is a view.
        hidden = outputs.dropped.transpose(0, 1).flatten(0, 1)
        return linear_cross_entropy(
            hidden,
            weight,
            bias,
            targets,
            label_smoothing=self.loss.smoothing_now(),
            engine=self.model.encoder.compute.engine,
        )

    def prediction(self, outputs: Outputs) -> Tensor:
        """Return the logits (B, T, V)."""
        return self.model.decoder(outputs.dropped) if outputs.logits is None else outputs.logits

    def penalty(self, outputs: Outputs) -> Tensor | None:
        """Return alpha x mean square of the dropped outputs + beta x that of the raw ones' differences."""
        penalty: Tensor | None = None
        if self.ar:
            penalty = self.ar * outputs.dropped.float().square().mean()
        if self.tar and outputs.raw.shape[1] > 1:
            raw = outputs.raw.float()
            change = self.tar * (raw[:, 1:] - raw[:, :-1]).square().mean()
            penalty = change if penalty is None else penalty + change
        return penalty
