"""An LSTM layer on CUDA step by step: a product and a Triton kernel per token, the cell always in fp32.

Unlike cuDNN it does not round the cell state to bf16. Two launches per token cost more than their work at
small batches, unless they are replayed from a CUDA graph (`cuda_graph.py`).

Shapes: T tokens of a chunk, B batch, I inputs, H units. Gates (B, 4H) in torch's order i f g o.
"""

from __future__ import annotations

from typing import Any

import torch
import triton
import triton.language as tl
from torch import Tensor
from torch.autograd.function import once_differentiable

UNITS = 256
"""Units per program."""


@triton.jit
def _tanh(x):
    return 2 * tl.sigmoid(2 * x) - 1


@triton.jit
def _gate(gates, product, bias, unit, inside):
    """Return the sum of the inputs', the hidden state's and the bias's part, which replaces the first."""
    value = tl.load(gates + unit, mask=inside, other=0.0).to(tl.float32)
    value += tl.load(product + unit, mask=inside, other=0.0).to(tl.float32)
    value += tl.load(bias + unit, mask=inside, other=0.0)
    tl.store(gates + unit, value.to(gates.dtype.element_ty), mask=inside)
    return value


@triton.jit
def _step_forward(gates, product, bias, before, after, hidden, units, UNITS: tl.constexpr):
    row = tl.program_id(0).to(tl.int64)
    unit = tl.program_id(1) * UNITS + tl.arange(0, UNITS)
    inside = unit < units
    gates += row * 4 * units
    product += row * 4 * units
    place = row * units + unit
    entered = tl.sigmoid(_gate(gates, product, bias, unit, inside))
    kept = tl.sigmoid(_gate(gates, product, bias, unit + units, inside))
    new = _tanh(_gate(gates, product, bias, unit + 2 * units, inside))
    shown = tl.sigmoid(_gate(gates, product, bias, unit + 3 * units, inside))
    cell = kept * tl.load(before + place, mask=inside, other=0.0) + entered * new
    tl.store(after + place, cell, mask=inside)
    tl.store(hidden + place, (shown * _tanh(cell)).to(hidden.dtype.element_ty), mask=inside)


@triton.jit
def _give(gates, d_bias, unit, inside, gradient):
    """Replace a gate's sum by its gradient, and add that, before it is rounded, to the bias's."""
    tl.store(gates + unit, gradient.to(gates.dtype.element_ty), mask=inside)
    tl.store(d_bias + unit, tl.load(d_bias + unit, mask=inside, other=0.0) + gradient, mask=inside)


@triton.jit
def _step_backward(gates, before, after, above, later, d_cell, d_bias, units, UNITS: tl.constexpr):
    row = tl.program_id(0).to(tl.int64)
    unit = tl.program_id(1) * UNITS + tl.arange(0, UNITS)
    inside = unit < units
    gates += row * 4 * units
    d_bias += row * 4 * units
    place = row * units + unit
    # The gates are kept as sums: rounded after the sigmoid, one that is nearly open would lose its slope.
    entered = tl.sigmoid(tl.load(gates + unit, mask=inside, other=0.0).to(tl.float32))
    kept = tl.sigmoid(tl.load(gates + unit + units, mask=inside, other=0.0).to(tl.float32))
    new = _tanh(tl.load(gates + unit + 2 * units, mask=inside, other=0.0).to(tl.float32))
    shown = tl.sigmoid(tl.load(gates + unit + 3 * units, mask=inside, other=0.0).to(tl.float32))
    activated = _tanh(tl.load(after + place, mask=inside, other=0.0))
    d_hidden = tl.load(above + place, mask=inside, other=0.0).to(tl.float32)
    d_hidden += tl.load(later + place, mask=inside, other=0.0).to(tl.float32)
    d = tl.load(d_cell + place, mask=inside, other=0.0) + d_hidden * shown * (1 - activated * activated)
    previous = tl.load(before + place, mask=inside, other=0.0)
    tl.store(d_cell + place, d * kept, mask=inside)
    _give(gates, d_bias, unit, inside, d * new * entered * (1 - entered))
    _give(gates, d_bias, unit + units, inside, d * previous * kept * (1 - kept))
    _give(gates, d_bias, unit + 2 * units, inside, d * entered * (1 - new * new))
    _give(gates, d_bias, unit + 3 * units, inside, d_hidden * activated * shown * (1 - shown))


