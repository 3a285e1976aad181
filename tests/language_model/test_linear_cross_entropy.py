"""The loss without logits beside torch's cross-entropy, in both engines."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from ulmfit.language_model import linear_cross_entropy as module
from ulmfit.language_model.linear_cross_entropy import Engine, linear_cross_entropy, token_losses

TOKENS, SIZE, VOCABULARY = 150, 24, 301
ENGINES: list[Engine] = ["fast", "plain"]


@pytest.fixture(autouse=True)
def small_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make three chunks, the last one shorter, of what a test computes."""
    monkeypatch.setattr(module, "BYTES_OF_LOGITS", 1)


def inputs(dtype: torch.dtype) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    generator = torch.Generator().manual_seed(2)
    hidden, weight = (torch.randn(rows, SIZE, generator=generator).to(dtype) for rows in (TOKENS, VOCABULARY))
    bias = torch.randn(VOCABULARY, generator=generator).to(dtype)
    targets = torch.randint(VOCABULARY, (TOKENS,), generator=generator)
    return hidden.requires_grad_(), weight.requires_grad_(), bias.requires_grad_(), targets


def reference(hidden: Tensor, weight: Tensor, bias: Tensor, targets: Tensor, smoothing: float) -> Tensor:
    logits = torch.nn.functional.linear(hidden, weight, bias)
    return torch.nn.functional.cross_entropy(logits, targets, label_smoothing=smoothing)


def loss_and_gradients(
    loss: Callable[..., Tensor], tensors: tuple[Tensor, ...], factor: float
) -> list[Tensor]:
    value = loss(*tensors)
    return [value.detach(), *torch.autograd.grad(value * factor, tensors[:3])]


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("smoothing", [0.0, 0.1])
@pytest.mark.parametrize(("dtype", "limit"), [(torch.float64, 1e-12), (torch.float32, 1e-5)])
def test_loss_and_gradients_equal_torchs(
    engine: Engine, smoothing: float, dtype: torch.dtype, limit: float
) -> None:
    tensors = inputs(dtype)

    def ours(*arguments: Tensor) -> Tensor:
        return linear_cross_entropy(*arguments, label_smoothing=smoothing, engine=engine)

    for factor in (1.0, 0.25):
        expected = loss_and_gradients(lambda *a: reference(*a, smoothing), tensors, factor)
        found = loss_and_gradients(ours, tensors, factor)
        for one, other in zip(found, expected, strict=True):
            assert one.dtype == dtype
            assert (one - other).norm() <= limit * other.norm()
    with torch.no_grad():
        assert float(ours(*tensors)) == pytest.approx(float(expected[0]), rel=limit)


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_bf16_is_as_precise_as_torch_in_bf16(smoothing: float) -> None:
    hidden, weight, bias, targets = inputs(torch.float32)
    rounded = hidden.detach().bfloat16().requires_grad_()
    exact = inputs(torch.float64)
    exact = (rounded.detach().double().requires_grad_(), *exact[1:])
    expected = loss_and_gradients(lambda *a: reference(*a, smoothing), exact, 1)

    def errors(engine: Engine) -> list[float]:
        def loss(*arguments: Tensor) -> Tensor:
            return linear_cross_entropy(*arguments, label_smoothing=smoothing, engine=engine)

        found = loss_and_gradients(loss, (rounded, weight, bias, targets), 1)
        assert [tensor.dtype for tensor in found] == [
            torch.float32,
            torch.bfloat16,
            torch.float32,
            torch.float32,
        ]
        return [float((a.double() - b).norm() / b.norm()) for a, b in zip(found, expected, strict=True)]

    for fast, plain in zip(errors("fast"), errors("plain"), strict=True):
        assert fast <= 1.5 * plain + 1e-4
        assert plain < 0.02


@pytest.mark.parametrize("engine", ENGINES)
def test_only_what_needs_a_gradient_gets_one(engine: Engine) -> None:
    hidden, weight, bias, targets = inputs(torch.float64)
    linear_cross_entropy(hidden, weight.detach(), bias.detach(), targets, engine=engine).backward()
    expected = torch.autograd.grad(reference(hidden, weight, bias, targets, 0), hidden)[0]
    torch.testing.assert_close(hidden.grad, expected)
    linear_cross_entropy(hidden.detach(), weight, bias.detach(), targets, engine=engine).backward()
    assert weight.grad is not None
    assert bias.grad is None


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16])
def test_losses_of_single_tokens(engine: Engine, dtype: torch.dtype) -> None:
    hidden, weight, bias, targets = inputs(torch.promote_types(dtype, torch.float32))
    with torch.inference_mode():
        losses = token_losses(hidden.to(dtype), weight, bias, targets, engine=engine)
        logits = torch.nn.functional.linear(hidden, weight, bias)
        expected = torch.nn.functional.cross_entropy(logits, targets, reduction="none")
    assert losses.dtype == weight.dtype
    tolerance = {torch.float64: 1e-12, torch.float32: 1e-4, torch.bfloat16: 0.1}[dtype]
    torch.testing.assert_close(losses, expected, rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("engine", ENGINES)
def test_extreme_logits(engine: Engine) -> None:
    hidden = torch.tensor([[100.0], [-100.0], [0.0]])
    weight, bias = torch.tensor([[10.0], [-10.0], [0.0]]), torch.zeros(3)
    targets = torch.tensor([0, 0, 2])
    losses = token_losses(hidden, weight, bias, targets, engine=engine)
    torch.testing.assert_close(losses, torch.tensor([0.0, 2000.0, 1.0986123]))
    assert token_losses(hidden * float("nan"), weight, bias, targets, engine=engine).isnan().all()
