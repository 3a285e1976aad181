"""AR and TAR of the classifier: by their definition, beside fastai's learner, and in a stage."""

from __future__ import annotations

import copy
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from fastai.callback.core import Callback
from fastai.text.models import awdlstm
from stages_for_tests import tiny_classifier
from torch import Tensor

from ulmfit.bench.classifier_stock import (
    load_our_weights,
    stock_learner,
    stock_loader,
    stock_model,
    stock_name,
)
from ulmfit.bench.job import Sizes
from ulmfit.classifier.fit import penalty_of
from ulmfit.classifier.loader import DocumentLoader
from ulmfit.classifier.model import SentenceEncoder, TextClassifier, layer_groups
from ulmfit.classifier.settings import ClassifierSettings
from ulmfit.language_model.compute import Compute
from ulmfit.language_model.encoder import PAD_ID, Encoder
from ulmfit.language_model.engines.compiled import kernels_or_none
from ulmfit.language_model.masks import Masks
from ulmfit.language_model.settings import Architecture, Dropouts
from ulmfit.pipeline.files import read_json
from ulmfit.pipeline.runner import Runner
from ulmfit.training.learner import make_learner
from ulmfit.training.weights import own_tensors, read_weights

VOCABULARY, CHUNK = 60, 6
SIZE = {"embedding_size": 8, "hidden_size": 12, "layers": 2}
AR, TAR = 2.0, 1.0
NO_DROPOUT = Dropouts(multiplier=0)
ENGINES = ["plain", "fast"] if kernels_or_none() else ["plain"]
LENGTHS = [31, 25, 24, 13, 12, 7, 6, 1]


def an_encoder(kind: str = "lstm", dropouts: Dropouts = NO_DROPOUT) -> Encoder:
    torch.manual_seed(5)
    encoder = Encoder(VOCABULARY, Architecture(kind=kind, **SIZE), dropouts)
    with torch.no_grad():
        for parameter in encoder.parameters():
            parameter.uniform_(-0.5, 0.5)
    return encoder


def a_batch(lengths: list[int]) -> tuple[Tensor, Tensor]:
    """Return ids, padded at the end, and lengths."""
    generator = torch.Generator().manual_seed(0)
    ids = torch.randint(2, VOCABULARY, (len(lengths), max(lengths)), generator=generator)
    for row, length in zip(ids, lengths, strict=True):
        row[length:] = PAD_ID
    return ids, torch.tensor(lengths)


def a_reader(encoder: Encoder, window: int = 0, ar: float = AR, tar: float = TAR) -> SentenceEncoder:
    return SentenceEncoder(encoder, CHUNK, window, ar=ar, tar=tar).train()


# --- By definition ------------------------------------------------------------------------------------------


