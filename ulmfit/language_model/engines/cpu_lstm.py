"""An LSTM layer on the CPU: a few large matrix products, and one kernel for all steps or one per step.

Shapes: T tokens of a chunk, B batch, I inputs, H units.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from ulmfit.language_model.engines import fused_steps
from ulmfit.language_model.engines.compiled import kernels, large_empty
from ulmfit.language_model.engines.fused_steps import FusedWeight
from ulmfit.language_model.engines.products import Product

BLOCK_ROWS = 4480
"""Rows of inputs that are multiplied at once in inference: enough for a product at full speed."""


StepWeight = Product | FusedWeight
Weight = TypeVar("Weight", Product, StepWeight)


class CastWeights:
    """A layer's weights in the type of a computation, cast and packed once for all chunks that share them."""

    def __init__(
        self, input_weight: Tensor, recurrent_weight: Tensor, bias: Tensor, dtype: torch.dtype
    ) -> None:
        self.dtype = dtype
        # The cell is computed in fp32 where activations have 16 bits, whatever the parameters have.
        self.bias = bias.detach().to(torch.float32 if dtype == torch.bfloat16 else dtype)
        self.input = input_weight.detach().to(dtype)
        self.fused = fused_steps.available(dtype)
        self._recurrent = recurrent_weight.detach()
        self._made: dict[str, Any] = {}
        self._whole: Tensor | None = None
        self._space: Tensor | None = None

    def recurrent(self, mask: Tensor | None) -> Tensor | None:
        """Return the recurrent weight under a mask, (4H, H); without a mask it is always the same tensor.

        None if the steps are fused: they prepare the weight themselves.
        """
        if self.fused:
            return None
        if mask is not None:
            return (self._recurrent * mask).to(self.dtype)
        if self._whole is None:
            self._whole = self._recurrent.to(self.dtype)
        return self._whole

    def inputs_back(self, rows: int) -> Product:
        """Return the product that maps the gradients of the gates to those of the inputs."""
        return self._once("inputs back", lambda: Product(self.input.t(), rows))

    def step(
        self, recurrent: Tensor | None, mask: Tensor | None, rows: int, *, back: bool = False
    ) -> StepWeight:
        """Return the recurrent weight that `recurrent` gave, ready for time steps with this many rows."""

        def made() -> StepWeight:
            if recurrent is None:
                return FusedWeight(self._recurrent, mask, back=back)
            return Product(recurrent.t() if back else recurrent, rows)

        return made() if mask is not None else self._once("step back" if back else "step", made)

    def _once(self, name: str, make: Callable[[], Weight]) -> Weight:
        """Return the result of `make` for a weight that no mask changes; it is computed once."""
        if name not in self._made:
            self._made[name] = make()
        return self._made[name]

    def gates(self, inputs: Tensor, *, reuse: bool = False) -> Tensor:
        """Return the inputs' part of the gates, (T, B, 4H); with `reuse` valid until the next such call."""
        time, batch, width = inputs.shape
        columns = len(self.input)
        if self.dtype == torch.float32 and width >= 512:
            product = self._once("input", lambda: Product(self.input, time * batch))
            return product(inputs.flatten(0, 1)).view(time, batch, columns)
        size = time * batch * columns
        if not reuse or self._space is None or len(self._space) < size:
            self._space = large_empty(inputs, size)
        gates = self._space[:size].view(time * batch, columns)
        if not reuse:
            self._space = None
        torch.mm(inputs.flatten(0, 1), self.input.t(), out=gates)
        return gates.view(time, batch, columns)


