"""An LSTM layer with DropConnect on its hidden-to-hidden weights (Merity et al. 2017, arXiv 1708.02182).

Shapes: T tokens of a chunk, B batch, I inputs, H units. Inside a layer time comes first.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from ulmfit.language_model.masks import applied

LSTMState = tuple[Tensor, Tensor]
"""Hidden and cell state, each (1, B, H); the cell state never has fewer than 32 bits."""


class InputWeights(nn.Module):
    """The parameters of an LSTM layer that are never dropped; a module of its own, for fastai's names."""

    def __init__(self, lstm: nn.LSTM) -> None:
        super().__init__()
        weights = dict(lstm.named_parameters())
        self.weight_ih_l0 = weights["weight_ih_l0"]
        self.bias_ih_l0 = weights["bias_ih_l0"]
        self.bias_hh_l0 = weights["bias_hh_l0"]


class WeightDropLSTM(nn.Module):
    """One LSTM layer; its recurrent weight is dropped by a mask that the encoder draws once a chunk."""

    def __init__(self, inputs: int, units: int) -> None:
        super().__init__()
        lstm = nn.LSTM(inputs, units)
        self.weight_hh_l0_raw = dict(lstm.named_parameters())["weight_hh_l0"]
        self.module = InputWeights(lstm)
        self.units = units

    @property
    def dropped_weight(self) -> Tensor:
        """The weight that the weight mask applies to, (4H, H)."""
        return self.weight_hh_l0_raw

    def initial_state(self, batch_size: int) -> LSTMState:
        """Return zeros for the beginning of a document or a stream."""
        zeros = self.weight_hh_l0_raw.new_zeros
        return zeros(1, batch_size, self.units), zeros(1, batch_size, self.units)

    def forward(
        self, inputs: Tensor, state: LSTMState, weight_mask: Tensor | None
    ) -> tuple[Tensor, LSTMState]:
        """Map (T, B, I) and the state to (T, B, H) and the new state."""
        recurrent = applied(weight_mask, self.weight_hh_l0_raw)
        other = self.module
        weights = [other.weight_ih_l0, recurrent, other.bias_ih_l0, other.bias_hh_l0]
        output, hidden, cell = torch.lstm(inputs, state, weights, True, 1, 0.0, self.training, False, False)
        return output, (hidden, cell)