def outputs_with_gradients(encoder: Encoder, ids: Tensor, window: int) -> Tensor:
    """Read one document alone; return the outputs (tokens, E) of its window, or of all of it."""
    chunks, kept = -(-len(ids) // CHUNK), -(-window // CHUNK)
    state, outputs = encoder.initial_state(1), []
    for number in range(chunks):
        if not window or number == chunks - kept:
            state = [tuple(part.detach() for part in layer) for layer in state]
        output, state = encoder(ids[None, number * CHUNK : (number + 1) * CHUNK], state)
        if not window or number >= chunks - kept:
            outputs.append(output[0])
    return torch.cat(outputs)


@pytest.mark.parametrize("kind", ["lstm", "qrnn"])
@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("window", [0, CHUNK, 2 * CHUNK])
@pytest.mark.parametrize(("ar", "tar"), [(AR, TAR), (AR, 0.0), (0.0, TAR)])
def test_penalty_and_gradients_are_means_over_true_tokens(
    kind: str, engine: str, window: int, ar: float, tar: float
) -> None:
    """In float64; of a window its own tokens alone, from chunk to chunk always."""
    encoder = an_encoder(kind).double()
    ids, lengths = a_batch(LENGTHS)
    plain = copy.deepcopy(encoder)
    read = [outputs_with_gradients(plain, row[:n], window) for row, n in zip(ids, LENGTHS, strict=True)]
    squares = torch.cat(read).square().mean()
    changes = torch.cat([outputs[1:] - outputs[:-1] for outputs in read]).square().mean()
    expected = ar * squares + tar * changes
    expected.backward()
    encoder.compute = Compute(engine=engine)
    reader = a_reader(encoder, window, ar, tar)
    reader(ids, lengths)
    found = reader.take_penalty()
    assert found is not None
    assert found.dtype == torch.float64
    torch.testing.assert_close(found, expected, rtol=1e-10, atol=0)
    found.backward()
    for (name, ours), reference in zip(encoder.named_parameters(), plain.parameters(), strict=True):
        torch.testing.assert_close(ours.grad, reference.grad, rtol=1e-8, atol=1e-12, msg=name)


@pytest.mark.parametrize("engine", ENGINES)
def test_sums_are_fp32_where_the_model_computes_in_bf16(engine: str) -> None:
    found = {}
    for dtype in (torch.float32, torch.bfloat16):
        encoder = an_encoder()
        encoder.compute = Compute(dtype, engine)
        reader = a_reader(encoder)
        reader(*a_batch(LENGTHS))
        found[dtype] = reader.take_penalty()
    assert found[torch.bfloat16].dtype == torch.float32
    torch.testing.assert_close(found[torch.bfloat16], found[torch.float32], rtol=2e-2, atol=0)


def test_there_is_no_penalty_where_nothing_has_gradients() -> None:
    batch = a_batch(LENGTHS)
    off, reader = a_reader(an_encoder(), ar=0, tar=0), a_reader(an_encoder())
    off(*batch)
    assert off.take_penalty() is None
    with torch.no_grad():
        reader(*batch)
    assert reader.take_penalty() is None
    reader.eval()(*batch)
    assert reader.take_penalty() is None
    reader.train()(*batch)
    assert reader.take_penalty() is not None
    assert reader.take_penalty() is None, "it was taken"
    for parameter in reader.parameters():
        parameter.requires_grad_(False)
    reader(*batch)
    assert reader.take_penalty() is None, "the encoder is frozen"


def test_documents_of_one_token_have_no_step_in_time() -> None:
    encoder = an_encoder()
    both, ar_alone = a_reader(encoder), a_reader(encoder, tar=0)
    for reader in (both, ar_alone):
        reader(*a_batch([1, 1]))
    assert both.take_penalty() == ar_alone.take_penalty()
    alone = a_reader(encoder, ar=0)
    alone(*a_batch([1, 1]))
    assert alone.take_penalty() is None


# --- Beside fastai ------------------------------------------------------------------------------------------


class Gradients(Callback):
    """Keeps what a step computed."""

    def before_step(self) -> None:
        model = getattr(self.learn, "inner", self.learn.model)
        self.found = {name: parameter.grad.clone() for name, parameter in model.named_parameters()}
        self.plain_loss, self.whole_loss = self.learn.loss.item(), self.learn.loss_grad.item()


def replay(masks: list[Masks], monkeypatch: pytest.MonkeyPatch) -> None:
    """Let fastai's encoder drop what ours has dropped, chunk by chunk, in the order in which it asks."""
    for_layers: list[Tensor] = []
    for_weights: list[Tensor] = []
    for mask in masks:
        for_layers += [mask.embedding, mask.input.transpose(0, 1)]
        for_layers += [hidden.transpose(0, 1) for hidden in mask.hidden[:-1]]
        for_weights += mask.weight

    def next_mask(tensor: Tensor, size: Any, probability: float) -> Tensor:
        mask = for_layers.pop(0)
        assert tuple(mask.shape) == tuple(size)
        return mask

    functional = {**vars(torch.nn.functional), "dropout": lambda weight, **_: weight * for_weights.pop(0)}
    monkeypatch.setattr(awdlstm, "dropout_mask", next_mask)
    monkeypatch.setattr(awdlstm, "F", SimpleNamespace(**functional))


def both_trained_once(
    lengths: list[int], engine: str, dropouts: Dropouts, monkeypatch: pytest.MonkeyPatch, tar: float = TAR
) -> tuple[Gradients, Gradients]:
    """Make one step with our learner and with fastai's, with the same weights, batch and masks."""
    settings = ClassifierSettings(
        bptt=CHUNK, ar=AR, tar=tar, dropouts=dropouts, head_dropout=0.2, weight_decay=0.0, device="cpu"
    )
    model = TextClassifier(an_encoder(dropouts=dropouts), 3, settings)
    model.encoder.module.compute = Compute(engine=engine)
    with torch.no_grad():
        for number in (2, 6):
            model.head.layers[number].bias.zero_()
    sizes = Sizes("test", Architecture(**SIZE), VOCABULARY, len(lengths), tokens=max(lengths), bptt=CHUNK)
    stock = stock_model(sizes, 3, settings)
    load_our_weights(stock, own_tensors(model))
    # Both heads draw the same numbers.
    for head in (model.head, stock[1]):
        head.register_forward_pre_hook(seed_the_head)
    masks: list[Masks] = []
    encoder, drawn = model.encoder.module, model.encoder.module.draw_masks

    def kept(rows: int) -> Masks:
        masks.append(drawn(rows))
        return masks[-1]

    monkeypatch.setattr(encoder, "draw_masks", kept)
    ids, _ = a_batch(lengths)
    documents = [row[:length].numpy() for row, length in zip(ids, lengths, strict=True)]
    targets = [row % 3 for row in range(len(lengths))]
    loss = torch.nn.functional.cross_entropy
    ours, theirs = Gradients(), Gradients()
    loader = DocumentLoader(documents, targets, len(lengths), shuffled=False)
    learner = make_learner(
        model, loader, loader, loss, layer_groups, settings, callbacks=[penalty_of(model), ours]
    )
    with learner.no_bar(), learner.no_logging():
        learner.fit(1, 1e-3)
    in_training = len(range(0, max(lengths), CHUNK))
    if dropouts.hidden:
        replay(masks[:in_training], monkeypatch)
    other = stock_loader(documents, targets, sizes, len(lengths), torch.device("cpu"), shuffled=False)
    reference = stock_learner(
        [other, other], stock, sizes, ar=AR, tar=tar, loss_func=loss, cbs=[theirs], wd=0.0
    )
    with reference.no_bar(), reference.no_logging():
        reference.fit(1, 1e-3)
    return ours, theirs


def seed_the_head(module: torch.nn.Module, given: Any) -> None:
    torch.manual_seed(7)


ALMOST_NONE = Dropouts(output=1e-9, hidden=0, input=0, embedding=0, weight=1e-9)
"""fastai's head has no layer for a dropout of 0, and its weights cannot be reset after one."""
DROPOUTS = Dropouts(output=0.4, hidden=0.3, input=0.4, embedding=0.05, weight=0.5)


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("length", [20, 24])
def test_a_step_of_fastais_learner_has_the_same_loss_and_gradients(
    length: int, engine: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """AR and TAR, all dropouts, several chunks, all parameters; of documents of one length."""
    ours, theirs = both_trained_once([length] * 5, engine, DROPOUTS, monkeypatch)
    assert ours.plain_loss == pytest.approx(theirs.plain_loss, rel=1e-5)
    assert ours.whole_loss == pytest.approx(theirs.whole_loss, rel=1e-5)
    assert ours.whole_loss > ours.plain_loss + 0.05
    names = {name: stock_name(name) for name in ours.found if not name.endswith(("2.bias", "6.bias"))}
    assert len(names) == len(theirs.found), "all parameters are compared"
    for name, theirs_name in names.items():
        expected = theirs.found[theirs_name]
        tolerance = 1e-4 * float(expected.abs().max())
        torch.testing.assert_close(ours.found[name], expected, rtol=1e-3, atol=tolerance, msg=name)


@pytest.mark.parametrize("engine", ENGINES)
def test_fastais_mean_counts_padding(engine: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """With whole chunks of padding in front of some documents: AR is lower there by the share of padding."""
    lengths = [24, 24, 18, 6]
    ours, theirs = both_trained_once(lengths, engine, ALMOST_NONE, monkeypatch, tar=0.0)
    assert ours.plain_loss == pytest.approx(theirs.plain_loss, rel=1e-5)
    penalty, stock_penalty = (one.whole_loss - one.plain_loss for one in (ours, theirs))
    assert stock_penalty == pytest.approx(penalty * sum(lengths) / (len(lengths) * max(lengths)), rel=1e-4)


# --- In a stage ---------------------------------------------------------------------------------------------


def test_a_stage_trains_with_it_and_its_losses_are_without(tmp_path: Path) -> None:
    runner = Runner(tmp_path)
    plain, regularized = tiny_classifier(), tiny_classifier(ar=AR, tar=TAR)
    assert runner.keys.key(plain) != runner.keys.key(regularized)
    histories, weights = [], []
    for stage in (plain, regularized):
        folder = runner.build(stage)
        histories.append(read_json(folder / "history.json")["steps"])
        weights.append(read_weights(folder / "model.safetensors"))
    first = [step for step in histories[0] if step["phase"] == 0]
    assert first == histories[1][: len(first)], "the encoder is frozen there"
    name = "encoder.module.rnns.1.weight_hh_l0_raw"
    assert not torch.equal(weights[0][name], weights[1][name])
