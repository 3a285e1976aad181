"""The random masks: their values, their share of zeros, and where the randomness comes from."""

from __future__ import annotations

import math

import pytest
import torch

from ulmfit.language_model.masks import applied, dropout_mask


@pytest.mark.parametrize("probability", [0.02, 0.15, 0.5, 0.9])
def test_share_of_zeros_and_mean(probability: float) -> None:
    torch.manual_seed(11)
    mask = dropout_mask(torch.empty(0), (1001, 999), probability)
    assert mask is not None
    assert mask.shape == (1001, 999)
    kept = mask[mask != 0]
    assert kept.unique().tolist() == pytest.approx([1 / (1 - probability)])
    spread = math.sqrt(probability * (1 - probability) / mask.numel())
    assert abs((mask == 0).float().mean().item() - probability) < 5 * spread
    for dimension in (0, 1):
        share = (mask == 0).float().mean(dimension)
        deviation = math.sqrt(probability * (1 - probability) / mask.shape[dimension])
        assert (share - probability).abs().max() < 6 * deviation
        assert share.std().item() == pytest.approx(deviation, rel=0.15)


def test_neighbours_are_independent() -> None:
    torch.manual_seed(4)
    mask = dropout_mask(torch.empty(0), (400_000,), 0.3)
    assert mask is not None
    zero = (mask == 0).double() - 0.3
    for distance in (1, 2, 3, 4, 8):
        correlation = (zero[:-distance] * zero[distance:]).mean().item() / 0.21
        assert abs(correlation) < 5 / math.sqrt(len(zero))


def test_masks_follow_the_generator_of_the_cpu() -> None:
    torch.manual_seed(1)
    first, second = (dropout_mask(torch.empty(0), (50,), 0.5) for _ in range(2))
    torch.manual_seed(1)
    again = dropout_mask(torch.empty(0), (50,), 0.5)
    assert first is not None and second is not None and again is not None
    assert torch.equal(first, again)
    assert not torch.equal(first, second)


def test_no_dropout_is_no_mask_and_bf16_keeps_the_scale() -> None:
    assert dropout_mask(torch.empty(0), (3,), 0) is None
    tensor = torch.full((4,), 0.85, dtype=torch.bfloat16)
    scaled = applied(torch.full((4,), 1 / 0.85), tensor)
    assert scaled.dtype == torch.bfloat16
    assert scaled.tolist() == [1, 1, 1, 1]
    assert applied(None, tensor) is tensor
