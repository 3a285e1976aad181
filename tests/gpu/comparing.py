"""How far two computations of the same thing are apart, relative to the reference."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor


def error(value: Tensor, reference: Tensor) -> float:
    """Return the norm of the difference over the norm of the reference."""
    value, reference = value.detach().cpu().double(), reference.detach().cpu().double()
    return float((value - reference).norm() / reference.norm().clamp_min(1e-300))


def weighted_sum(tensors: Sequence[Tensor]) -> Tensor:
    """Return a scalar that depends on every number of the tensors, on each in another way."""
    total = torch.zeros((), dtype=torch.float64, device=tensors[0].device)
    for tensor in tensors:
        weights = torch.linspace(-1, 1, tensor.numel(), dtype=torch.float64, device=tensor.device)
        total = total + (tensor.double() * weights.view_as(tensor)).sum()
    return total


def assert_near(found: Sequence[Tensor], reference: Sequence[Tensor], limit: float) -> None:
    """Compare one by one."""
    for number, (value, expected) in enumerate(zip(found, reference, strict=True)):
        assert error(value, expected) < limit, number


def assert_as_exact(found: Sequence[Tensor], plain: Sequence[Tensor], exact: Sequence[Tensor]) -> None:
    """Compare errors: at most 1.5 times those of the plain path in the same precision."""
    for number, (value, other, reference) in enumerate(zip(found, plain, exact, strict=True)):
        assert error(value, reference) <= 1.5 * error(other, reference) + 1e-6, number
