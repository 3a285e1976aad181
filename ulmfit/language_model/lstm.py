"""An LSTM layer with DropConnect on its hidden-to-hidden weights (Merity et al. 2017, arXiv 1708.02182).

Shapes: T tokens of a chunk, B batch, I inputs, H units. Inside a layer time comes first.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch.nn import functional

from ulmfit.language_model.compute import PLAIN, Compute
from ulmfit.language_model.engines.cudnn import lstm_function
from ulmfit.language_model.masks import applied

if TYPE_CHECKING:
    from ulmfit.language_model.engines.cpu_lstm import CastWeights

LSTMState = tuple[Tensor, Tensor]
"""Hidden and cell state, each (1, B, H); the cell state never has fewer than 32 bits."""


class InputWeights(nn.Module):
    """The parameters of an LSTM layer that are never dropped; a separate module, to keep fastai's names."""

    def __init__(self, lstm: nn.LSTM) -> None:
        super().__init__()
        weights = dict(lstm.named_parameters())
        self.weight_ih_l0 = weights["weight_ih_l0"]
        self.bias_ih_l0 = weights["bias_ih_l0"]
        self.bias_hh_l0 = weights["bias_hh_l0"]


class WeightDropLSTM(nn.Module):
    """One LSTM layer; its recurrent weight is dropped by a mask that the encoder draws once per chunk."""

    _keeps: bool
    _kept: CastWeights | None

    def __init__(self, inputs: int, units: int) -> None:
        super().__init__()
        lstm = nn.LSTM(inputs, units)
        self.weight_hh_l0_raw = dict(lstm.named_parameters())["weight_hh_l0"]
        self.module = InputWeights(lstm)
        self.units = units
        self.keep_weights(False)

    @property
    def dropped_weight(self) -> Tensor:
        """The weight that the weight mask applies to, (4H, H)."""
        return self.weight_hh_l0_raw

    def initial_state(self, batch_size: int) -> LSTMState:
        """Return zeros: the state at the beginning of a document or a stream."""
        zeros = self.weight_hh_l0_raw.new_zeros
        return zeros(1, batch_size, self.units), zeros(1, batch_size, self.units)

    def forward(
        self, inputs: Tensor, state: LSTMState, weight_mask: Tensor | None, compute: Compute = PLAIN
    ) -> tuple[Tensor, LSTMState]:
        """Map (T, B, I) and the state to (T, B, H) and the new state."""
        inputs = inputs.to(compute.activations(self.weight_hh_l0_raw))
        state = (state[0].to(inputs.dtype), state[1])
        if compute.engine == "fast" and inputs.device.type == "cpu":
            return self._on_cpu(inputs, state, weight_mask)
        if compute.engine == "fast" and inputs.device.type == "cuda":
            function = lstm_function(inputs.dtype, inputs.device)
            if function is not None:
                return self._on_cuda(function, inputs, state, weight_mask)
        weight = applied(weight_mask, self.weight_hh_l0_raw)
        if inputs.dtype == torch.bfloat16:
            return self._in_steps(inputs, state, weight)
        other = self.module
        weights = [other.weight_ih_l0, weight, other.bias_ih_l0, other.bias_hh_l0]
        output, hidden, cell = torch.lstm(inputs, state, weights, True, 1, 0.0, self.training, False, False)
        return output, (hidden, cell)

    def _needs_graph(self, *tensors: Tensor) -> bool:
        """Return whether gradients of parameters or `tensors` may be asked for."""
        needed = (tensor.requires_grad for tensor in (*tensors, *self.parameters()))
        return torch.is_grad_enabled() and any(needed)

    def _cast_weights(self, dtype: torch.dtype) -> CastWeights:
        from ulmfit.language_model.engines.cpu_lstm import CastWeights

        if self._kept is not None and self._kept.dtype == dtype:
            return self._kept
        other = self.module
        bias = other.bias_ih_l0 + other.bias_hh_l0
        weights = CastWeights(other.weight_ih_l0, self.weight_hh_l0_raw, bias, dtype)
        if self._keeps:
            self._kept = weights
        return weights

    def keep_weights(self, keeps: bool) -> None:
        """Keep the weights in the engine's form, or drop it; while it is kept, they must not change."""
        self._keeps, self._kept = keeps, None

    def _on_cpu(
        self, inputs: Tensor, state: LSTMState, weight_mask: Tensor | None
    ) -> tuple[Tensor, LSTMState]:
        from ulmfit.language_model.engines.cpu_lstm import LSTMFunction, without_graph

        weights, hidden, cell = self._cast_weights(inputs.dtype), state[0].squeeze(0), state[1].squeeze(0)
        if self._needs_graph(inputs, *state):
            other = self.module
            output, hidden, cell = LSTMFunction.apply(
                inputs,
                hidden,
                cell,
                other.weight_ih_l0,
                self.weight_hh_l0_raw,
                weight_mask,
                other.bias_ih_l0,
                other.bias_hh_l0,
                weights,
            )
        else:
            output, hidden, cell = without_graph(inputs, hidden, cell, weights, weight_mask)
        return output, (hidden.unsqueeze(0), cell.unsqueeze(0))

    def _on_cuda(
        self,
        function: type[torch.autograd.Function],
        inputs: Tensor,
        state: LSTMState,
        weight_mask: Tensor | None,
    ) -> tuple[Tensor, LSTMState]:
        other = self.module
        weights: tuple[Tensor, ...] = (other.weight_ih_l0, self.weight_hh_l0_raw)
        weights += (other.bias_ih_l0, other.bias_hh_l0)
        if not self._needs_graph(inputs, *state):
            # cuDNN keeps what the backward pass needs, if parameters require gradients.
            weights = tuple(weight.detach() for weight in weights)
        of_inputs, recurrent, *biases = weights
        output, hidden, cell = function.apply(inputs, *state, of_inputs, recurrent, weight_mask, *biases)
        return output, (hidden, cell)

    def _in_steps(self, inputs: Tensor, state: LSTMState, weight: Tensor) -> tuple[Tensor, LSTMState]:
        """Compute the layer step by step: products in the inputs' type, everything else in the weights'."""
        other, dtype = self.module, inputs.dtype
        hidden, cell = state[0].squeeze(0), state[1].squeeze(0)
        input_part = functional.linear(inputs, other.weight_ih_l0.to(dtype))
        bias, weight = other.bias_ih_l0 + other.bias_hh_l0, weight.to(dtype)
        outputs = []
        for now in range(len(inputs)):
            gates = input_part[now].to(cell.dtype) + functional.linear(hidden, weight).to(cell.dtype) + bias
            input_gate, forget_gate, new, output_gate = gates.chunk(4, dim=1)
            cell = forget_gate.sigmoid() * cell + input_gate.sigmoid() * new.tanh()
            hidden = (output_gate.sigmoid() * cell.tanh()).to(dtype)
            outputs.append(hidden)
        return torch.stack(outputs), (hidden.unsqueeze(0), cell.unsqueeze(0))
