"""An LSTM layer on cuDNN, whose masked weights are written once per chunk, in the layout that cuDNN needs.

torch's own LSTM module packs its weights at every call when they are not its parameters, as dropped weights
never are. Here every chunk gets a flat buffer of its own, so that several chunks can be alive before one
backward pass, as in a classifier.

Rounding in bf16: cuDNN takes and returns the cell state in the inputs' type, so it is rounded at the borders
of chunks. How cuDNN keeps it between the tokens of a chunk is not documented; sums are in fp32.
In fp32 cuDNN computes products in TF32 unless `torch.backends.cudnn.allow_tf32` is off.

Shapes: T tokens of a chunk, B batch, I inputs, H units.
"""

from __future__ import annotations

from functools import cache
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from ulmfit.language_model.engines.forget_mult import has_triton

LSTM_MODE = 2
"""cuDNN's number for an LSTM."""
WEIGHTS = 4
"""Tensors of a layer: input weight, recurrent weight and their biases."""


class Layout(NamedTuple):
    """Where the tensors of a layer lie in the flat buffer."""

    size: int
    offsets: tuple[int, ...]
    shapes: tuple[tuple[int, ...], ...]


@cache
def layout(inputs: int, units: int, dtype: torch.dtype, device: torch.device) -> Layout:
    """Return cuDNN's layout for a layer (on the CPU: one tensor after the other)."""
    shapes = ((4 * units, inputs), (4 * units, units), (4 * units,), (4 * units,))
    weights = [torch.zeros(shape, dtype=dtype, device=device) for shape in shapes]
    if device.type != "cuda":
        sizes = [weight.numel() for weight in weights]
        return Layout(sum(sizes), tuple(sum(sizes[:number]) for number in range(WEIGHTS)), shapes)
    with torch.no_grad():
        flat = torch._cudnn_rnn_flatten_weight(weights, WEIGHTS, inputs, LSTM_MODE, units, 0, 1, False, False)
    return Layout(flat.numel(), tuple(int(weight.storage_offset()) for weight in weights), shapes)


def lstm_function(dtype: torch.dtype, device: torch.device) -> type[torch.autograd.Function] | None:
    """Return what computes a layer on CUDA: cuDNN if it can, else steps with Triton, else None."""
    if usable(dtype, device):
        return CudnnLSTM
    if has_triton() and dtype != torch.float64:
        from ulmfit.language_model.engines.triton_lstm import TritonLSTM

        return TritonLSTM
    return None


@cache
def usable(dtype: torch.dtype, device: torch.device) -> bool:
    """Return whether cuDNN goes forward and backward in `dtype` here: bf16 needs version 9.13."""
    if not torch.backends.cudnn.is_available():
        return False
    try:
        inputs, state = (torch.zeros(2, 1, 8, dtype=dtype, device=device) for _ in range(2))
        weights = [torch.zeros(shape, device=device) for shape in ((32, 8), (32, 8), (32,), (32,))]
        leaves = [tensor.requires_grad_() for tensor in (inputs, *weights)]
        with torch.enable_grad():
            outputs, _, _ = CudnnLSTM.apply(
                leaves[0], state[:1], state[:1].float(), leaves[1], leaves[2], None, leaves[3], leaves[4]
            )
            gradients = torch.autograd.grad(outputs.sum(), leaves)
        return all(bool(torch.isfinite(gradient).all()) for gradient in gradients)
    except RuntimeError:
        return False


