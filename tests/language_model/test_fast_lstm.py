"""The compiled engine of the LSTM beside readable torch, with equal masks: outputs and every gradient."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from ulmfit.language_model.compute import Compute
from ulmfit.language_model.engines import fused_steps
from ulmfit.language_model.engines.compiled import kernels_or_none
from ulmfit.language_model.linear_cross_entropy import linear_cross_entropy
from ulmfit.language_model.lstm import WeightDropLSTM
from ulmfit.language_model.masks import Masks
from ulmfit.language_model.model import LanguageModel
from ulmfit.language_model.settings import Architecture, Dropouts

pytestmark = pytest.mark.skipif(kernels_or_none() is None, reason="no C++ compiler")

VOCABULARY, BATCH, CHUNKS = 211, 5, (9, 1, 14)
SIZE = Architecture(embedding_size=40, hidden_size=72, layers=3)
DROPOUTS = Dropouts(output=0.1, hidden=0.2, input=0.3, embedding=0.1, weight=0.4)


def relative_error(ours: Tensor, reference: Tensor) -> float:
    ours, reference = ours.detach(), reference.detach().double()
    return float((ours.double() - reference).norm() / reference.norm().clamp(min=1e-30))


def a_model() -> LanguageModel:
    torch.manual_seed(3)
    model = LanguageModel(VOCABULARY, SIZE, DROPOUTS).double()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.uniform_(-0.3, 0.3)
    return model


def converted(masks: Masks, dtype: torch.dtype) -> Masks:
    def to(mask: Tensor | None) -> Tensor | None:
        return None if mask is None else mask.to(dtype)

    return Masks(
        to(masks.embedding), to(masks.input), tuple(map(to, masks.hidden)), tuple(map(to, masks.weight))
    )


def results(model: LanguageModel, compute: Compute, masks: list[Masks]) -> dict[str, Tensor]:
    """Return the loss and outputs of several chunks, the last state and every gradient."""
    model.zero_grad()
    encoder, weight = model.encoder, model.encoder.encoder.weight
    model.set_compute(compute)
    state = encoder.initial_state(BATCH)
    generator = torch.Generator().manual_seed(1)
    found: dict[str, Tensor] = {}
    for number, (length, drawn) in enumerate(zip(CHUNKS, masks, strict=True)):
        ids = torch.randint(2, VOCABULARY, (BATCH, length), generator=generator)
        targets = torch.randint(2, VOCABULARY, (BATCH * length,), generator=generator)
        output, state = encoder(ids, state, converted(drawn, weight.dtype))
        flat = output.flatten(0, 1)
        loss = linear_cross_entropy(
            flat, weight, model.decoder.decoder.bias, targets, label_smoothing=0.1, engine=compute.engine
        )
        (loss + flat.to(weight.dtype).square().mean()).backward()
        state = [tuple(part.detach() for part in layer) for layer in state]
        found |= {f"loss {number}": loss.detach(), f"outputs {number}": output.detach()}
    for layer, (hidden, cell) in enumerate(state):
        found |= {f"hidden {layer}": hidden, f"cell {layer}": cell}
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None, name
        found[name] = parameter.grad.clone()
    return found


@pytest.fixture(scope="module")
def masks() -> list[Masks]:
    torch.manual_seed(7)
    encoder = a_model().encoder.train()
    return [encoder.draw_masks(BATCH) for _ in CHUNKS]


@pytest.mark.parametrize(("dtype", "limit"), [(torch.float64, 1e-9), (torch.float32, 1e-4)])
def test_fast_equals_plain(masks: list[Masks], dtype: torch.dtype, limit: float) -> None:
    model = a_model().to(dtype)
    plain = results(model, Compute(engine="plain"), masks)
    fast = results(model, Compute(engine="fast"), masks)
    errors = {name: relative_error(fast[name], plain[name]) for name in plain}
    assert max(errors.values()) < limit, errors
    assert all(fast[name].dtype == plain[name].dtype == dtype for name in plain)


@pytest.fixture(params=["fused", "step by step"])
def bf16_steps(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Both ways in which bf16 may be computed, depending on the processor."""
    if request.param == "fused" and not fused_steps.available(torch.bfloat16):
        pytest.skip("this processor has no AMX")
    monkeypatch.setattr(fused_steps, "available", lambda _: request.param == "fused")


