"""An exponential moving average of a model's weights over the updates (Polyak and Juditsky 1992)."""

from __future__ import annotations

import torch
from fastai.callback.core import Callback
from torch import Tensor, nn

from ulmfit.training.weights import load_weights, own_tensors


class WeightAverage:
    """A moving average of the weights.

    After every update: average = decay x average + (1 - decay) x weights. It is divided by the sum of all
    factors. That division (Adam's bias correction) makes it a mean of the weights since the first update. All
    tensors of floating point are averaged, the statistics of batch norm as well. Updates that were left out
    do not count; that is decided on the device, without waiting for it.
    """

    def __init__(self, model: nn.Module, decay: float) -> None:
        self.model, self.decay = model, decay
        self._sums = {
            name: torch.zeros_like(tensor)
            for name, tensor in own_tensors(model).items()
            if tensor.is_floating_point()
        }
        self._factors = torch.zeros((), dtype=torch.float64, device=next(model.parameters()).device)

    @torch.no_grad()
    def update(self, bad: Tensor) -> None:
        """Count the weights in, unless `bad` is 1.0."""
        share = (1 - self.decay) * (1 - bad.double())
        own = own_tensors(self.model)
        for name, total in self._sums.items():
            total.lerp_(own[name], share.to(total.dtype))
        self._factors.lerp_(torch.ones_like(self._factors), share)

    def weights(self) -> dict[str, Tensor]:
        """Return the average of every tensor.

        Tensors without an average, and all before the first update, are returned as they are.
        """
        own = own_tensors(self.model)
        if not float(self._factors):
            return own
        return own | {name: total / self._factors.to(total.dtype) for name, total in self._sums.items()}

    def tensors(self) -> dict[str, Tensor]:
        """Return what a checkpoint keeps."""
        return {"factors": self._factors} | {f"sum.{name}": total for name, total in self._sums.items()}

    def restore_tensors(self, tensors: dict[str, Tensor]) -> None:
        """Take up what a checkpoint kept."""
        self._factors.copy_(tensors["factors"])
        for name, total in self._sums.items():
            total.copy_(tensors[f"sum.{name}"])


class ValidateAverage(Callback):
    """Replaces the weights by their average during a validation, before any other callback looks at them."""

    order = -20

    def __init__(self, average: WeightAverage) -> None:
        self.average = average
        self.kept: dict[str, Tensor] = {}

    def before_fit(self) -> None:
        self.restore()

    def restore(self) -> None:
        """Put the weights back, also after a validation that was interrupted."""
        if self.kept:
            load_weights(self.average.model, self.kept, "the weights")
        self.kept = {}

    def before_validate(self) -> None:
        self.restore()
        model = self.average.model
        self.kept = {name: tensor.clone() for name, tensor in own_tensors(model).items()}
        load_weights(model, self.average.weights(), "the average")


class RestoreWeights(Callback):
    """Puts the weights back after a validation of their average, as the last callback."""

    order = 90

    def __init__(self, validation: ValidateAverage) -> None:
        self.validation = validation

    def after_validate(self) -> None:
        self.validation.restore()
