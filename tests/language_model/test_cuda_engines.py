"""What can be tested of the CUDA engines without a GPU: everything around cuDNN and around the graph.

The kernels themselves are tested in `tests/gpu`, which also runs Triton's where only its interpreter is.
"""

import pytest
import torch

from ulmfit.language_model.compute import Compute
from ulmfit.language_model.engines.cuda_graph import STEPS_BEFORE, GraphedStep
from ulmfit.language_model.engines.cudnn import CudnnLSTM, layout
from ulmfit.language_model.loss import LanguageModelLoss, StreamLoss
from ulmfit.language_model.lstm import WeightDropLSTM
from ulmfit.language_model.masks import dropout_mask
from ulmfit.language_model.model import LanguageModel, Outputs
from ulmfit.language_model.settings import Architecture, Dropouts

INPUTS, UNITS, BATCH = 5, 7, 3


def error(value: torch.Tensor, reference: torch.Tensor) -> float:
    value, reference = value.detach().double(), reference.detach().double()
    return float((value - reference).norm() / reference.norm().clamp_min(1e-300))


def cudnn(layer, inputs, state, mask):
    other = layer.module
    outputs, hidden, cell = CudnnLSTM.apply(
        inputs,
        *state,
        other.weight_ih_l0,
        layer.weight_hh_l0_raw,
        mask,
        other.bias_ih_l0,
        other.bias_hh_l0,
    )
    return outputs, (hidden, cell)


@pytest.mark.parametrize(
    ("master", "precision", "limit"),
    (
        (torch.float64, torch.float32, 1e-12),
        (torch.float32, torch.float32, 1e-6),
        (torch.float32, torch.bfloat16, 2e-2),
    ),
)
@pytest.mark.parametrize("dropped", (False, True))
def test_layer_agrees_with_the_plain_one(master, precision, limit, dropped):
    torch.manual_seed(0)
    layer, compute = WeightDropLSTM(INPUTS, UNITS).to(master), Compute(precision, "plain")
    dtype = compute.activations(layer.weight_hh_l0_raw)
    tensors = [torch.randn(shape, dtype=master) for shape in ((9, BATCH, INPUTS), *[(1, BATCH, UNITS)] * 2)]
    mask = dropout_mask(layer.weight_hh_l0_raw, (4 * UNITS, UNITS), 0.5) if dropped else None
    results = []
    for fast in (False, True):
        layer.zero_grad()
        leaves = [tensors[0].to(dtype), tensors[1].to(dtype), tensors[2].clone()]
        leaves = [leaf.requires_grad_() for leaf in leaves]
        outputs, (hidden, cell) = (
            cudnn(layer, leaves[0], leaves[1:], mask) if fast else layer(leaves[0], leaves[1:], mask, compute)
        )
        weights = torch.linspace(-1, 1, outputs.numel(), dtype=torch.float64).view_as(outputs)
        ((outputs * weights).sum() + hidden.double().sum() + cell.double().square().sum()).backward()
        gradients = [tensor.grad for tensor in (*leaves, *layer.parameters())]
        results.append([outputs, hidden, cell, *gradients])
    assert [tensor.dtype for tensor in results[0]] == [tensor.dtype for tensor in results[1]]
    for reference, value in zip(*results, strict=True):
        assert error(value, reference) < limit


def test_several_chunks_may_wait_for_one_backward_pass():
    torch.manual_seed(0)
    layer = WeightDropLSTM(INPUTS, UNITS).double()
    inputs = torch.randn(2, 4, BATCH, INPUTS, dtype=torch.float64)
    masks = [dropout_mask(layer.weight_hh_l0_raw, (4 * UNITS, UNITS), 0.5) for _ in range(2)]
    gradients = []
    for function in (cudnn, lambda layer, *arguments: layer(*arguments)):
        layer.zero_grad()
        state, total = layer.initial_state(BATCH), 0
        for chunk, mask in zip(inputs, masks, strict=True):
            outputs, state = function(layer, chunk, state, mask)
            total = total + outputs.sum()
        total.backward()
        gradients.append([parameter.grad.clone() for parameter in layer.parameters()])
    assert all(error(a, b) < 1e-12 for a, b in zip(*gradients, strict=True))


def test_frozen_weights_get_no_gradients():
    layer = WeightDropLSTM(INPUTS, UNITS).requires_grad_(False)
    inputs = torch.randn(4, BATCH, INPUTS, requires_grad=True)
    outputs, _ = cudnn(layer, inputs, layer.initial_state(BATCH), None)
    outputs.sum().backward()
    assert inputs.grad is not None and all(parameter.grad is None for parameter in layer.parameters())


def test_layout_is_dense():
    place = layout(INPUTS, UNITS, torch.float32, torch.device("cpu"))
    ends = [
        start + torch.Size(shape).numel() for start, shape in zip(place.offsets, place.shapes, strict=True)
    ]
    assert place.offsets == (0, *ends[:-1]) and ends[-1] == place.size