@pytest.mark.usefixtures("bf16_steps")
def test_bf16_is_as_precise_as_plain_torch_in_bf16() -> None:
    exact_model, model = a_model(), a_model().float()
    exact_model.encoder.train()
    errors: dict[str, list[tuple[float, float]]] = {}
    for seed in range(6):  # a loss is a mean, whose error in one draw says little
        torch.manual_seed(seed)
        masks = [exact_model.encoder.draw_masks(BATCH) for _ in CHUNKS]
        exact = results(exact_model, Compute(engine="plain"), masks)
        plain = results(model, Compute(torch.bfloat16, "plain"), masks)
        fast = results(model, Compute(torch.bfloat16, "fast"), masks)
        for name, tensor in exact.items():
            pair = relative_error(fast[name], tensor), relative_error(plain[name], tensor)
            errors.setdefault(name, []).append(pair)
            assert fast[name].dtype == plain[name].dtype, name
    for name, pairs in errors.items():
        error, accepted = torch.tensor(pairs).square().mean(0).sqrt().tolist()
        assert error < 1.5 * accepted, (name, error, accepted)
        assert accepted < 0.1, name
    assert fast["cell 0"].dtype == torch.float32
    assert fast["hidden 0"].dtype == torch.bfloat16


def test_several_threads_give_the_same_and_repeat_to_the_bit(masks: list[Masks]) -> None:
    model = a_model()
    before = torch.get_num_threads()
    expected = results(model, Compute(engine="plain"), masks)
    try:
        torch.set_num_threads(3)
        first, second = (results(model, Compute(engine="fast"), masks) for _ in range(2))
    finally:
        torch.set_num_threads(before)
    for name, tensor in expected.items():
        assert relative_error(first[name], tensor) < 1e-9, name
        assert torch.equal(first[name], second[name]), name


def test_frozen_parameters_and_inputs_get_no_gradient() -> None:
    torch.manual_seed(0)
    layer = WeightDropLSTM(7, 6)
    state = layer.initial_state(3)
    inputs = torch.randn(4, 3, 7)
    whole, _ = layer(inputs.clone().requires_grad_(), state, None, Compute(engine="fast"))
    whole.square().sum().backward()
    expected = {name: parameter.grad for name, parameter in layer.named_parameters()}
    for frozen in expected:
        layer.zero_grad()
        for name, parameter in layer.named_parameters():
            parameter.requires_grad_(name != frozen)
        layer(inputs, state, None, Compute(engine="fast"))[0].square().sum().backward()
        for name, parameter in layer.named_parameters():
            assert (parameter.grad is None) == (name == frozen)
            if name != frozen:
                assert torch.equal(parameter.grad, expected[name])


def test_gradients_reach_the_first_state() -> None:
    torch.manual_seed(0)
    layer = WeightDropLSTM(7, 6).double()
    inputs, hidden, cell = (
        torch.randn(*shape, dtype=torch.float64, requires_grad=True)
        for shape in [(4, 3, 7), (1, 3, 6), (1, 3, 6)]
    )

    def gradients(engine: str) -> tuple[Tensor, ...]:
        output, state = layer(inputs, (hidden, cell), None, Compute(engine=engine))
        loss = output.square().sum() + state[0].sum() + state[1].pow(3).sum()
        return torch.autograd.grad(loss, (inputs, hidden, cell))

    for ours, reference in zip(gradients("fast"), gradients("plain"), strict=True):
        assert relative_error(ours, reference) < 1e-12


def test_the_step_by_step_version_is_what_torch_and_the_kernel_compute() -> None:
    torch.manual_seed(0)
    layer = WeightDropLSTM(7, 6).double()
    inputs, mask = torch.randn(5, 3, 7, dtype=torch.float64), torch.rand(24, 6, dtype=torch.float64)
    state = (torch.randn(1, 3, 6, dtype=torch.float64), torch.randn(1, 3, 6, dtype=torch.float64))
    expected, (hidden, cell) = layer._in_steps(inputs, state, layer.weight_hh_l0_raw * mask)
    for compute in (Compute(engine="plain"), Compute(engine="fast")):
        outputs, new_state = layer(inputs, state, mask, compute)
        for ours, reference in zip((outputs, *new_state), (expected, hidden, cell), strict=True):
            assert relative_error(ours, reference) < 1e-12


