"""Time steps and weight gradients of an LSTM by the kernels of `amx_*.cpp`: bf16 with AMX.

Shapes: T tokens of a chunk, B batch, H units, K units or inputs.
"""

from __future__ import annotations

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
        weight = recurrent.float().contiguous()
        mask = None if mask is None else mask.float().contiguous()
        mask_at = None if mask is None else mask.data_ptr()
        pack(self.units, weight.data_ptr(), mask_at, self.packed.data_ptr(), torch.get_num_threads())

    def left_sides(self, batch: int) -> Tensor:
        """Return the working space of a product for two steps in turn; what is not written has to be zero."""
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
    left = weight.left_sides(batch)
    _kernels().forward(
        time,
        batch,
        weight.units,
        gates.data_ptr(),
        weight.packed.data_ptr(),
        bias.data_ptr(),
        cells.data_ptr(),
        len(cells),
        first,
        outputs.data_ptr(),
        keeps,
        left.data_ptr(),
        torch.get_num_threads(),
    )


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
    left = weight.left_sides(batch)
    _kernels().backward(
        time,
        batch,
        weight.units,
        gates.data_ptr(),
        weight.packed.data_ptr(),
        cells.data_ptr(),
        d_outputs.data_ptr(),
        d_hidden.data_ptr(),
        d_cell.data_ptr(),
        d_bias.data_ptr(),
        wants_first,
        left.data_ptr(),
        torch.get_num_threads(),
    )


def weight_gradient(d_gates: Tensor, left: Tensor, mask: Tensor | None) -> Tensor:
    """Return the gradient (4H, K) in fp32 of a weight under a mask that maps `left` (T * B, K) to gates.

    `d_gates` (T * B, 4H) are the gates' gradients.
    """
    rows, columns, width = len(d_gates), d_gates.shape[1], left.shape[1]
    if not rows:
        return torch.zeros(columns, width)
    threads = torch.get_num_threads()
    result = torch.empty(columns, width)
    space = large_empty(d_gates, _kernels().weight_gradient_space(rows, width, threads) // 2)
    mask = None if mask is None else mask.float().contiguous()
    _kernels().weight_gradient(
        rows,
        columns,
        width,
        d_gates.data_ptr(),
        left.data_ptr(),
        None if mask is None else mask.data_ptr(),
        result.data_ptr(),
        space.data_ptr(),
        threads,
    )
    return result


def _kernels() -> FusedKernels:
    found = fused_kernels()
    assert found is not None, "asked for only where they are available"
    return found
