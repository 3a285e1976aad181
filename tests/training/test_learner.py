"""The loop under fastai's Learner, against stock fastai: losses, events, callbacks, predictions."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
import torch
from fastai.callback.core import Callback, TrainEvalCallback
from fastai.callback.rnn import ModelResetter, RNNCallback, RNNRegularizer
from fastai.callback.schedule import ParamScheduler
from fastai.callback.training import GradientAccumulation, GradientClip
from fastai.data.core import DataLoaders
from fastai.learner import Learner, Recorder
from fastai.losses import CrossEntropyLossFlat
from fastai.metrics import Perplexity, accuracy
from fastai.optimizer import OptimWrapper
from stages_for_tests import tiny_pretrain
from torch import Tensor
from torch.nn import functional
from training.learners_for_tests import (
    BATCH,
    BPTT,
    VOCABULARY,
    small_learner,
    small_model,
    tokens,
    weights_of,
)

from ulmfit.language_model.loader import StreamLoader
from ulmfit.language_model.model import LanguageModel, layer_groups
from ulmfit.language_model.settings import Dropouts
from ulmfit.pipeline.errors import InputError
from ulmfit.pipeline.runner import Runner


class Stock(Learner):
    """fastai's Learner, taking its batches from a loader with numbered epochs."""

    def all_batches(self) -> None:
        self.n_iter = len(self.dl)
        for index, batch in enumerate(self.dl.batches(self.epoch if self.training else 0)):
            self.one_batch(index, batch)


class SeenLosses(Callback):
    """Collects losses, as a user might."""

    def before_fit(self) -> None:
        self.seen: list[tuple[bool, float]] = []

    def after_batch(self) -> None:
        self.seen.append((self.training, float(self.learn.loss.detach())))


def stock_learner(model: LanguageModel, callbacks: list[Any], ar: float = 2.0, tar: float = 1.0) -> Learner:
    """Return what stock fastai does with the same model, loaders and optimizer."""
    loaders = DataLoaders(
        StreamLoader(tokens(), BATCH, BPTT), StreamLoader(tokens(120, 1), BATCH, BPTT, shifted=False)
    )
    learner = Stock(
        loaders,
        model,
        loss_func=CrossEntropyLossFlat(),
        opt_func=lambda groups, **options: OptimWrapper(
            groups, opt=torch.optim.AdamW, betas=(0.9, 0.99), **options
        ),
        splitter=layer_groups,
        wd=0.01,
        cbs=[TrainEvalCallback(), ModelResetter(), RNNCallback(), RNNRegularizer(ar, tar), *callbacks],
        default_cbs=False,
    )
    learner.dls._device = torch.device("cpu")
    return learner


@pytest.mark.parametrize("clip", [0.0, 0.3])
def test_training_equals_stock_fastai(clip: float) -> None:
    dropouts = Dropouts()
    ours, theirs = SeenLosses(), SeenLosses()
    learner = small_learner(small_model(dropouts), [ours], gradient_clip=clip, engine="plain")
    stock_model = small_model(dropouts)
    stock = stock_learner(stock_model, [theirs, *([GradientClip(clip)] if clip else [])])
    for one in (learner, stock):
        torch.manual_seed(5)
        one.fit_one_cycle(2, 2e-2)
    assert [training for training, _ in ours.seen] == [training for training, _ in theirs.seen]
    torch.testing.assert_close(
        torch.tensor([loss for _, loss in ours.seen]),
        torch.tensor([loss for _, loss in theirs.seen]),
        rtol=1e-4,
        atol=1e-5,
    )
    assert ours.seen[0][1] > ours.seen[-1][1], "it learns"


def test_logits_are_never_made_unless_somebody_asks() -> None:
    made: list[int] = []
    learner = small_learner()
    learner.model.decoder.register_forward_hook(lambda *_: made.append(1))
    learner.fit_one_cycle(1, 1e-2)
    assert made == []
    assert learner.inner.makes_logits, "outside of training the model is as it was"


class ReadsPrediction(Callback):
    """Compares learn.pred with logits computed here, at one event."""

    def __init__(self, event: str) -> None:
        setattr(self, event, self._look)
        self.shapes: list[tuple[int, ...]] = []

    def _look(self) -> None:
        expected = self.learn.fused.model.decoder(self.learn.outputs.dropped)
        torch.testing.assert_close(self.learn.pred, expected)
        self.shapes.append(tuple(self.learn.pred.shape))


@pytest.mark.parametrize("event", ["after_pred", "after_loss", "before_step"])
def test_a_callback_that_reads_the_prediction_gets_it_with_one_line_of_notice(event: str) -> None:
    said: list[str] = []
    reader, losses = ReadsPrediction(event), SeenLosses()
    learner = small_learner(callbacks=[reader, losses], said=said)
    learner.fit_one_cycle(1, 1e-2)
    assert len(reader.shapes) >= 14
    assert len([line for line in said if "learn.pred" in line and "in training" in line]) == 1
    plain = SeenLosses()
    small_learner(callbacks=[plain]).fit_one_cycle(1, 1e-2)
    assert [loss for _, loss in losses.seen] == pytest.approx([loss for _, loss in plain.seen], rel=1e-5)


