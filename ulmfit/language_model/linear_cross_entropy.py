"""The last linear layer and the cross-entropy in one, without ever holding all logits.

Shapes: N tokens, E embedding, V vocabulary. Products are computed in the type of the hidden states, the
softmax and the loss in fp32 (float64 for float64 weights).

torch 2.13 has a `linear_cross_entropy` of its own, which takes a sixth longer on the CPU in bf16 and a
quarter in fp32, rounds the loss itself to bf16, and is missing from 2.11: ours is used everywhere.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, Literal

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from ulmfit.language_model.engines.compiled import kernels_or_none, large_empty
from ulmfit.language_model.engines.forget_mult import has_triton

Engine = Literal["fast", "plain"]

BYTES_OF_LOGITS = 64 << 20
"""Bytes of the logits of a chunk: small enough for memory, enough rows for products at full speed."""


def linear_cross_entropy(
    hidden: Tensor,
    weight: Tensor,
    bias: Tensor,
    targets: Tensor,
    *,
    label_smoothing: float = 0.0,
    engine: Engine = "fast",
) -> Tensor:
    """Return the mean cross-entropy, in nats, of `hidden @ weight.T + bias` against targets, a scalar.

    hidden is (N, E), weight (V, E), bias (V,), targets (N,). The gradient is formed in the forward pass,
    while the chunk's logits are in memory; each gradient has the type of its tensor.
    With label smoothing s, a share s of every target is spread over all V classes, as in torch. `plain`
    computes in torch; `fast` in a kernel, compiled on the CPU and of Triton on CUDA, where there is one.
    """
    return LinearCrossEntropy.apply(hidden, weight, bias, targets, label_smoothing, engine)


def token_losses(
    hidden: Tensor, weight: Tensor, bias: Tensor, targets: Tensor, *, engine: Engine = "fast"
) -> Tensor:
    """Return the cross-entropy (N,) of each token, in nats and without gradients; shapes as above."""
    losses = bias.new_empty(len(hidden))
    with torch.no_grad():
        weight = weight.to(hidden.dtype)
        for rows, logits in _chunks(hidden, weight, engine):
            losses[rows] = _losses(logits, bias, targets[rows], engine)
    return losses


class LinearCrossEntropy(torch.autograd.Function):
    """Forms the gradient of a mean loss in the forward pass; `backward` scales it."""

    @staticmethod
    def forward(
        ctx: Any,
        hidden: Tensor,
        weight: Tensor,
        bias: Tensor,
        targets: Tensor,
        label_smoothing: float,
        engine: Engine,
    ) -> Tensor:
        """Return the mean loss; the gradients of hidden, weight and bias wait in `ctx`."""
        needs_hidden, needs_weight, needs_bias = ctx.needs_input_grad[:3]
        if not (needs_hidden or needs_weight or needs_bias):
            return _mean_loss(hidden, weight, bias, targets, label_smoothing, engine)
        own = weight.to(hidden.dtype)
        d_hidden = torch.empty_like(hidden) if needs_hidden else None
        d_weight = None
        d_bias = torch.zeros_like(bias)
        total = bias.new_zeros(())
        for rows, logits in _chunks(hidden, own, engine):
            losses = _losses(logits, bias, targets[rows], engine, label_smoothing, 1 / len(hidden), d_bias)
            total += losses.sum()
            if d_hidden is not None:
                torch.mm(logits, own, out=d_hidden[rows])
            if needs_weight:
                if d_weight is None:
                    d_weight = torch.mm(logits.t(), hidden[rows]).to(weight.dtype)
                elif own.dtype == weight.dtype:
                    d_weight.addmm_(logits.t(), hidden[rows])
                else:  # summed in fp32, whatever the products' type
                    d_weight += torch.mm(logits.t(), hidden[rows])
        ctx.save_for_backward(d_hidden, d_weight, d_bias if needs_bias else None)
        return total / len(hidden)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        """Return the gradients of hidden, weight and bias."""
        parts = ctx.saved_tensors
        if gradient.device.type != "cpu" or gradient.item() != 1:  # a GPU would have to wait here
            parts = [None if part is None else part * gradient.to(part.dtype) for part in parts]
        return (*parts, None, None, None)


def _mean_loss(
    hidden: Tensor, weight: Tensor, bias: Tensor, targets: Tensor, label_smoothing: float, engine: Engine
) -> Tensor:
    """Return the mean loss without forming gradients; shapes as above."""
    total, own = bias.new_zeros(()), weight.to(hidden.dtype)
    for rows, logits in _chunks(hidden, own, engine):
        total += _losses(logits, bias, targets[rows], engine, label_smoothing).sum()
    return total / len(hidden)


def _chunks(hidden: Tensor, weight: Tensor, engine: Engine) -> Iterator[tuple[slice, Tensor]]:
    """Yield the rows of a chunk and their logits without bias, in memory that the next chunk uses again."""
    rows = max(64, BYTES_OF_LOGITS // (len(weight) * hidden.element_size()))
    parts = max(1, -(-len(hidden) // rows))
    rows = max(1, -(-len(hidden) // parts))
    space = large_empty(hidden, min(rows, len(hidden)), len(weight))
    for start in range(0, len(hidden), rows):
        part = hidden[start : start + rows]
        yield slice(start, start + rows), torch.mm(part, weight.t(), out=space[: len(part)])


def _kernel(logits: Tensor, engine: Engine) -> Callable[..., Tensor] | None:
    """Return a faster function than `_losses` with the same result, or None if there is none."""
    if engine == "plain":
        return None
    if logits.device.type == "cpu":
        compiled = kernels_or_none()
        return None if compiled is None else compiled[logits.dtype].cross_entropy
    if logits.is_cuda and logits.dtype != torch.float64 and has_triton():
        from ulmfit.language_model.engines.triton_cross_entropy import cross_entropy

        return cross_entropy
    return None


def _losses(
    logits: Tensor,
    bias: Tensor,
    targets: Tensor,
    engine: Engine,
    smoothing: float = 0.0,
    scale: float = 1.0,
    d_bias: Tensor | None = None,
) -> Tensor:
    """Return the losses (n,) of logits (n, V) + bias.

    With `d_bias` the logits are replaced by the gradient of `scale` times the losses' sum, and `d_bias`
    gets that of the bias.
    """
    kernel = _kernel(logits, engine)
    if kernel is not None:
        return kernel(logits, bias, targets, smoothing, scale, d_bias)
    values = logits.to(bias.dtype) + bias
    logarithms = values.log_softmax(1)
    own = logarithms.gather(1, targets[:, None]).squeeze(1)
    losses = -(1 - smoothing) * own - smoothing * logarithms.mean(1)
    if d_bias is not None:
        gradient = logarithms.exp_().sub_(smoothing / logits.shape[1])
        gradient.scatter_add_(1, targets[:, None], gradient.new_full((len(targets), 1), smoothing - 1))
        gradient *= scale
        logits.copy_(gradient)
        d_bias += gradient.sum(0)
    return losses