def test_going_backward_twice_is_refused() -> None:
    layer = WeightDropLSTM(3, 4)
    output, _ = layer(torch.randn(2, 3, 3), layer.initial_state(3), None, Compute(engine="fast"))
    output.sum().backward(retain_graph=True)
    with pytest.raises(RuntimeError, match="once only"):
        output.sum().backward()


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_evaluation_needs_no_gradients_and_repeats_to_the_bit(dtype: torch.dtype) -> None:
    model = a_model().float().eval()
    model.set_compute(Compute(dtype, "fast"))
    ids = torch.randint(2, VOCABULARY, (4, 12))
    with torch.inference_mode():
        whole = model(ids).raw
        model.reset()
        again = model(ids).raw
        model.reset()
        parts = torch.cat([model(ids[:, :5]).raw, model(ids[:, 5:6]).raw, model(ids[:, 6:]).raw], dim=1)
    assert torch.equal(whole, again)
    assert relative_error(parts, whole) < (1e-6 if dtype == torch.float32 else 1e-2)


def test_infinite_inputs_give_nan_and_not_numbers() -> None:
    layer = WeightDropLSTM(3, 4)
    inputs = torch.full((2, 1, 3), float("nan"))
    output, _ = layer(inputs, layer.initial_state(1), None, Compute(engine="fast"))
    assert output.isnan().all()
    large = torch.full((2, 1, 3), 1e30)
    fast, _ = layer(large, layer.initial_state(1), None, Compute(engine="fast"))
    plain, _ = layer(large, layer.initial_state(1), None, Compute(engine="plain"))
    torch.testing.assert_close(fast, plain)


def layer_results(
    layer: WeightDropLSTM, tensors: tuple[Tensor, ...], mask: Tensor, compute: Compute, dtype: torch.dtype
) -> tuple[Tensor, ...]:
    """Return outputs, last state, and the gradients of inputs, first state and parameters."""
    inputs, hidden, cell = (tensor.detach().requires_grad_() for tensor in tensors)
    layer.zero_grad()
    output, (last_hidden, last_cell) = layer(inputs.to(dtype), (hidden, cell), mask, compute)
    loss = output.double().sin().sum() + last_hidden.double().square().sum() + last_cell.double().sum()
    loss.backward()
    parameters = [parameter.grad.clone() for parameter in layer.parameters() if parameter.grad is not None]
    return (output, last_hidden, last_cell, inputs.grad, hidden.grad, cell.grad, *parameters)


@pytest.mark.usefixtures("bf16_steps")
@pytest.mark.parametrize(
    ("time", "batch", "inputs", "units"),
    [(1, 1, 3, 1), (2, 16, 8, 16), (3, 17, 5, 31), (5, 33, 40, 48), (4, 70, 24, 100), (6, 31, 32, 65)],
)
def test_bf16_of_any_shape_is_as_precise_as_plain_torch(
    time: int, batch: int, inputs: int, units: int
) -> None:
    torch.manual_seed(time)
    layer = WeightDropLSTM(inputs, units)
    shapes = ((time, batch, inputs), (1, batch, units), (1, batch, units))
    tensors = tuple(torch.randn(shape) for shape in shapes)
    mask = (torch.rand(4 * units, units) > 0.3).float()
    fast, plain = (
        layer_results(layer, tensors, mask, Compute(torch.bfloat16, engine), torch.bfloat16)
        for engine in ("fast", "plain")
    )
    exact = layer_results(
        layer.double(),
        tuple(t.double() for t in tensors),
        mask.double(),
        Compute(engine="plain"),
        torch.float64,
    )
    for ours, theirs, right in zip(fast, plain, exact, strict=True):
        assert relative_error(ours, right) < 1.5 * relative_error(theirs, right) + 2e-3


