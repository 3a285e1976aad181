"""The random masks of AWD-LSTM's dropouts, drawn once per chunk, whichever engine computes it.

Shapes: B batch, V vocabulary, E embedding, H units of a layer, L layers.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import prod

import torch
from torch import Tensor


@dataclass(frozen=True)
class Masks:
    """One draw of the encoder's dropouts: zeros, and elsewhere 1 / (1 - probability); None: no dropout."""

    embedding: Tensor | None
    """(V, 1): whole words (section 4.3)."""
    input: Tensor | None
    """(1, B, E): one mask for all time steps (section 4.2)."""
    hidden: tuple[Tensor | None, ...]
    """L times (1, B, H): on the outputs of every layer but the last, whose entry is None."""
    weight: tuple[Tensor | None, ...]
    """L times the shape of the layer's dropped weight (DropConnect, section 2)."""


def no_masks(layers: int) -> Masks:
    """Return the masks of evaluation: no dropout."""
    return Masks(None, None, (None,) * layers, (None,) * layers)


def dropout_mask(like: Tensor, shape: tuple[int, ...], probability: float) -> Tensor | None:
    """Return zeros with `probability`, elsewhere 1 / (1 - probability); None when it is 0.

    On the CPU one draw of 64 bits decides on four elements, which is several times faster than `bernoulli_`;
    the share of zeros is the probability rounded to a multiple of 2^-16.
    """
    if probability == 0:
        return None
    if like.device.type != "cpu":
        return like.new_empty(shape).bernoulli_(1 - probability).div_(1 - probability)
    size = prod(shape)
    draws = torch.empty(-(-size // 4), dtype=torch.int64).random_(torch.iinfo(torch.int64).min, None)
    threshold = min(round(probability * 2**16), 2**16 - 1) - 2**15
    kept = draws.view(torch.int16)[:size] >= threshold
    return kept.to(like.dtype).div_(1 - probability).view(shape)


def applied(mask: Tensor | None, tensor: Tensor) -> Tensor:
    """Return `tensor` times `mask`, in the tensor's type; without a mask the tensor itself.

    The product is rounded, not the mask: in bf16 1 / (1 - probability) would be off by as much as 0.4%.
    """
    return tensor if mask is None else (tensor * mask).to(tensor.dtype)
