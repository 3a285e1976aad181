"""An LSTM layer on the CPU: a few large matrix products, and one packed product and one kernel a step.

Shapes: T tokens of a chunk, B batch, I inputs, H units.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from ulmfit.language_model.engines.compiled import kernels, large_empty
from ulmfit.language_model.engines.products import Product


class LSTMFunction(torch.autograd.Function):
    """All time steps of one layer, forward and backward; activations are kept in the inputs' type.

    The cell is computed, and its state kept, in fp32 (float64 for float64 inputs).
    """

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
        """Map inputs (T, B, I), hidden and cell (B, H) to outputs (T, B, H) and the last two (B, H)."""
        time, batch, _ = inputs.shape
        units, dtype = hidden.shape[1], inputs.dtype
        inputs = inputs.contiguous()
        input_weight = input_weight.to(dtype)
        recurrent = (recurrent_weight if mask is None else recurrent_weight * mask).to(dtype)
        bias = input_bias + recurrent_bias
        if dtype == torch.float32 and inputs.shape[2] >= 512:
            gates = Product(input_weight, time * batch)(inputs.flatten(0, 1)).view(time, batch, 4 * units)
        else:
            gates = large_empty(inputs, time, batch, 4 * units)
            torch.mm(inputs.flatten(0, 1), input_weight.t(), out=gates.flatten(0, 1))
        outputs = inputs.new_empty(time + 1, batch, units)
        cells = bias.new_empty(time + 1, batch, units)
        outputs[0], cells[0] = hidden, cell
        product, step = Product(recurrent, batch), kernels()[dtype].cell_forward
        threads = torch.get_num_threads()
        for now in range(time):
            recurrent_part = product(outputs[now])
            step(
                batch,
                units,
                gates[now].data_ptr(),
                recurrent_part.data_ptr(),
                bias.data_ptr(),
                cells[now].data_ptr(),
                cells[now + 1].data_ptr(),
                outputs[now + 1].data_ptr(),
                threads,
            )
        ctx.save_for_backward(inputs, outputs, cells, gates, input_weight, recurrent, mask)
        ctx.spent = False
        ctx.set_materialize_grads(False)
        return outputs[1:], outputs[time].clone(), cells[time].clone()

    @staticmethod
    @once_differentiable
    def backward(
        ctx: Any, d_outputs: Tensor | None, d_hidden: Tensor | None, d_cell: Tensor | None
    ) -> tuple[Tensor | None, ...]:
        """Return the gradients of what `forward` took."""
        if ctx.spent:
            raise RuntimeError("the fast engine goes backward once only: its activations are overwritten")
        ctx.spent = True
        inputs, outputs, cells, gates, input_weight, recurrent, mask = ctx.saved_tensors
        needs = ctx.needs_input_grad
        time, batch, units = outputs.shape[0] - 1, outputs.shape[1], outputs.shape[2]
        d_outputs = outputs.new_zeros(time, batch, units) if d_outputs is None else d_outputs.contiguous()
        later = outputs.new_zeros(batch, units) if d_hidden is None else d_hidden.contiguous()
        d_cell = (
            cells.new_zeros(batch, units)
            if d_cell is None
            else d_cell.clone(memory_format=torch.contiguous_format)
        )
        product, step = Product(recurrent.t(), batch), kernels()[inputs.dtype].cell_backward
        threads = torch.get_num_threads()
        d_biases = cells.new_zeros(threads, 4 * units)
        for now in reversed(range(time)):
            step(
                batch,
                units,
                gates[now].data_ptr(),
                cells[now].data_ptr(),
                cells[now + 1].data_ptr(),
                d_outputs[now].data_ptr(),
                later.data_ptr(),
                d_cell.data_ptr(),
                d_biases.data_ptr(),
                threads,
            )
            if now or needs[1]:
                later = product(gates[now])
        d_gates = gates.flatten(0, 1)
        d_inputs = None
        if needs[0]:
            d_inputs = Product(input_weight.t(), len(d_gates))(d_gates).view_as(inputs)
        d_input_weight = _weight_gradient(d_gates, inputs, cells.dtype) if needs[3] else None
        d_recurrent = _weight_gradient(d_gates, outputs[:-1], cells.dtype) if needs[4] else None
        if d_recurrent is not None and mask is not None:
            d_recurrent *= mask
        d_bias = d_biases.sum(0)
        return d_inputs, later, d_cell, d_input_weight, d_recurrent, None, d_bias, d_bias


def _weight_gradient(d_gates: Tensor, left: Tensor, dtype: torch.dtype) -> Tensor:
    """Return the gradient (4H, K) of a weight that maps `left` (T, B, K) to gates (T * B, 4H)."""
    return torch.mm(d_gates.t(), left.flatten(0, 1)).to(dtype)