class CudnnLSTM(torch.autograd.Function):
    """All time steps of one layer. On the CPU torch's LSTM takes cuDNN's place, for tests."""

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
        inputs, hidden = inputs.contiguous(), hidden.contiguous()
        start = cell.to(inputs.dtype).contiguous()
        place = layout(inputs.shape[2], hidden.shape[2], inputs.dtype, inputs.device)
        flat = inputs.new_empty(place.size)
        views = [
            flat[offset:].as_strided(shape, (shape[1], 1) if len(shape) == 2 else (1,))
            for offset, shape in zip(place.offsets, place.shapes, strict=True)
        ]
        for number, parameter in ((0, input_weight), (2, input_bias), (3, recurrent_bias)):
            views[number].copy_(parameter)
        if mask is None:
            views[1].copy_(recurrent_weight)
        else:
            torch.mul(recurrent_weight, mask, out=views[1])
        ctx.needs = tuple(ctx.needs_input_grad)
        ctx.set_materialize_grads(False)
        if not inputs.is_cuda:
            outputs, last, last_cell = _forward_for_tests(ctx, inputs, hidden, start, views, mask)
            return outputs, last, last_cell.to(cell.dtype)
        outputs, last, last_cell, reserve, flat = torch.ops.aten._cudnn_rnn(
            inputs,
            views,
            WEIGHTS,
            flat,
            hidden,
            start,
            LSTM_MODE,
            hidden.shape[2],
            0,
            1,
            False,
            0.0,
            any(ctx.needs),
            False,
            [],
            None,
        )
        ctx.save_for_backward(inputs, hidden, start, outputs, reserve, flat, mask, *views)
        return outputs, last, last_cell.to(cell.dtype)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *gradients: Tensor | None) -> tuple[Tensor | None, ...]:
        """Return the gradients of what `forward` took; those of parameters in fp32."""
        inputs, hidden, start, outputs, reserve, flat, mask, *views = ctx.saved_tensors
        of_outputs, of_hidden, of_cell = (
            None if gradient is None else gradient.to(inputs.dtype).contiguous() for gradient in gradients
        )
        of_weights = any(ctx.needs[3:])
        if not inputs.is_cuda:
            found = _backward_for_tests(ctx, (of_outputs, of_hidden, of_cell))
        else:
            of_inputs, of_first, of_start, weights = torch.ops.aten._cudnn_rnn_backward(
                inputs,
                views,
                WEIGHTS,
                flat,
                hidden,
                start,
                outputs,
                torch.zeros_like(outputs) if of_outputs is None else of_outputs,
                of_hidden,
                of_cell,
                LSTM_MODE,
                hidden.shape[2],
                0,
                1,
                False,
                0.0,
                True,
                False,
                [],
                None,
                reserve,
                (True, True, True, of_weights),
            )
            found = [of_inputs, of_first, of_start, *(weights if of_weights else [None] * WEIGHTS)]
        of_inputs, of_first, of_start, *weights = found
        assert of_start is not None
        master = torch.float64 if inputs.dtype == torch.float64 else torch.float32
        of_input, of_recurrent, of_bias, of_other = (
            None if gradient is None else gradient.to(master) for gradient in weights
        )
        if mask is not None and of_recurrent is not None:
            of_recurrent = of_recurrent * mask
        return of_inputs, of_first, of_start.to(master), of_input, of_recurrent, None, of_bias, of_other


def _forward_for_tests(
    ctx: Any, inputs: Tensor, hidden: Tensor, start: Tensor, views: list[Tensor], mask: Tensor | None
) -> tuple[Tensor, Tensor, Tensor]:
    """Run torch's LSTM and keep its graph."""
    with torch.enable_grad():
        leaves = [tensor.detach().requires_grad_() for tensor in (inputs, hidden, start, *views)]
        results = torch.lstm(leaves[0], (leaves[1], leaves[2]), leaves[3:], True, 1, 0.0, True, False, False)
    ctx.graph = leaves, results
    nothing = inputs.new_empty(0)
    ctx.save_for_backward(inputs, hidden, start, nothing, nothing, nothing, mask, *views)
    outputs, last, cell = (result.detach() for result in results)
    return outputs, last, cell


def _backward_for_tests(ctx: Any, gradients: tuple[Tensor | None, ...]) -> list[Tensor | None]:
    leaves, results = ctx.graph
    given = [
        (result, gradient)
        for result, gradient in zip(results, gradients, strict=True)
        if gradient is not None
    ]
    found = torch.autograd.grad([result for result, _ in given], leaves, [gradient for _, gradient in given])
    return [*found[:3], *(found[3:] if any(ctx.needs[3:]) else [None] * WEIGHTS)]