# -- graphs: a stand-in computes the step again and copies its results to where the first ones are


def computed_again(compute):
    random = torch.get_rng_state()
    results = compute()
    torch.set_rng_state(random)

    def replay():
        for old, new in zip(tensors_of(results), tensors_of(compute()), strict=True):
            old.copy_(new)

    return results, replay


def tensors_of(results):
    state = [tensor for layer in results.state for tensor in layer]
    return [results.loss, results.outputs.raw, results.outputs.dropped, *state, *results.gradients]


def refused(compute):
    raise RuntimeError("operation not permitted when stream is capturing\nmore lines")


class Eagerly:
    """The same step without a graph."""

    def __init__(self, model, loss, *_):
        self.model, self.loss = model, loss

    def __call__(self, ids, targets):
        self.model.makes_logits = False
        outputs = self.model(ids)
        loss = self.loss(outputs, targets)
        penalty = self.loss.penalty(outputs)
        (loss if penalty is None else loss + penalty).backward()
        return loss.detach()


def trained(kind, *, capture=None, accumulation=1, dropouts=1.0, log=print):
    """Return losses, weights, and how many steps came from a graph."""
    torch.manual_seed(0)
    architecture = Architecture(kind=kind, embedding_size=8, hidden_size=12, layers=2)
    model = LanguageModel(20, architecture, Dropouts(multiplier=dropouts))
    loss = StreamLoss(model, LanguageModelLoss(0.1), 2.0, 1.0)
    eagerly = Eagerly(model, loss)
    graphed = None if capture is None else GraphedStep(model, loss, log, capture)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.5)
    text = torch.randint(2, 20, (4, 91), generator=torch.Generator().manual_seed(1))
    losses, replayed = [], 0
    for step in range(14):
        # The sixth and the last chunk are shorter, as at the end of an epoch.
        start, length = 6 * step, 3 if step in (6, 13) else 6
        batch = text[:, start : start + length], text[:, start + 1 : start + 1 + length]
        value = graphed(*batch) if graphed is not None else None
        replayed += value is not None
        losses.append(eagerly(*batch) if value is None else value)
        if (step + 1) % accumulation == 0:
            optimizer.step()
            optimizer.zero_grad()
    return losses, list(model.parameters()), replayed


@pytest.mark.parametrize("kind", ("lstm", "qrnn"))
@pytest.mark.parametrize("accumulation", (1, 3))
def test_replayed_steps_equal_the_others(kind, accumulation):
    losses, weights, _ = trained(kind, accumulation=accumulation)
    found, found_weights, replayed = trained(kind, capture=computed_again, accumulation=accumulation)
    # The first steps and the two shorter ones are not replayed, nor those that follow the first state.
    assert replayed >= 14 - STEPS_BEFORE - 3
    assert torch.allclose(torch.stack(losses), torch.stack(found), rtol=1e-5)
    assert all(
        torch.allclose(a, b, rtol=1e-4, atol=1e-6) for a, b in zip(weights, found_weights, strict=True)
    )


def test_a_failed_capture_goes_on_without_and_says_so_once():
    lines = []
    losses, weights, _ = trained("lstm")
    found, found_weights, replayed = trained("lstm", capture=refused, log=lines.append)
    assert replayed == 0
    assert lines == [
        "training steps are not replayed from a CUDA graph: operation not permitted when stream is capturing"
    ]
    assert torch.equal(torch.stack(losses), torch.stack(found))
    assert all(torch.equal(a, b) for a, b in zip(weights, found_weights, strict=True))


def test_frozen_layers_and_outputs():
    torch.manual_seed(0)
    model = LanguageModel(20, Architecture(embedding_size=8, hidden_size=12, layers=2), Dropouts())
    model.encoder.rnns.requires_grad_(False)
    step = GraphedStep(model, StreamLoss(model, LanguageModelLoss(), 0, 0), print, computed_again)
    ids = torch.randint(2, 20, (4, 7))
    model(ids[:, :6])
    values = [step(ids[:, :6], ids[:, 1:]) for _ in range(6)]
    assert [value is None for value in values] == [True] * STEPS_BEFORE + [False] * (6 - STEPS_BEFORE)
    assert isinstance(step.outputs, Outputs) and step.outputs.logits is None
    assert model.makes_logits and model.encoder.encoder.weight.grad is not None
    assert all(parameter.grad is None for parameter in model.encoder.rnns.parameters())
    model.encoder.rnns.requires_grad_(True)
    assert step(ids[:, :6], ids[:, 1:]) is None
    assert all(step(ids[:, :6], ids[:, 1:]) is None for _ in range(STEPS_BEFORE - 1))
    assert step(ids[:, :6], ids[:, 1:]) is not None
    assert all(parameter.grad is not None for parameter in model.encoder.rnns.parameters())
