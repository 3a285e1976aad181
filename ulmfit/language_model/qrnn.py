"""A quasi-recurrent layer (Bradbury et al. 2016, arXiv 1611.01576) with DropConnect on its weight.

Parameter names are those of fastai v1's AWD_LSTM with qrnn=True, in which every layer is a QRNN of one layer:

    rnns.N.layers.0.linear.weight_raw    (3H, W x I)
    rnns.N.layers.0.linear.module.bias   (3H,)

Beside them fastai v1 keeps an alias of the weight as it was after the last drop,
`rnns.N.layers.0.linear.module.weight`. The rows are candidate z, input gate i, output gate o; the columns are
the current token's inputs, then (window 2) the previous token's. The gate is stored as fastai v1 stores it:
i = 1 - f, where f is the paper's forget gate, so that such weights load without a change:

    c_t = f_t c_{t-1} + (1 - f_t) z_t,   h_t = o_t c_t   (fo-pooling, section 2)

Shapes: T tokens of a chunk, B batch, I inputs, H units, W window (1 or 2).
"""

from __future__ import annotations

from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from ulmfit.language_model.compute import PLAIN, Compute
from ulmfit.language_model.engines.forget_mult import fo_pooling
from ulmfit.language_model.masks import applied, dropout_mask


class QRNNLinear(nn.Module):
    """The parameters of a QRNN layer: the weight that is dropped, and the bias in a module of its own."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        linear = nn.Linear(inputs, outputs)
        self.weight_raw = linear.weight
        self.module = nn.Module()
        self.module.register_parameter("bias", linear.bias)

    @property
    def bias(self) -> Tensor:
        """The bias, (3H,)."""
        return cast(Tensor, self.module.bias)


class QRNNGates(nn.Module):
    """A level in fastai v1's parameter names, which it calls a QRNNLayer."""

    def __init__(self, inputs: int, units: int) -> None:
        super().__init__()
        self.linear = QRNNLinear(inputs, 3 * units)


class WeightDropQRNN(nn.Module):
    """One QRNN layer; its weight is dropped by a mask that the encoder draws once per chunk.

    Its state is the cell c (1, B, H), which never has fewer than 32 bits, and with a window of 2 the last
    token's inputs (1, B, I).
    """

    def __init__(self, inputs: int, units: int, *, window: int = 1, zoneout: float = 0.0) -> None:
        """`zoneout` is the probability that a unit keeps its cell over a token (section 2.1); 0: off."""
        super().__init__()
        self.inputs, self.units, self.window, self.zoneout = inputs, units, window, zoneout
        self.layers = nn.ModuleList([QRNNGates(window * inputs, units)])

    @property
    def linear(self) -> QRNNLinear:
        """Weight and bias."""
        return cast(QRNNGates, self.layers[0]).linear

    @property
    def dropped_weight(self) -> Tensor:
        """The weight that the weight mask applies to, (3H, W x I)."""
        return self.linear.weight_raw

    def initial_state(self, batch_size: int) -> tuple[Tensor, ...]:
        """Return zeros: the state at the beginning of a document or a stream."""
        sizes = [self.units] if self.window == 1 else [self.units, self.inputs]
        return tuple(self.dropped_weight.new_zeros(1, batch_size, size) for size in sizes)

    def keep_weights(self, keeps: bool) -> None:
        """Do nothing: its weights are cast once per chunk, in one product."""

    def forward(
        self,
        inputs: Tensor,
        state: tuple[Tensor, ...],
        weight_mask: Tensor | None,
        compute: Compute = PLAIN,
    ) -> tuple[Tensor, tuple[Tensor, ...]]:
        """Map (T, B, I) and the state to (T, B, H) and the new state."""
        dtype = compute.activations(self.dropped_weight)
        inputs = inputs.to(dtype)
        weight = applied(weight_mask, self.dropped_weight).to(dtype)
        source = inputs
        if self.window == 2:
            previous = torch.cat([state[1].to(dtype), inputs[:-1]])
            source = torch.cat([inputs, previous], dim=2)
        gates = functional.linear(source, weight, self.linear.bias.to(dtype))
        outputs, cell = fo_pooling(gates, state[0], self._updated(gates), compute.engine)
        return outputs, (cell,) if self.window == 1 else (cell, inputs[-1:])

    def _updated(self, gates: Tensor) -> Tensor | None:
        """Draw zoneout: (T, B, H), 0 where the cell is kept and elsewhere 1; None without zoneout."""
        if not self.training or not self.zoneout:
            return None
        mask = dropout_mask(gates, (*gates.shape[:2], self.units), self.zoneout)
        assert mask is not None
        return (mask > 0).to(gates.dtype)
