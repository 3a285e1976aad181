"""The moving average of weights, early stopping, and the best epoch's weights."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from fastai.callback.core import Callback, CancelFitException
from torch import Tensor
from training.learners_for_tests import small_learner, small_model, weights_of

from ulmfit.training.averaging import WeightAverage
from ulmfit.training.distribution import SINGLE
from ulmfit.training.history import EarlyStopping, History, KeepBest, ValidationMetric
from ulmfit.training.weights import load_weights, own_tensors


class Weights(Callback):
    """Keeps the weights after every step and those that are validated."""

    def __init__(self) -> None:
        self.after_steps: list[dict[str, Tensor]] = []
        self.validated: list[dict[str, Tensor]] = []

    def after_step(self) -> None:
        self.after_steps.append(weights_of(self.learn.inner))

    def before_validate(self) -> None:
        self.validated.append(weights_of(self.learn.inner))


def expected_average(weights: list[dict[str, Tensor]], decay: float) -> dict[str, Tensor]:
    """Return sum of (1 - d) d^(n - i) w_i over i, divided by the sum of its factors, in float64."""
    factors = [(1 - decay) * decay ** (len(weights) - 1 - i) for i in range(len(weights))]
    return {
        name: (
            sum(f * w[name].double() for f, w in zip(factors, weights, strict=True)) / sum(factors)
        ).float()
        for name in weights[0]
    }


@pytest.mark.parametrize("accumulation", [1, 3])
def test_the_average_is_validated_and_training_goes_on_with_the_weights(accumulation: int) -> None:
    weights, plain = Weights(), Weights()
    learner = small_learner(callbacks=[weights], average_decay=0.8, accumulation=accumulation)
    learner.fit(2, 1e-2)
    small_learner(callbacks=[plain], accumulation=accumulation).fit(2, 1e-2)
    updates = len(weights.after_steps)
    assert updates == 2 * (14 if accumulation == 1 else 5)
    for ours, theirs in zip(weights.after_steps, plain.after_steps, strict=True):
        assert all(torch.equal(weight, theirs[name]) for name, weight in ours.items())
    for epoch, validated in enumerate(weights.validated):
        expected = expected_average(weights.after_steps[: (epoch + 1) * updates // 2], 0.8)
        for name, weight in validated.items():
            torch.testing.assert_close(weight, expected[name], rtol=1e-5, atol=1e-6)


def test_the_average_goes_on_after_a_resume() -> None:
    model = small_model()
    average, again = WeightAverage(model, 0.9), WeightAverage(model, 0.9)
    good = torch.tensor(0.0)
    average.update(good)
    again.restore_tensors({name: tensor.clone() for name, tensor in average.tensors().items()})
    with torch.no_grad():
        model.decoder.decoder.bias += 1
    for one in (average, again):
        one.update(good)
    ours, theirs = average.weights(), again.weights()
    assert all(torch.equal(ours[name], theirs[name]) for name in ours)
    assert ours["1.decoder.bias"].mean() == pytest.approx(1 / 1.9)


def test_before_the_first_update_the_average_is_the_weights_and_integers_are_left_alone() -> None:
    model: Any = torch.nn.Sequential(torch.nn.Linear(2, 3), torch.nn.BatchNorm1d(3))
    average = WeightAverage(model, 0.9)
    before = {name: tensor.clone() for name, tensor in own_tensors(model).items()}
    load_weights(model, average.weights(), "the average")
    model(torch.randn(5, 2))
    average.update(torch.tensor(0.0))
    assert average.weights()["1.num_batches_tracked"] == 1
    torch.testing.assert_close(average.weights()["1.running_mean"], model[1].running_mean)
    torch.testing.assert_close(average.weights()["0.weight"], before["0.weight"])


class Epoch:
    """What early stopping asks of a learner."""

    def __init__(self, epochs: int) -> None:
        self.n_epoch, self.epoch = epochs, 0


def stopped_after(losses: list[float | None], patience: int, stopping: EarlyStopping | None = None) -> int:
    """Return the epochs that a phase with these validation losses runs."""
    history = History(10, len(losses), lambda target: 1, None, SINGLE)  # type: ignore[arg-type]
    stopping = stopping or EarlyStopping(history, patience)
    stopping.history, learner = history, Epoch(len(losses))
    stopping.learn = learner
    for epoch, loss in enumerate(losses):
        learner.epoch = epoch
        history.epochs.append({"phase": 0, "epoch": epoch, "valid_loss": loss})
        stopping.after_validate()
        stopping.restore(stopping.state())
        try:
            stopping.after_epoch()
        except CancelFitException:
            return epoch + 1
    return len(losses)


def test_early_stopping_counts_epochs_without_a_lower_loss() -> None:
    assert stopped_after([3, 2, 2.5, 2.1, 1, 1], 2) == 4
    assert stopped_after([3, 2, 2.5, 1.9, 2, 1.8], 2) == 6
    assert stopped_after([3, 3, 3, 3], 1) == 2
    assert stopped_after([3, float("nan"), float("nan"), 1], 2) == 3
    assert stopped_after([3, 2, 4], 1) == 3, "the last epoch is no early end"


def test_early_stopping_begins_anew_in_every_phase() -> None:
    history = History(10, 4, lambda target: 1, None, SINGLE)  # type: ignore[arg-type]
    stopping = EarlyStopping(history, 1)
    for phase, loss in [(0, 1.0), (1, 5.0)]:
        history.epochs.append({"phase": phase, "epoch": 0, "valid_loss": loss})
        stopping.after_validate()
        assert stopping.epochs_since == 0


def test_the_best_epochs_weights_are_kept_over_a_resume() -> None:
    history = History(10, 4, lambda target: 1, None, SINGLE)  # type: ignore[arg-type]
    best, again = KeepBest(history), KeepBest(history)
    model = small_model()
    best.learn = type("Learn", (), {"inner": model})()
    for loss in (2.0, 1.0, 3.0):
        history.epochs.append({"valid_loss": loss})
        with torch.no_grad():
            model.decoder.decoder.bias.fill_(loss)
        best.after_validate()
    assert again.state() == {"best_loss": "inf"}
    again.restore(best.state())
    again.restore_tensors(best.tensors())
    assert again.lowest == 1.0
    assert torch.equal(again.best["1.decoder.bias"], torch.ones(40))


F1 = ValidationMetric("f1", lambda predictions: 0.0)


def test_a_metric_takes_the_place_of_the_loss_and_higher_is_better() -> None:
    history = History(10, 6, lambda target: 1, None, SINGLE, F1)  # type: ignore[arg-type]
    best, stopping, model = KeepBest(history), EarlyStopping(history, 2), small_model()
    best.learn = type("Learn", (), {"inner": model})()
    epochs_since = []
    for epoch, (loss, value) in enumerate([(1.0, 0.5), (0.1, None), (3.0, 0.7), (2.0, 0.7), (0.5, 0.6)]):
        history.epochs.append({"phase": 0, "epoch": epoch, "valid_loss": loss, "f1": value})
        with torch.no_grad():
            model.decoder.decoder.bias.fill_(epoch)
        for callback in (best, stopping):
            callback.after_validate()
            callback.restore(callback.state())
        epochs_since.append(stopping.epochs_since)
    assert torch.equal(best.best["1.decoder.bias"], torch.full((40,), 2.0)), "the first of two equal ones"
    assert epochs_since == [0, 1, 0, 1, 2]