@pytest.mark.skipif(not fused_steps.available(torch.bfloat16), reason="this processor has no AMX")
def test_fused_steps_are_equal_to_the_bit_for_any_threads_and_batch() -> None:
    torch.manual_seed(1)
    layer = WeightDropLSTM(24, 100)
    tensors = (torch.randn(4, 37, 24), torch.randn(1, 37, 100), torch.randn(1, 37, 100))
    mask = (torch.rand(400, 100) > 0.3).float()
    compute, before = Compute(torch.bfloat16, "fast"), torch.get_num_threads()
    try:
        found = []
        for threads in (1, 2, 5, 40):
            torch.set_num_threads(threads)
            found.append(layer_results(layer, tensors, mask, compute, torch.bfloat16)[:6])
    finally:
        torch.set_num_threads(before)
    assert all(
        torch.equal(one, first) for others in found for one, first in zip(others, found[0], strict=True)
    )
    some = layer_results(layer, tuple(t[:, 11:20] for t in tensors), mask, compute, torch.bfloat16)[:6]
    assert all(torch.equal(part, whole[:, 11:20]) for part, whole in zip(some, found[0], strict=True))


@pytest.mark.usefixtures("bf16_steps")
def test_in_bf16_large_sums_saturate_and_nan_stays_nan() -> None:
    torch.manual_seed(2)
    layer, compute = WeightDropLSTM(3, 20), Compute(torch.bfloat16, "fast")
    inputs = torch.randn(5, 4, 3)
    inputs[:, 1] *= 1e30
    inputs[2, 2] = float("nan")
    fast, _ = layer(inputs, layer.initial_state(4), None, compute)
    plain, _ = layer(inputs, layer.initial_state(4), None, Compute(torch.bfloat16, "plain"))
    assert fast[2:, 2].isnan().all()
    assert fast.isfinite().sum() == fast.numel() - 3 * 20
    torch.testing.assert_close(fast, plain, equal_nan=True, atol=2e-2, rtol=0)


@pytest.mark.skipif(not fused_steps.available(torch.bfloat16), reason="this processor has no AMX")
@pytest.mark.parametrize(("rows", "columns", "width"), [(1, 4, 1), (33, 52, 31), (2300, 600, 40)])
def test_weight_gradients_are_exact_sums_whatever_the_threads(rows: int, columns: int, width: int) -> None:
    torch.manual_seed(rows)
    d_gates, left = torch.randn(rows, columns).bfloat16(), torch.randn(rows, width).bfloat16()
    mask = (torch.rand(columns, width) > 0.4).float()
    before = torch.get_num_threads()
    try:
        found = []
        for threads in (1, 2, 7):
            torch.set_num_threads(threads)
            found.append(fused_steps.weight_gradient(d_gates, left, mask))
    finally:
        torch.set_num_threads(before)
    exact = d_gates.double().t() @ left.double() * mask
    assert relative_error(found[0], exact) < 1e-6
    assert all(torch.equal(found[0], other) for other in found[1:])


@pytest.mark.usefixtures("bf16_steps")
@pytest.mark.parametrize(("time", "batch"), [(4, 0), (0, 3)])
def test_nothing_to_read_gives_nothing_and_gradients_of_zero(time: int, batch: int) -> None:
    layer = WeightDropLSTM(8, 1152)  # weights that no cache holds: they are fetched ahead
    state = tuple(torch.randn_like(part) for part in layer.initial_state(batch))
    output, (hidden, cell) = layer(torch.randn(time, batch, 8), state, None, Compute(torch.bfloat16, "fast"))
    assert output.shape == (time, batch, 1152)
    torch.testing.assert_close(cell, state[1])
    (output.float().sum() + hidden.float().sum() + cell.sum()).backward()
    assert all(parameter.grad is not None and not parameter.grad.any() for parameter in layer.parameters())


@pytest.mark.usefixtures("bf16_steps")
def test_parameters_of_64_bits_compute_in_bf16_too() -> None:
    torch.manual_seed(4)
    layer, inputs = WeightDropLSTM(5, 20), torch.randn(3, 2, 5)
    state, compute = layer.initial_state(2), Compute(torch.bfloat16, "fast")
    expected, _ = layer(inputs, state, None, compute)
    layer.double()
    output, _ = layer(inputs.double(), tuple(part.double() for part in state), None, compute)
    output.double().sum().backward()
    torch.testing.assert_close(output, expected)
    assert {parameter.grad.dtype for parameter in layer.parameters() if parameter.grad is not None} == {
        torch.float64
    }