class LateReader(Callback):
    """Reads the prediction when the weights have changed already, through another method."""

    run_valid = False

    def after_batch(self) -> None:
        self._helper()

    def _helper(self) -> None:
        loss = functional.cross_entropy(self.learn.pred.flatten(0, 1), self.learn.yb[0].flatten())
        torch.testing.assert_close(loss, self.learn.loss)


def test_a_late_reader_gets_the_batches_own_logits_when_they_are_asked_for() -> None:
    said: list[str] = []
    small_learner(callbacks=[LateReader()], said=said, logits=True).fit_one_cycle(1, 5e-2)
    assert said == []


def test_a_stages_own_training_asks_for_no_logits(tmp_path: Path) -> None:
    stage = tiny_pretrain()
    folder = Runner(tmp_path / "runs").build(stage)
    assert "logits" not in (folder / "log.txt").read_text(encoding="utf-8")


def test_a_late_reader_is_told_to_ask_for_logits() -> None:
    with pytest.raises(InputError, match=r"after the step.*logits=True"):
        small_learner(callbacks=[LateReader()]).fit_one_cycle(1, 5e-2)
    learner = small_learner(metrics=[accuracy])
    learner.recorder.train_metrics = True
    with pytest.raises(InputError, match="logits=True"):
        learner.fit_one_cycle(1, 5e-2)


def test_metrics_are_those_of_stock_fastai_and_training_goes_on_without_logits() -> None:
    def share_right(logits: Tensor, targets: Tensor) -> Tensor:
        return accuracy(logits, targets)

    said: list[str] = []
    learner = small_learner(metrics=[share_right, Perplexity()], said=said, engine="plain")
    stock = stock_learner(small_model(), [Recorder()])
    stock.metrics, stock.logger = [share_right, Perplexity()], lambda row: None
    for one in (learner, stock):
        one.fit_one_cycle(1, 2e-2)
    ours, theirs = learner.recorder.values[0], stock.recorder.values[0]
    assert learner.recorder.metric_names == stock.recorder.metric_names
    assert list(ours) == pytest.approx(list(theirs), rel=1e-4)
    assert learner.makes_logits == {True: False, False: True}
    assert len(said) == 1


class Zeroes(Callback):
    """Replaces the prediction, or the loss that is differentiated, by zeros."""

    run_valid = False

    def __init__(self, what: str) -> None:
        self.what = what

    def after_pred(self) -> None:
        if self.what == "pred":
            self.learn.pred = self.learn.pred * 0

    def after_loss(self) -> None:
        if self.what == "pred":
            assert float(self.learn.loss.detach()) == pytest.approx(math.log(VOCABULARY))
        else:
            self.learn.loss_grad = self.learn.loss_grad * 0


@pytest.mark.parametrize("what", ["pred", "loss_grad"])
def test_what_callbacks_replace_takes_effect(what: str) -> None:
    model = small_model()
    before = weights_of(model)
    small_learner(model, [Zeroes(what)], ar=0, tar=0, weight_decay=0).fit(1, 1e-2)
    assert all(torch.equal(weight, before[name]) for name, weight in weights_of(model).items())


def test_a_loss_function_of_the_users_own_is_used() -> None:
    model = small_model()
    before = weights_of(model)
    learner = small_learner(model, ar=0, tar=0, weight_decay=0)
    learner.loss_func = lambda logits, targets: 0 * logits.sum()
    learner.fit(1, 1e-2)
    assert all(torch.equal(weight, before[name]) for name, weight in weights_of(model).items())


def test_fastais_own_accumulation_callback_works_and_equals_the_setting() -> None:
    theirs = small_learner(callbacks=[GradientAccumulation(2 * BATCH)])
    ours = small_learner(accumulation=2)
    plain = small_learner()
    for learner in (theirs, ours, plain):
        learner.fit_one_cycle(1, 1e-2)
    for name, weight in weights_of(ours.inner).items():
        torch.testing.assert_close(weight, weights_of(theirs.inner)[name])
        assert not torch.allclose(weight, weights_of(plain.inner)[name])


def test_two_fits_see_different_batches_and_schedules_are_fastais() -> None:
    class Seen(Callback):
        run_valid = False

        def before_fit(self) -> None:
            self.first: list[Tensor] = []

        def before_batch(self) -> None:
            self.first.append(self.xb[0].clone())

    seen = Seen()
    learner = small_learner(callbacks=[seen])
    learner.fit_one_cycle(1, 1e-2)
    first = seen.first
    learner.fit(1, cbs=ParamScheduler({"lr": lambda share: 1e-3 * (1 - share)}))
    assert not all(torch.equal(a, b) for a, b in zip(first, seen.first, strict=True))
    assert learner.recorder.lrs[0] == pytest.approx(1e-3)


def test_frozen_groups_of_a_learner_do_not_move() -> None:
    model = small_model()
    learner = small_learner(model)
    learner.create_opt()
    learner.freeze_to(-1)
    before = weights_of(model)
    learner.fit_one_cycle(1, 1e-2)
    for name, weight in weights_of(model).items():
        assert torch.equal(weight, before[name]) == name.startswith("0.rnns"), name


def test_validate_works_outside_of_a_fit() -> None:
    learner = small_learner(metrics=[accuracy])
    loss, right = learner.validate()
    assert loss == pytest.approx(math.log(VOCABULARY), rel=0.1)
    assert 0 <= right < 0.2
