"""The recurrence of a QRNN, fo-pooling (Bradbury et al. 2016, section 2), and its choice of engine.

Everything is computed in the cell's type (fp32, in tests float64), whatever the type of the gates.
Shapes: T tokens of a chunk, B batch, H units. The gates (T, B, 3H) are sums before tanh and sigmoid:
candidate z, input gate i = 1 - f, output gate o.
"""

from __future__ import annotations

from functools import cache
from importlib.util import find_spec
from math import isqrt
from typing import Any, Literal

import torch
from torch import Tensor


def fo_pooling(
    gates: Tensor, cell: Tensor, updated: Tensor | None, engine: Literal["fast", "plain"]
) -> tuple[Tensor, Tensor]:
    """Map gates (T, B, 3H) and the cell (1, B, H) to outputs (T, B, H) and the new cell.

    `updated` (T, B, H) is 0 where zoneout keeps the cell, elsewhere 1; None: no zoneout. `plain` goes step by
    step; `fast` is a Triton kernel on CUDA and a scan by segments elsewhere.
    """
    if engine == "plain":
        return stepwise(gates, cell, updated)
    if gates.is_cuda and cell.dtype == torch.float32 and has_triton():
        from ulmfit.language_model.engines.forget_mult_triton import TritonPooling

        return TritonPooling.apply(gates, cell, updated)
    return SegmentPooling.apply(gates, cell, updated)


@cache
def has_triton() -> bool:
    """Return whether the compiler of the CUDA kernel is installed."""
    return find_spec("triton") is not None


def stepwise(gates: Tensor, cell: Tensor, updated: Tensor | None) -> tuple[Tensor, Tensor]:
    """The same as `fo_pooling`, one token after the other: the definition, and the reference in tests."""
    candidate, update, output = activated(gates, cell.dtype, updated)
    cells = []
    for candidate_now, update_now in zip(candidate, update, strict=True):
        cell = (1 - update_now) * cell + update_now * candidate_now
        cells.append(cell)
    return (output * torch.cat(cells)).to(gates.dtype), cell


def activated(gates: Tensor, dtype: torch.dtype, updated: Tensor | None) -> tuple[Tensor, Tensor, Tensor]:
    """Return candidate, input gate after zoneout, and output gate, each (T, B, H)."""
    candidate, update, output = gates.to(dtype).chunk(3, dim=2)
    update = update.sigmoid()
    return candidate.tanh(), update if updated is None else update * updated, output.sigmoid()


def scan_(decay: Tensor, values: Tensor, first: Tensor) -> Tensor:
    """Replace `values` by c_t = decay_t c_{t-1} + values_t with c_0 = `first`, and return them.

    All (T, B, H) but `first` (B, H). The T tokens are cut into about sqrt(T) segments that go in parallel, so
    there are about 4 sqrt(T) operations instead of T. With decays from 0 to 1 nothing can overflow: products
    of them only shrink, and no number is divided.
    """
    length = isqrt(len(values))
    segments = len(values) // length
    shape = (segments, length, *values.shape[1:])
    inner, shrunk = values[: segments * length].view(shape), decay[: segments * length].view(shape)
    whole = torch.empty_like(shrunk)
    whole[:, 0] = shrunk[:, 0]
    for step in range(1, length):
        inner[:, step].addcmul_(shrunk[:, step], inner[:, step - 1])
        torch.mul(shrunk[:, step], whole[:, step - 1], out=whole[:, step])
    carried = first
    for segment in range(segments):
        inner[segment].addcmul_(whole[segment], carried)
        carried = inner[segment, -1]
    for step in range(segments * length, len(values)):
        carried = values[step].addcmul_(decay[step], carried)
    return values


class SegmentPooling(torch.autograd.Function):
    """fo-pooling by segments in plain torch; the backward pass is the same scan from the end."""

    @staticmethod
    def forward(ctx: Any, gates: Tensor, cell: Tensor, updated: Tensor | None) -> tuple[Tensor, Tensor]:
        candidate, update, output = activated(gates, cell.dtype, updated)
        cells = scan_(1 - update, update * candidate, cell[0])
        ctx.save_for_backward(gates, cell, updated, cells)
        return (output * cells).to(gates.dtype), cells[-1:].clone()

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, Tensor, None]:
        outputs_gradient, cell_gradient = gradients
        gates, cell, updated, cells = ctx.saved_tensors
        candidate, update, output = activated(gates, cell.dtype, updated)
        before = torch.cat([cell, cells[:-1]])
        arriving = outputs_gradient.to(cell.dtype)
        decay = 1 - update
        # The gradient of c_t is what comes from h_t plus f_{t+1} times the gradient of c_{t+1}.
        of_cells = (arriving * output).flip(0)
        later = torch.cat([torch.ones_like(cell), decay[1:].flip(0)])
        of_cells = scan_(later, of_cells, cell_gradient[0]).flip(0)
        gates_gradient = torch.cat(
            [
                of_cells * update * (1 - candidate.square()),
                of_cells * (candidate - before) * update * _sigmoid_slope(gates, update, updated),
                arriving * cells * output * (1 - output),
            ],
            dim=2,
        )
        return gates_gradient.to(gates.dtype), (decay[0] * of_cells[0])[None], None


def _sigmoid_slope(gates: Tensor, update: Tensor, updated: Tensor | None) -> Tensor:
    """Return 1 - sigmoid of the input gate's sum, (T, B, H)."""
    if updated is None:
        return 1 - update
    return 1 - gates.chunk(3, dim=2)[1].to(update.dtype).sigmoid()
