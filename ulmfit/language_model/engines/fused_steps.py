"""Time steps and weight gradients of an LSTM by the kernels of `amx_*.cpp`: bf16 with AMX.

Shapes: T tokens of a chunk, B batch, H units, K units or inputs.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from ulmfit.language_model.engines.compiled import (
    FusedKernels,
    fused_kernels,
    kernels_or_none,
    large_empty,
)

BLOCK, TILE_COLUMNS, TILE_ROWS = 16, 32, 16


class FusedWeight:
    """A recurrent weight (4H, H) under a mask or none, in bf16, packed for the steps in one direction."""

    def __init__(self, recurrent: Tensor, mask: Tensor | None, *, back: bool) -> None:
        self.units = recurrent.shape[1]
        blocks, columns = -(-self.units // BLOCK), -(-self.units // TILE_COLUMNS)
        self.depth = 2 * blocks if back else columns
        rows = -(-blocks // 2) * 2 if back else 4 * blocks
        self.packed = large_empty(recurrent, rows * self.depth, TILE_COLUMNS * BLOCK, dtype=torch.bfloat16)
        pack = _kernels().pack_backward if back else _kernels().pack_forward
        _call(pack, self.units, _plain(recurrent), _plain(mask), self.packed)

    def left_sides(self, batch: int) -> Tensor:
        """Return the working space of a product, for two steps in turn; what is not written must be zero."""
        tiles = 2 * -(-batch // TILE_ROWS) * self.depth
        return self.packed.new_zeros(tiles, TILE_ROWS * TILE_COLUMNS)


def available(dtype: torch.dtype) -> bool:
    """Return whether steps can be fused here for activations of this type."""
    if dtype != torch.bfloat16 or kernels_or_none() is None:
        return False
    return fused_kernels() is not None


def forward_steps(
    gates: Tensor,
    outputs: Tensor,
    cells: Tensor,
    bias: Tensor,
    weight: FusedWeight,
    *,
    first: int = 0,
    keeps: bool,
) -> None:
    """Fill `outputs` (T + 1, B, H) and the cells, both from an entry before the first step on.

    The entries of `cells` (N, B, H) are used in turn, beginning with number `first`. `gates` (T, B, 4H), the
    inputs' part, receive the sums before activation where a backward pass `keeps` them.
    """
    time, batch, _ = gates.shape
    state = (outputs, keeps, weight.left_sides(batch))
    weights = (weight.packed, bias)
    _call(_kernels().forward, time, batch, weight.units, gates, *weights, cells, len(cells), first, *state)


def backward_steps(
    gates: Tensor,
    cells: Tensor,
    d_outputs: Tensor,
    d_hidden: Tensor,
    d_cell: Tensor,
    d_bias: Tensor,
    weight: FusedWeight,
    *,
    wants_first: bool,
) -> None:
    """Replace the sums in `gates` (T, B, 4H) by their gradients, and add these to `d_bias` (4H).

    `cells` (T + 1, B, H) are those of all steps. `d_hidden` and `d_cell` (B, H), gradients of the last state,
    become those of the first one; `d_hidden` only where it is wanted.
    """
    time, batch, _ = gates.shape
    gradients = (d_outputs, d_hidden, d_cell, d_bias)
    left = weight.left_sides(batch)
    kernel = _kernels().backward
    _call(kernel, time, batch, weight.units, gates, weight.packed, cells, *gradients, wants_first, left)


def weight_gradient(d_gates: Tensor, left: Tensor, mask: Tensor | None) -> Tensor:
    """Return the gradient (4H, K) in fp32 of a weight under a mask that maps `left` (T * B, K) to gates.

    `d_gates` (T * B, 4H) are the gates' gradients.
    """
    rows, columns, width = len(d_gates), d_gates.shape[1], left.shape[1]
    if not rows:
        return torch.zeros(columns, width)
    size = _kernels().weight_gradient_space(rows, width, torch.get_num_threads())
    space, result = large_empty(d_gates, size // 2), torch.empty(columns, width)
    _call(_kernels().weight_gradient, rows, columns, width, d_gates, left, _plain(mask), result, space)
    return result


def _plain(tensor: Tensor | None) -> Tensor | None:
    return None if tensor is None else tensor.float().contiguous()


def _call(kernel: Callable[..., None], *arguments: Tensor | int | None) -> None:
    """Call a kernel with the addresses of tensors, which stay alive until it returns, and the threads."""
    addresses = (one.data_ptr() if isinstance(one, Tensor) else one for one in arguments)
    kernel(*addresses, torch.get_num_threads())


def _kernels() -> FusedKernels:
    found = fused_kernels()
    assert found is not None, "asked for only where they are available"
    return found
