"""Triton's kernels beside plain torch; with TRITON_INTERPRET=1 they are tested without a GPU.

Triton's interpreter cuts numbers off where a GPU rounds them to bf16, hence the wide limits for bf16.
"""

from __future__ import annotations

import pytest
import torch

from gpu.comparing import assert_near, weighted_sum
from ulmfit.language_model.compute import Compute
from ulmfit.language_model.engines.forget_mult import SegmentPooling, stepwise
from ulmfit.language_model.linear_cross_entropy import _losses
from ulmfit.language_model.lstm import WeightDropLSTM
from ulmfit.language_model.masks import dropout_mask

TYPES = ((torch.float32, 1e-5), (torch.bfloat16, 3e-2))


@pytest.mark.parametrize(("dtype", "limit"), TYPES)
@pytest.mark.parametrize("zoneout", (False, True))
@pytest.mark.parametrize("shape", ((1, 2, 3), (7, 5, 40), (12, 3, 129)))
def test_fo_pooling(triton_device, dtype, limit, zoneout, shape):
    from ulmfit.language_model.engines.forget_mult_triton import TritonPooling

    tokens, batch, units = shape
    gates = torch.randn(tokens, batch, 3 * units, device=triton_device).to(dtype)
    cell = torch.randn(1, batch, units, device=triton_device)
    updated = (torch.rand(shape, device=triton_device) > 0.3).to(dtype) if zoneout else None
    results = []
    for function in (stepwise, TritonPooling.apply, SegmentPooling.apply):
        leaves = gates.clone().requires_grad_(), cell.clone().requires_grad_()
        outputs = function(*leaves, updated)
        weighted_sum(outputs).backward()
        results.append([*outputs, *(leaf.grad for leaf in leaves)])
    assert_near(results[1], results[0], limit)
    assert_near(results[2], results[0], limit)


@pytest.mark.parametrize(("dtype", "limit"), TYPES)
@pytest.mark.parametrize("dropped", (False, True))
@pytest.mark.parametrize("sizes", ((1, 2, 3, 5), (7, 4, 6, 40), (3, 2, 8, 300)))
def test_lstm_steps(triton_device, dtype, limit, dropped, sizes):
    from ulmfit.language_model.engines.triton_lstm import TritonLSTM

    tokens, batch, inputs, units = sizes
    layer = WeightDropLSTM(inputs, units).to(triton_device)
    other, shape = layer.module, (1, batch, units)
    given = [torch.randn(tokens, batch, inputs), torch.randn(shape), torch.randn(shape)]
    given = [tensor.to(triton_device) for tensor in given]
    weight = layer.weight_hh_l0_raw
    mask = dropout_mask(weight, tuple(weight.shape), 0.5) if dropped else None
    results = []
    for fast in (False, True):
        layer.zero_grad()
        leaves = [given[0].to(dtype), given[1].to(dtype), given[2].clone()]
        leaves = [leaf.requires_grad_() for leaf in leaves]
        if fast:
            outputs, hidden, cell = TritonLSTM.apply(
                *leaves, other.weight_ih_l0, weight, mask, other.bias_ih_l0, other.bias_hh_l0
            )
        else:
            outputs, (hidden, cell) = layer(leaves[0], leaves[1:], mask, Compute(dtype, "plain"))
        weighted_sum([outputs, hidden, cell]).backward()
        gradients = [tensor.grad for tensor in (*leaves, *layer.parameters())]
        results.append([outputs, hidden, cell, *gradients])
    assert_near(results[1], results[0], limit)
    assert [tensor.dtype for tensor in results[1]] == [tensor.dtype for tensor in results[0]]


@pytest.mark.parametrize(("dtype", "limit"), TYPES)
@pytest.mark.parametrize("vocabulary", (7, 4096, 9001))
@pytest.mark.parametrize("smoothing", (0.0, 0.1))
def test_cross_entropy(triton_device, dtype, limit, vocabulary, smoothing):
    from ulmfit.language_model.engines.triton_cross_entropy import cross_entropy

    logits = (3 * torch.randn(5, vocabulary, device=triton_device)).to(dtype)
    logits[0, 0] = 80
    bias = torch.randn(vocabulary, device=triton_device)
    targets = torch.randint(0, vocabulary, (5,), device=triton_device)
    results = []
    for fast in (False, True):
        gradient, of_bias = logits.clone(), torch.zeros_like(bias)
        if fast:
            losses = cross_entropy(gradient, bias, targets, smoothing, 0.2, of_bias)
            assert torch.equal(losses, cross_entropy(logits.clone(), bias, targets, smoothing, 0.2, None))
        else:
            losses = _losses(gradient, bias, targets, "plain", smoothing, 0.2, of_bias)
        results.append([losses, gradient, of_bias])
    assert_near(results[1], results[0], limit)
