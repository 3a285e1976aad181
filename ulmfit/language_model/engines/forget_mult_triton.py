"""fo-pooling of a QRNN as two Triton kernels: one pass over memory each way, fp32 accumulators in registers.

Shapes: T tokens of a chunk, B batch, H units; a program walks through the T tokens of some of the B x H
channels, which do not depend on one another.
"""

from __future__ import annotations

from typing import Any

import torch
import triton
import triton.language as tl
from torch import Tensor

CHANNELS = 128
"""Channels per program; with the papers' sizes there are still several programs per multiprocessor."""


@triton.jit
def _tanh(x):
    return 2 * tl.sigmoid(2 * x) - 1


@triton.jit
def _gates(gates, place, units, inside):
    candidate = tl.load(gates + place, mask=inside, other=0.0).to(tl.float32)
    update = tl.load(gates + place + units, mask=inside, other=0.0).to(tl.float32)
    output = tl.load(gates + place + 2 * units, mask=inside, other=0.0).to(tl.float32)
    return candidate, update, output


@triton.jit(do_not_specialize=["tokens"])
def _forward(
    gates,
    cell,
    updated,
    outputs,
    cells,
    tokens,
    batch,
    units,
    HAS_UPDATED: tl.constexpr,
    CHANNELS: tl.constexpr,
):
    channels = batch * units
    channel = tl.program_id(0) * CHANNELS + tl.arange(0, CHANNELS)
    inside = channel < channels
    # T x B x 3H may exceed 32 bits.
    here = channel.to(tl.int64)
    first = (channel // units).to(tl.int64) * 3 * units + channel % units
    current = tl.load(cell + channel, mask=inside, other=0.0).to(tl.float32)
    tl.store(cells + here, current, mask=inside)
    candidate, update, output = _gates(gates, first, units, inside)
    for step in range(tokens):
        # Prefetch: load the gates of the next token before storing this token's results, to hide latency.
        following = first + tl.minimum(step + 1, tokens - 1).to(tl.int64) * 3 * channels
        next_candidate, next_update, next_output = _gates(gates, following, units, inside)
        update = tl.sigmoid(update)
        if HAS_UPDATED:
            update = update * tl.load(updated + here, mask=inside, other=0.0).to(tl.float32)
        current = (1 - update) * current + update * _tanh(candidate)
        tl.store(cells + here + channels, current, mask=inside)
        tl.store(outputs + here, (tl.sigmoid(output) * current).to(outputs.dtype.element_ty), mask=inside)
        candidate, update, output = next_candidate, next_update, next_output
        here += channels


@triton.jit(do_not_specialize=["tokens"])
def _backward(
    gates,
    updated,
    cells,
    outputs_gradient,
    cell_gradient,
    gates_gradient,
    first_gradient,
    tokens,
    batch,
    units,
    HAS_UPDATED: tl.constexpr,
    CHANNELS: tl.constexpr,
):
    channels = batch * units
    channel = tl.program_id(0) * CHANNELS + tl.arange(0, CHANNELS)
    inside = channel < channels
    first = (channel // units).to(tl.int64) * 3 * units + channel % units
    current = tl.load(cells + tokens.to(tl.int64) * channels + channel, mask=inside, other=0.0)
    # The gradient of c_t that comes from the tokens after t.
    later = tl.load(cell_gradient + channel, mask=inside, other=0.0).to(tl.float32)
    for step in range(tokens):
        token = (tokens - 1 - step).to(tl.int64)
        here, place = channel + token * channels, first + token * 3 * channels
        candidate, opened, output = _gates(gates, place, units, inside)
        arriving = tl.load(outputs_gradient + here, mask=inside, other=0.0).to(tl.float32)
        before = tl.load(cells + here, mask=inside, other=0.0)
        candidate, opened, output = _tanh(candidate), tl.sigmoid(opened), tl.sigmoid(output)
        update = opened
        if HAS_UPDATED:
            update = opened * tl.load(updated + here, mask=inside, other=0.0).to(tl.float32)
        of_cell = arriving * output + later
        of_candidate = of_cell * update * (1 - candidate * candidate)
        of_update = of_cell * (candidate - before) * update * (1 - opened)
        of_output = arriving * current * output * (1 - output)
        kind = gates_gradient.dtype.element_ty
        tl.store(gates_gradient + place, of_candidate.to(kind), mask=inside)
        tl.store(gates_gradient + place + units, of_update.to(kind), mask=inside)
        tl.store(gates_gradient + place + 2 * units, of_output.to(kind), mask=inside)
        later = (1 - update) * of_cell
        current = before
    tl.store(first_gradient + channel, later, mask=inside)


class TritonPooling(torch.autograd.Function):
    """fo-pooling on CUDA; takes gates of any type and an fp32 cell."""

    @staticmethod
    def forward(ctx: Any, gates: Tensor, cell: Tensor, updated: Tensor | None) -> tuple[Tensor, Tensor]:
        gates, cell = gates.contiguous(), cell.contiguous()
        tokens, batch, units = gates.shape[0], gates.shape[1], gates.shape[2] // 3
        outputs = gates.new_empty(tokens, batch, units)
        cells = cell.new_empty(tokens + 1, batch, units)
        _forward[_grid(cell)](
            gates,
            cell,
            gates if updated is None else updated,
            outputs,
            cells,
            tokens,
            batch,
            units,
            HAS_UPDATED=updated is not None,
            CHANNELS=CHANNELS,
        )
        ctx.save_for_backward(gates, updated, cells)
        return outputs, cells[-1:].clone()

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, Tensor, None]:
        gates, updated, cells = ctx.saved_tensors
        gates_gradient, first_gradient = torch.empty_like(gates), torch.empty_like(cells[:1])
        _backward[_grid(first_gradient)](
            gates,
            gates if updated is None else updated,
            cells,
            gradients[0].contiguous(),
            gradients[1].contiguous(),
            gates_gradient,
            first_gradient,
            cells.shape[0] - 1,
            cells.shape[1],
            cells.shape[2],
            HAS_UPDATED=updated is not None,
            CHANNELS=CHANNELS,
        )
        return gates_gradient, first_gradient, None


def _grid(cell: Tensor) -> tuple[int]:
    return (triton.cdiv(cell.numel(), CHANNELS),)
