"""Softmax cross-entropy on CUDA: loss and gradient of a row of logits in one Triton program.

Shapes: N rows of logits, V vocabulary. Arithmetic is in fp32, whatever the type of the logits.
"""

from __future__ import annotations

import torch
import triton
import triton.language as tl
from torch import Tensor

COLUMNS = 4096
"""Logits that a program holds at once; the second pass over a row finds it in the cache."""


@triton.jit
def _row(
    logits,
    bias,
    targets,
    losses,
    vocabulary,
    smoothing,
    scale,
    GRADIENT: tl.constexpr,
    COLUMNS: tl.constexpr,
):
    row = tl.program_id(0).to(tl.int64)
    logits += row * vocabulary
    target = tl.load(targets + row)
    column = tl.arange(0, COLUMNS)
    largest = tl.full((COLUMNS,), float("-inf"), tl.float32)
    total = tl.zeros((COLUMNS,), tl.float32)
    plain = tl.zeros((COLUMNS,), tl.float32)
    for start in range(0, vocabulary, COLUMNS):
        inside = start + column < vocabulary
        value = tl.load(logits + start + column, mask=inside, other=float("-inf")).to(tl.float32)
        value += tl.load(bias + start + column, mask=inside, other=0.0)
        # Every lane keeps its own maximum, and its sum relative to that.
        now = tl.maximum(largest, value)
        total = tl.where(inside, total * tl.exp(largest - now) + tl.exp(value - now), total)
        plain += tl.where(inside, value, 0.0)
        largest = tl.where(inside, now, largest)
    top = tl.max(largest, 0)
    whole = tl.sum(total * tl.exp(largest - top), 0)
    logarithm = top + tl.log(whole)
    right = tl.load(logits + target).to(tl.float32) + tl.load(bias + target)
    mean = tl.sum(plain, 0) / vocabulary
    tl.store(losses + row, logarithm - (1 - smoothing) * right - smoothing * mean)
    if GRADIENT:
        for start in range(0, vocabulary, COLUMNS):
            inside = start + column < vocabulary
            value = tl.load(logits + start + column, mask=inside, other=0.0).to(tl.float32)
            value += tl.load(bias + start + column, mask=inside, other=0.0)
            gradient = tl.exp(value - logarithm) - smoothing / vocabulary
            gradient -= tl.where(start + column == target, 1 - smoothing, 0.0)
            kind = logits.dtype.element_ty
            tl.store(logits + start + column, (scale * gradient).to(kind), mask=inside)


def cross_entropy(
    logits: Tensor,
    bias: Tensor,
    targets: Tensor,
    smoothing: float,
    scale: float,
    bias_gradient: Tensor | None,
) -> Tensor:
    """Return the loss (N,) of each row of logits (N, V) + bias (V,) against targets (N,), in nats.

    With `bias_gradient` (V,), to which its sum over rows is added, the logits are overwritten by the gradient
    of `scale` times the sum of the losses.
    """
    losses = bias.new_empty(len(logits))
    _row[(len(logits),)](
        logits,
        bias,
        targets,
        losses,
        logits.shape[1],
        float(smoothing),
        float(scale),
        GRADIENT=bias_gradient is not None,
        COLUMNS=COLUMNS,
        num_warps=8,
    )
    if bias_gradient is not None:
        bias_gradient += logits.sum(0, dtype=torch.float32)
    return losses
