"""The QRNN layer beside a loop written from the paper's formulas, and its ways to compute beside each other.

Shapes: T tokens of a chunk, B batch, I inputs, H units.
"""

import pytest
import torch

from ulmfit.language_model.compute import Compute
from ulmfit.language_model.encoder import Encoder
from ulmfit.language_model.engines.forget_mult import SegmentPooling, fo_pooling, scan_, stepwise
from ulmfit.language_model.masks import dropout_mask
from ulmfit.language_model.model import LanguageModel, layer_groups
from ulmfit.language_model.qrnn import WeightDropQRNN
from ulmfit.language_model.settings import Architecture, Dropouts

ENGINES = ("plain", "fast")
INPUTS, UNITS, BATCH = 5, 7, 3


def error(value: torch.Tensor, reference: torch.Tensor) -> float:
    value, reference = value.detach().double(), reference.detach().double()
    return float((value - reference).norm() / reference.norm().clamp_min(1e-300))


def paper_layer(layer, inputs, cell, previous, mask, updated):
    """Sections 2 and 2.1, one token, one gate after the other; f is the paper's forget gate."""
    weight = layer.dropped_weight if mask is None else layer.dropped_weight * mask
    bias = layer.linear.module.bias
    outputs = []
    for token in range(len(inputs)):
        source = inputs[token] if previous is None else torch.cat([inputs[token], previous], dim=1)
        z, i, o = (source @ weight.t() + bias).split(layer.units, dim=1)
        f = 1 - torch.sigmoid(i)
        if updated is not None:
            f = torch.where(updated[token] > 0, f, torch.ones_like(f))
        cell = f * cell + (1 - f) * torch.tanh(z)
        outputs.append(torch.sigmoid(o) * cell)
        previous = None if previous is None else inputs[token]
    return torch.stack(outputs), cell


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("window", (1, 2))
@pytest.mark.parametrize("tokens", (1, 2, 11))
def test_layer_is_the_papers(engine, window, tokens):
    torch.manual_seed(0)
    layer = WeightDropQRNN(INPUTS, UNITS, window=window).double()
    inputs = torch.randn(tokens, BATCH, INPUTS, dtype=torch.float64)
    state = tuple(torch.randn_like(part) for part in layer.initial_state(BATCH))
    mask = dropout_mask(layer.dropped_weight, tuple(layer.dropped_weight.shape), 0.4)

    def run(function):
        leaves = [inputs.clone().requires_grad_(), state[0].clone().requires_grad_()]
        layer.zero_grad()
        outputs, cell = function(*leaves)
        weights = torch.linspace(-1, 1, outputs.numel(), dtype=torch.float64).view_as(outputs)
        ((outputs * weights).sum() + cell.square().sum()).backward()
        return outputs, cell, *(leaf.grad for leaf in [*leaves, *layer.parameters()])

    def ours(inputs, cell):
        outputs, (cell, *_) = layer(inputs, (cell, *state[1:]), mask, Compute(engine=engine))
        return outputs, cell[0]

    def papers(inputs, cell):
        return paper_layer(layer, inputs, cell[0], state[1][0] if window == 2 else None, mask, None)

    for value, reference in zip(run(ours), run(papers), strict=True):
        assert error(value, reference) < 1e-9


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("window", (1, 2))
def test_chunks_are_one_text(engine, window):
    torch.manual_seed(0)
    layer = WeightDropQRNN(INPUTS, UNITS, window=window).double()
    inputs = torch.randn(12, BATCH, INPUTS, dtype=torch.float64)
    whole, last = layer(inputs, layer.initial_state(BATCH), None, Compute(engine=engine))
    state, parts = layer.initial_state(BATCH), []
    for chunk in inputs.split((5, 1, 6)):
        outputs, state = layer(chunk, state, None, Compute(engine=engine))
        parts.append(outputs)
    assert torch.allclose(torch.cat(parts), whole, rtol=1e-12)
    assert all(torch.allclose(a, b, rtol=1e-12) for a, b in zip(state, last, strict=True))
    assert len(state) == window


@pytest.mark.parametrize(("dtype", "limit"), ((torch.float64, 1e-12), (torch.float32, 1e-5)))
@pytest.mark.parametrize("zoneout", (False, True))
@pytest.mark.parametrize("tokens", (1, 2, 3, 4, 9, 70))
def test_segments_agree_with_steps(dtype, limit, zoneout, tokens):
    torch.manual_seed(0)
    gates, cell = (
        torch.randn(tokens, BATCH, 3 * UNITS, dtype=dtype),
        torch.randn(1, BATCH, UNITS, dtype=dtype),
    )
    updated = (torch.rand(tokens, BATCH, UNITS) > 0.3).to(dtype) if zoneout else None
    for value, reference in zip(
        results(SegmentPooling.apply, gates, cell, updated),
        results(stepwise, gates, cell, updated),
        strict=True,
    ):
        assert error(value, reference) < limit


def test_bf16_is_as_exact_as_the_plain_path():
    torch.manual_seed(0)
    gates, cell = torch.randn(70, BATCH, 3 * UNITS).bfloat16(), torch.randn(1, BATCH, UNITS)
    exact = results(stepwise, gates.double(), cell.double(), None)
    plain, fast = (results(f, gates, cell, None) for f in (stepwise, SegmentPooling.apply))
    assert fast[0].dtype == torch.bfloat16 and fast[1].dtype == torch.float32
    for name, ours, theirs, reference in zip(
        ["outputs", "cell", "gates", "first"], fast, plain, exact, strict=True
    ):
        assert error(ours, reference) <= 1.5 * error(theirs, reference) + 1e-6, name