class TritonLSTM(torch.autograd.Function):
    """All time steps of one layer; the gates' memory is reused for their gradients, so backward goes once."""

    @staticmethod
    def forward(
        ctx: Any,
        inputs: Tensor,
        hidden: Tensor,
        cell: Tensor,
        input_weight: Tensor,
        recurrent_weight: Tensor,
        mask: Tensor | None,
        input_bias: Tensor,
        recurrent_bias: Tensor,
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Map (T, B, I) and hidden and cell (1, B, H) to (T, B, H) and the last two (1, B, H)."""
        time, batch, _ = inputs.shape
        units, dtype = hidden.shape[2], inputs.dtype
        inputs = inputs.contiguous()
        input_weight = input_weight.to(dtype)
        recurrent = (recurrent_weight if mask is None else recurrent_weight * mask).to(dtype)
        bias = input_bias + recurrent_bias
        gates = torch.mm(inputs.flatten(0, 1), input_weight.t()).view(time, batch, 4 * units)
        outputs = inputs.new_empty(time + 1, batch, units)
        cells = cell.new_empty(time + 1, batch, units)
        product = inputs.new_empty(batch, 4 * units)
        outputs[0], cells[0] = hidden[0], cell[0]
        for now in range(time):
            torch.mm(outputs[now], recurrent.t(), out=product)
            _step_forward[_grid(batch, units)](
                gates[now], product, bias, cells[now], cells[now + 1], outputs[now + 1], units, UNITS=UNITS
            )
        ctx.save_for_backward(inputs, outputs, cells, gates, input_weight, recurrent, mask)
        ctx.spent = False
        ctx.set_materialize_grads(False)
        return outputs[1:], outputs[time:].clone(), cells[time:].clone()

    @staticmethod
    @once_differentiable
    def backward(
        ctx: Any, d_outputs: Tensor | None, d_hidden: Tensor | None, d_cell: Tensor | None
    ) -> tuple[Tensor | None, ...]:
        """Return the gradients of what `forward` took; those of parameters in the cell's type."""
        if ctx.spent:
            raise RuntimeError("the fast engine goes backward once only: its activations are overwritten")
        ctx.spent = True
        inputs, outputs, cells, gates, input_weight, recurrent, mask = ctx.saved_tensors
        needs = ctx.needs_input_grad
        time, batch, units = outputs.shape[0] - 1, outputs.shape[1], outputs.shape[2]
        d_outputs = outputs.new_zeros(time, batch, units) if d_outputs is None else d_outputs.contiguous()
        later = outputs.new_zeros(batch, units) if d_hidden is None else d_hidden[0].clone()
        d_cell = (
            cells.new_zeros(batch, units)
            if d_cell is None
            else d_cell[0].clone(memory_format=torch.contiguous_format)
        )
        d_biases = cells.new_zeros(batch, 4 * units)
        for now in reversed(range(time)):
            _step_backward[_grid(batch, units)](
                gates[now],
                cells[now],
                cells[now + 1],
                d_outputs[now],
                later,
                d_cell,
                d_biases,
                units,
                UNITS=UNITS,
            )
            torch.mm(gates[now], recurrent, out=later)
        d_gates = gates.flatten(0, 1)
        d_inputs = torch.mm(d_gates, input_weight).view_as(inputs) if needs[0] else None
        d_input_weight = _weight_gradient(d_gates, inputs, cells.dtype) if needs[3] else None
        d_recurrent = _weight_gradient(d_gates, outputs[:-1], cells.dtype) if needs[4] else None
        if d_recurrent is not None and mask is not None:
            d_recurrent *= mask
        d_bias = d_biases.sum(0) if needs[6] or needs[7] else None
        return d_inputs, later[None], d_cell[None], d_input_weight, d_recurrent, None, d_bias, d_bias


def _grid(batch: int, units: int) -> tuple[int, int]:
    return batch, triton.cdiv(units, UNITS)


def _weight_gradient(d_gates: Tensor, left: Tensor, dtype: torch.dtype) -> Tensor:
    """Return the gradient (4H, K) of a weight that maps `left` (T, B, K) to gates (T * B, 4H)."""
    return torch.mm(d_gates.t(), left.flatten(0, 1)).to(dtype)
