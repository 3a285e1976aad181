"""A softmax over a part of the vocabulary: equal to the whole one where all is drawn, and on average."""

from __future__ import annotations

import math
from pathlib import Path

import numpy
import pytest
import torch
from stages_for_tests import tiny_pretrain

from ulmfit.language_model.compute import Compute
from ulmfit.language_model.loss import LanguageModelLoss, StreamLoss
from ulmfit.language_model.model import LanguageModel
from ulmfit.language_model.sampled_softmax import ClassSampler, class_sampler
from ulmfit.language_model.settings import Architecture, Dropouts, LanguageModelSettings
from ulmfit.pipeline.files import read_json
from ulmfit.pipeline.runner import Runner
from ulmfit.training.settings import Phase

VOCABULARY = 50


def counts() -> numpy.ndarray:
    """Return frequencies as of words: a few common ones, many rare ones, some that never occur."""
    return (10_000 / numpy.arange(1, VOCABULARY + 1) ** 1.5).astype(numpy.int64) - 50


def loss_and_gradients(
    sampler: ClassSampler | None, engine: str, dtype: torch.dtype
) -> tuple[torch.Tensor, list[torch.Tensor]]:
    torch.manual_seed(1)
    architecture = Architecture(embedding_size=6, hidden_size=9, layers=1)
    model = LanguageModel(VOCABULARY, architecture, Dropouts(multiplier=0)).to(dtype)
    torch.nn.init.normal_(model.decoder.decoder.bias)
    model.set_compute(Compute(engine=engine))
    ids = torch.randint(VOCABULARY, (3, 6))
    loss = StreamLoss(model, LanguageModelLoss(), 0, 0, sampler)(model(ids[:, :-1]), ids[:, 1:])
    return loss.detach(), list(torch.autograd.grad(loss, list(model.parameters())))


@pytest.mark.parametrize("engine", ["plain", "fast"])
@pytest.mark.parametrize(("dtype", "limit"), [(torch.float64, 1e-10), (torch.float32, 1e-5)])
def test_with_all_classes_loss_and_gradients_are_those_of_the_whole_softmax(
    engine: str, dtype: torch.dtype, limit: float
) -> None:
    expected, gradients = loss_and_gradients(None, engine, dtype)
    for samples in (VOCABULARY, 3 * VOCABULARY):
        found, ours = loss_and_gradients(ClassSampler(counts(), samples), engine, dtype)
        assert found == pytest.approx(float(expected), rel=limit)
        for one, other in zip(ours, gradients, strict=True):
            assert (one - other).norm() <= limit * other.norm()


def test_with_a_part_of_the_classes_the_loss_is_another_and_only_their_rows_get_gradients() -> None:
    whole, _ = loss_and_gradients(None, "plain", torch.float64)
    part, gradients = loss_and_gradients(ClassSampler(counts(), 20), "plain", torch.float64)
    assert part != pytest.approx(float(whole), rel=1e-6)
    bias = next(gradient for gradient in gradients if gradient.shape == (VOCABULARY,))
    assert (bias != 0).sum() == 20


def test_on_average_the_partition_function_and_its_gradient_are_the_whole_ones() -> None:
    """The gradient of the sum over exp(logits) is exp(logits): so each class has to count once on average."""
    torch.manual_seed(0)
    sampler = ClassSampler(1_000 // numpy.arange(1, VOCABULARY + 1), 12)
    targets = torch.tensor([0, 49, 7, 7])
    draws = 10_000
    weights = torch.zeros(VOCABULARY)
    for _ in range(draws):
        sample = sampler(targets)
        weights[sample.classes] += sample.correction.exp()
    torch.testing.assert_close(weights / draws, torch.ones(VOCABULARY), rtol=0, atol=0.1)
    logits = torch.linspace(-1, 1, VOCABULARY)
    assert float((logits.exp() * weights / draws).sum() / logits.exp().sum()) == pytest.approx(1, abs=0.01)


def test_a_chunks_own_pieces_are_in_its_sample_and_frequent_ones_more_often() -> None:
    torch.manual_seed(0)
    sampler = ClassSampler(counts(), 12)
    targets = torch.tensor([48, 3, 48, 41])
    drawn = torch.zeros(VOCABULARY)
    for _ in range(500):
        sample = sampler(targets)
        assert len(set(sample.classes.tolist())) == 12
        assert torch.equal(sample.classes[sample.targets], targets)
        assert torch.equal(sample.correction[sample.targets], torch.zeros(4))
        drawn[sample.classes] += 1
    assert drawn[[3, 41, 48]].tolist() == [500] * 3
    assert drawn[0] > 450 > 100 > drawn[20:41].max()
    assert drawn[20:41].sum() > 0


def test_no_target_is_ever_left_out_however_many_there_are() -> None:
    sampler = ClassSampler(counts(), 4)
    for tokens in (5, 30, 80):
        targets = torch.arange(tokens) % VOCABULARY
        sample = sampler(targets)
        assert len(sample.classes) == min(tokens, VOCABULARY)
        assert torch.equal(sample.classes[sample.targets], targets)


def test_validation_is_over_all_pieces() -> None:
    with torch.no_grad():
        torch.manual_seed(0)
        model = LanguageModel(VOCABULARY, Architecture(embedding_size=6, layers=1), Dropouts(multiplier=0))
        ids = torch.randint(VOCABULARY, (3, 6))
        outputs = model(ids[:, :-1])
        plain, sampled = (
            StreamLoss(model, LanguageModelLoss(), 0, 0, sampler)(outputs, ids[:, 1:])
            for sampler in (None, ClassSampler(counts(), 10))
        )
    assert torch.equal(plain, sampled)


def test_a_model_trained_with_samples_learns_as_one_trained_with_all(tmp_path: Path) -> None:
    whole, sampled = (
        read_json(
            Runner(tmp_path).build(
                tiny_pretrain(
                    phases=(Phase(learning_rate=1e-2, discriminative=1),),
                    batch_size=4,
                    bptt=8,
                    dropouts=Dropouts(multiplier=0),
                    sampled_softmax=samples,
                )
            )
            / "history.json"
        )["epochs"][-1]["valid_loss"]
        for samples in (0, 40)
    )
    assert sampled != whole
    assert sampled == pytest.approx(whole, abs=0.2)
    assert max(sampled, whole) < math.log(80) - 0.6


def test_off_there_is_no_sampler_and_smoothing_excludes_it() -> None:
    plain = LanguageModelSettings()
    tokens = numpy.array([0, 3, 3, 3], numpy.uint16)
    assert class_sampler(plain, tokens, 5) is None
    sampler = class_sampler(plain.changed(sampled_softmax=2), tokens, 5)
    assert sampler is not None
    torch.manual_seed(0)
    drawn = torch.cat([sampler(torch.tensor([0])).classes for _ in range(200)])
    assert (drawn == 3).sum() > 1.5 * (drawn == 1).sum() > 0
    with pytest.raises(ValueError, match="sampled_softmax and label_smoothing exclude each other"):
        plain.changed(sampled_softmax=2, label_smoothing=0.1)