def results(function, gates, cell, updated):
    leaves = gates.clone().requires_grad_(), cell.clone().requires_grad_()
    outputs, last = function(*leaves, updated)
    weights = torch.linspace(-1, 1, outputs.numel(), dtype=torch.float64).view_as(outputs)
    ((outputs * weights).sum() + last.double().square().sum()).backward()
    return outputs, last, *(leaf.grad for leaf in leaves)


def test_scan_neither_overflows_nor_loses_numbers():
    decay = torch.cat([torch.zeros(20, 1, 2), torch.full((50, 1, 2), 1e-30), torch.ones(30, 1, 2)])
    values = torch.full((100, 1, 2), 3.0)
    scanned = scan_(decay, values.clone(), torch.full((1, 2), 1e30))
    expected, current = [], torch.full((1, 2), 1e30)
    for step in range(100):
        current = decay[step] * current + values[step]
        expected.append(current)
    assert torch.equal(scanned, torch.stack(expected))


def test_zoneout_keeps_cells_in_training_only():
    torch.manual_seed(0)
    layer = WeightDropQRNN(INPUTS, UNITS, zoneout=0.5)
    inputs, start = torch.randn(40, 64, INPUTS), torch.full((1, 64, UNITS), 5.0)
    kept = [float((layer(inputs[:1], (start,), None)[1][0] == 5).float().mean()) for _ in range(2)]
    assert kept[0] == pytest.approx(0.5, abs=0.1) and kept[0] != kept[1]
    layer.eval()
    assert not (layer(inputs[:1], (start,), None)[1][0] == 5).any()
    gates = torch.randn(40, 64, 3 * UNITS)
    for engine in ENGINES:
        _, cell = fo_pooling(gates, start, torch.zeros(40, 64, UNITS), engine)
        assert torch.allclose(cell, start)


@pytest.mark.parametrize("window", (1, 2))
def test_bf16_keeps_fp32_cell_and_gradients(window):
    torch.manual_seed(0)
    layer = WeightDropQRNN(INPUTS, UNITS, window=window)
    state = layer.initial_state(BATCH)
    for engine in ENGINES:
        outputs, state = layer(torch.randn(4, BATCH, INPUTS), state, None, Compute(torch.bfloat16, engine))
        outputs.float().sum().backward()
        state = tuple(part.detach() for part in state)
        assert outputs.dtype == torch.bfloat16 and state[0].dtype == torch.float32
        assert all(parameter.grad.dtype == torch.float32 for parameter in layer.parameters())


def test_names_and_shapes_are_those_of_fastai_v1():
    architecture = Architecture(kind="qrnn", embedding_size=6, hidden_size=9, layers=3)
    encoder = Encoder(20, architecture, Dropouts())
    shapes = {name: tuple(tensor.shape) for name, tensor in encoder.state_dict().items()}
    assert shapes == {
        "encoder.weight": (20, 6),
        "rnns.0.layers.0.linear.weight_raw": (27, 12),
        "rnns.0.layers.0.linear.module.bias": (27,),
        "rnns.1.layers.0.linear.weight_raw": (27, 9),
        "rnns.1.layers.0.linear.module.bias": (27,),
        "rnns.2.layers.0.linear.weight_raw": (18, 9),
        "rnns.2.layers.0.linear.module.bias": (18,),
    }
    assert [layer.window for layer in encoder.layers()] == [2, 1, 1]


def test_language_model_learns_a_pattern_and_carries_its_state():
    torch.manual_seed(0)
    architecture = Architecture(kind="qrnn", embedding_size=8, hidden_size=16, layers=2)
    model = LanguageModel(12, architecture, Dropouts(multiplier=0.0))
    optimizer = torch.optim.Adam(model.parameters(), lr=2e-2)
    text = torch.arange(2, 12).repeat(2, 13)
    losses = []
    for _ in range(40):
        model.reset()
        for start in range(0, 120, 20):
            ids, targets = text[:, start : start + 20], text[:, start + 1 : start + 21]
            logits = model(ids).logits
            assert logits is not None
            loss = torch.nn.functional.cross_entropy(logits.flatten(0, 1), targets.flatten())
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            losses.append(float(loss.detach()))
    assert losses[-1] < 0.1 < losses[0]
    assert len(layer_groups(model)) == 3
    assert set(model.hidden_tensors()) == {"0.0", "0.1", "1.0"}
    state = {name: tensor.clone() for name, tensor in model.hidden_tensors().items()}
    first = model(text[:, :5]).raw
    model.restore_hidden(state)
    assert torch.equal(model(text[:, :5]).raw, first)


def test_weight_drop_differs_between_chunks_and_reaches_the_raw_weight():
    torch.manual_seed(0)
    architecture = Architecture(kind="qrnn", embedding_size=8, hidden_size=16, layers=2)
    dropouts = Dropouts(output=0, hidden=0, input=0, embedding=0, weight=0.5)
    encoder = Encoder(12, architecture, dropouts)
    ids = torch.randint(2, 12, (2, 6))
    first, second = (encoder(ids, encoder.initial_state(2))[0] for _ in range(2))
    assert not torch.equal(first, second)
    second.sum().backward()
    for layer in encoder.layers():
        gradient = layer.dropped_weight.grad
        assert gradient is not None and 0.3 < float((gradient == 0).float().mean()) < 0.7
    encoder.eval()
    assert torch.equal(*(encoder(ids, encoder.initial_state(2))[0] for _ in range(2)))