def without_graph(
    inputs: Tensor, hidden: Tensor, cell: Tensor, weights: CastWeights, mask: Tensor | None
) -> tuple[Tensor, Tensor, Tensor]:
    """Compute the same as `LSTMFunction`, and keep nothing for a backward pass."""
    time, batch, _ = inputs.shape
    inputs = inputs.contiguous()
    outputs = inputs.new_empty(time + 1, batch, hidden.shape[1])
    outputs[0] = hidden
    cells = weights.bias.new_empty(2, batch, hidden.shape[1])
    cells[0] = cell
    weight = weights.step(weights.recurrent(mask), mask, batch)
    block = max(BLOCK_ROWS // batch, 1)
    for first in range(0, time, block):
        gates = weights.gates(inputs[first : first + block], reuse=True)
        part = outputs[first : first + len(gates) + 1]
        _steps(gates, part, cells, weights.bias, weight, first, keeps=False)
    return outputs[1:], outputs[time].clone(), cells[time % 2].clone()


def _steps(
    gates: Tensor,
    outputs: Tensor,
    cells: Tensor,
    bias: Tensor,
    weight: StepWeight,
    first: int = 0,
    *,
    keeps: bool,
) -> None:
    """Fill `outputs` and `cells` as `fused_steps.forward_steps` does."""
    if isinstance(weight, FusedWeight):
        fused_steps.forward_steps(gates, outputs, cells, bias, weight, first=first, keeps=keeps)
        return
    time, batch, units = len(gates), gates.shape[1], outputs.shape[2]
    step, threads = kernels()[gates.dtype].cell_forward, torch.get_num_threads()
    for now in range(time):
        recurrent_part = weight(outputs[now])
        step(
            batch,
            units,
            gates[now].data_ptr(),
            recurrent_part.data_ptr(),
            bias.data_ptr(),
            cells[(first + now) % len(cells)].data_ptr(),
            cells[(first + now + 1) % len(cells)].data_ptr(),
            outputs[now + 1].data_ptr(),
            threads,
        )


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
        weights: CastWeights,
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Map inputs (T, B, I), hidden and cell (B, H) to outputs (T, B, H) and the last two (B, H).

        `weights` are the same as those before, ready to use.
        """
        time, batch, _ = inputs.shape
        units = hidden.shape[1]
        inputs = inputs.contiguous()
        recurrent = weights.recurrent(mask)
        gates = weights.gates(inputs)
        outputs = inputs.new_empty(time + 1, batch, units)
        cells = weights.bias.new_empty(time + 1, batch, units)
        outputs[0], cells[0] = hidden, cell
        _steps(gates, outputs, cells, weights.bias, weights.step(recurrent, mask, batch), keeps=True)
        # The weight itself is saved, so that torch notices if it is changed before the backward pass.
        ctx.save_for_backward(inputs, outputs, cells, gates, recurrent, mask, recurrent_weight)
        ctx.weights = weights
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
        inputs, outputs, cells, gates, recurrent, mask, _ = ctx.saved_tensors
        weights: CastWeights = ctx.weights
        needs = ctx.needs_input_grad
        time, batch, units = outputs.shape[0] - 1, outputs.shape[1], outputs.shape[2]
        d_outputs = outputs.new_zeros(time, batch, units) if d_outputs is None else d_outputs.contiguous()
        d_hidden = outputs.new_zeros(batch, units) if d_hidden is None else d_hidden
        d_cell = cells.new_zeros(batch, units) if d_cell is None else d_cell
        weight = weights.step(recurrent, mask, batch, back=True)
        d_hidden, d_cell, d_bias = _steps_back(gates, cells, d_outputs, d_hidden, d_cell, weight, needs[1])
        d_gates = gates.flatten(0, 1)
        d_inputs = None
        if needs[0]:
            d_inputs = weights.inputs_back(len(d_gates))(d_gates).view_as(inputs)
        dtype, of_steps = cells.dtype, outputs[:-1].flatten(0, 1)
        d_input_weight = _weight_gradient(d_gates, inputs.flatten(0, 1), None, dtype) if needs[3] else None
        d_recurrent = _weight_gradient(d_gates, of_steps, mask, dtype) if needs[4] else None
        return d_inputs, d_hidden, d_cell, d_input_weight, d_recurrent, None, d_bias, d_bias, None


def _steps_back(
    gates: Tensor,
    cells: Tensor,
    d_outputs: Tensor,
    d_hidden: Tensor,
    d_cell: Tensor,
    weight: StepWeight,
    wants_first: bool,
) -> tuple[Tensor, Tensor, Tensor]:
    """Replace what was kept in `gates` (T, B, 4H) by gradients; return those of the first state and the bias.

    Given are the gradients of the outputs (T, B, H) and the last state, (B, H) each. That of the first hidden
    state is right only where it is wanted; the bias has one of (4H).
    """
    time, batch, units = d_outputs.shape
    d_cell = d_cell.clone(memory_format=torch.contiguous_format)
    if isinstance(weight, FusedWeight):
        d_hidden = d_hidden.clone(memory_format=torch.contiguous_format)
        d_bias = cells.new_zeros(4 * units)
        fused_steps.backward_steps(
            gates, cells, d_outputs, d_hidden, d_cell, d_bias, weight, wants_first=wants_first
        )
        return d_hidden, d_cell, d_bias
    d_hidden = d_hidden.contiguous()
    step, threads = kernels()[gates.dtype].cell_backward, torch.get_num_threads()
    d_biases = cells.new_zeros(threads, 4 * units)
    for now in reversed(range(time)):
        step(
            batch,
            units,
            gates[now].data_ptr(),
            cells[now].data_ptr(),
            cells[now + 1].data_ptr(),
            d_outputs[now].data_ptr(),
            d_hidden.data_ptr(),
            d_cell.data_ptr(),
            d_biases.data_ptr(),
            threads,
        )
        if now or wants_first:
            d_hidden = weight(gates[now])
    return d_hidden, d_cell, d_biases.sum(0)


def _weight_gradient(d_gates: Tensor, left: Tensor, mask: Tensor | None, dtype: torch.dtype) -> Tensor:
    """Return the gradient (4H, K) of a weight under a mask that maps `left` (T * B, K) to gates (T * B, 4H).

    In bf16 oneDNN takes twice as long for a left side that is transposed without having been copied. Of the
    two sides `left` is the smaller one to copy, and the result has to be turned round then.
    """
    if fused_steps.available(left.dtype):
        return fused_steps.weight_gradient(d_gates, left, mask).to(dtype)
    if left.dtype != torch.bfloat16:
        gradient = torch.mm(d_gates.t(), left).to(dtype)
    else:
        gradient = torch.mm(left.t().contiguous(), d_gates).t().contiguous().to(dtype)
    return gradient if mask is None else gradient.mul_(mask)
