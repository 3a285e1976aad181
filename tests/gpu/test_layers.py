"""Whole models on a GPU: fast engines beside the plain one, fp32 and bf16, and what they cost in memory."""

from __future__ import annotations

import warnings

import pytest
import torch

from gpu.comparing import assert_as_exact, assert_near, weighted_sum
from ulmfit.language_model.compute import Compute, choose_compute
from ulmfit.language_model.encoder import Encoder
from ulmfit.language_model.engines.cudnn import CudnnLSTM, lstm_function, usable
from ulmfit.language_model.linear_cross_entropy import linear_cross_entropy
from ulmfit.language_model.masks import Masks
from ulmfit.language_model.settings import Architecture, Dropouts

KINDS = ("lstm", "qrnn")


def results(encoder: Encoder, ids, masks: Masks, state, compute: Compute) -> list[torch.Tensor]:
    """Return outputs, state and gradients of one chunk."""
    encoder.compute = compute
    encoder.zero_grad()
    outputs, state = encoder(ids, state, masks)
    cells = [layer[1 if len(layer) > 1 and layer[0].shape == layer[1].shape else 0] for layer in state]
    weighted_sum([outputs, *cells]).backward()
    return [outputs, *cells, *(parameter.grad.clone() for parameter in encoder.parameters())]


def made(kind: str, device: torch.device):
    architecture = Architecture(kind=kind, embedding_size=40, hidden_size=72, layers=3)
    encoder = Encoder(100, architecture, Dropouts(weight=0.5)).to(device)
    ids = torch.randint(2, 100, (8, 30), device=device)
    state = [tuple(torch.randn_like(part) for part in layer) for layer in encoder.initial_state(8)]
    return encoder, ids, encoder.draw_masks(8), state


def in_double(masks: Masks) -> Masks:
    """Return the masks in float64."""
    wide = [None if mask is None else mask.double() for mask in (masks.embedding, masks.input)]
    many = [
        tuple(None if mask is None else mask.double() for mask in group)
        for group in (masks.hidden, masks.weight)
    ]
    return Masks(wide[0], wide[1], many[0], many[1])


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("dtype", (torch.float64, torch.float32))
def test_fast_agrees_with_plain(cuda, kind, dtype):
    encoder, ids, masks, state = made(kind, cuda)
    if dtype == torch.float64:
        encoder, masks = encoder.double(), in_double(masks)
    state = [tuple(part.to(dtype) for part in layer) for layer in state]
    plain, fast = (
        results(encoder, ids, masks, state, Compute(engine=engine)) for engine in ("plain", "fast")
    )
    assert_near(fast, plain, 1e-9 if dtype == torch.float64 else 1e-4)


@pytest.mark.parametrize("kind", KINDS)
def test_bf16_is_as_exact_as_plain(cuda, kind):
    encoder, ids, masks, state = made(kind, cuda)
    plain, fast = (
        results(encoder, ids, masks, state, Compute(torch.bfloat16, engine)) for engine in ("plain", "fast")
    )
    assert fast[0].dtype == torch.bfloat16
    assert all(tensor.dtype == torch.float32 for tensor in fast[1:])
    wide = [tuple(part.double() for part in layer) for layer in state]
    exact = results(encoder.double(), ids, in_double(masks), wide, Compute(engine="plain"))
    print("LSTM in bf16:", lstm_function(torch.bfloat16, cuda))
    assert_as_exact(fast, plain, exact)


def test_cudnn_takes_bf16(cuda):
    if not usable(torch.bfloat16, cuda):
        pytest.skip(f"cuDNN {torch.backends.cudnn.version()} has no LSTM in bf16: Triton's steps are used")


def test_weights_are_not_packed_again(cuda):
    encoder, ids, masks, state = made("lstm", cuda)
    assert lstm_function(torch.float32, cuda) is CudnnLSTM
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        results(encoder, ids, masks, state, Compute(engine="fast"))


def test_fast_is_chosen_without_a_notice(cuda):
    lines: list[str] = []
    assert choose_compute("bf16", "auto", cuda, lines.append) == Compute(torch.bfloat16, "fast")
    assert lines == []


@pytest.mark.parametrize(("dtype", "limit"), ((torch.float32, 1e-4), (torch.bfloat16, 2e-2)))
@pytest.mark.parametrize("smoothing", (0.0, 0.1))
def test_linear_cross_entropy(cuda, dtype, limit, smoothing):
    hidden = torch.randn(700, 40, device=cuda).to(dtype).requires_grad_()
    weight = (torch.randn(9001, 40, device=cuda) / 6).requires_grad_()
    bias = torch.randn(9001, device=cuda, requires_grad=True)
    targets = torch.randint(0, 9001, (700,), device=cuda)
    loss = linear_cross_entropy(hidden, weight, bias, targets, label_smoothing=smoothing)
    loss.backward()
    leaves = [tensor.detach().double().requires_grad_() for tensor in (hidden, weight, bias)]
    logits = torch.nn.functional.linear(leaves[0], leaves[1].to(dtype).double(), leaves[2])
    exact = torch.nn.functional.cross_entropy(logits, targets, label_smoothing=smoothing)
    exact.backward()
    assert loss.dtype == torch.float32
    found = [loss, *(tensor.grad for tensor in (hidden, weight, bias))]
    assert_near(found, [exact, *(leaf.grad for leaf in leaves)], limit)
