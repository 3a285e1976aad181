"""Updates of the weights: accumulation, clipping, decay, and those that are left out."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
from fastai.callback.core import Callback
from torch import Tensor, nn
from training.learners_for_tests import (
    BATCH,
    BPTT,
    VOCABULARY,
    Batches,
    small_learner,
    small_model,
    weights_of,
)

from ulmfit.language_model.loss import LanguageModelLoss, StreamLoss
from ulmfit.language_model.model import LanguageModel, layer_groups
from ulmfit.pipeline.errors import StageFailed
from ulmfit.training.guard import Guard

RATE, DECAY = 1e-2, 0.1


class Forget(Callback):
    """Makes batches independent of each other."""

    def before_batch(self) -> None:
        self.learn.inner.reset()


def random_batches(count: int, size: int = BATCH, seed: int = 3) -> list[tuple[Tensor, Tensor]]:
    """Return batches of ids and targets without any order."""
    generator = torch.Generator().manual_seed(seed)
    ids = torch.randint(2, VOCABULARY, (count, size, BPTT + 1), generator=generator)
    return [(batch[:, :-1], batch[:, 1:]) for batch in ids]


def trained(
    batches: list[tuple[Tensor, Tensor]],
    model: LanguageModel | None = None,
    callbacks: tuple[Any, ...] = (),
    epochs: int = 1,
    **changes: Any,
) -> LanguageModel:
    """Return the model after a fit with a constant rate on these batches."""
    learner = small_learner(model, callbacks, weight_decay=DECAY, **changes)
    learner.dls.loaders[0] = Batches(batches)
    learner.fit(epochs, RATE)
    return learner.inner


def reference(
    batches: list[tuple[Tensor, Tensor]],
    *,
    clip: float = 0.0,
    group: int = 1,
    smoothing: float = 0.0,
    kind: type[torch.optim.Optimizer] = torch.optim.AdamW,
) -> LanguageModel:
    """Return the same, by a loop in plain torch: torch's Adam and clip_grad_norm_, logits and all."""
    model = small_model()
    optimizer = kind(model.parameters(), RATE, (0.9, 0.99), weight_decay=DECAY)
    for start in range(0, len(batches), group):
        optimizer.zero_grad()
        for ids, targets in batches[start : start + group]:
            logits, raw, dropped = model(ids)
            assert logits is not None
            loss = nn.functional.cross_entropy(
                logits.flatten(0, 1), targets.flatten(), label_smoothing=smoothing
            )
            loss = loss + 2 * dropped.square().mean() + (raw[:, 1:] - raw[:, :-1]).square().mean()
            (loss / len(batches[start : start + group])).backward()
        if clip:
            nn.utils.clip_grad_norm_(model.parameters(), clip)
        optimizer.step()
    return model


def assert_equal_weights(one: LanguageModel, other: LanguageModel, tolerance: float = 1e-5) -> None:
    theirs = weights_of(other)
    for name, weight in weights_of(one).items():
        torch.testing.assert_close(weight, theirs[name], rtol=tolerance, atol=tolerance / 10, msg=name)


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, {}),
        ({"gradient_clip": 0.05}, {"clip": 0.05}),
        ({"gradient_clip": 1e3}, {"clip": 1e3}),
        ({"accumulation": 3}, {"group": 3}),
        ({"accumulation": 3, "gradient_clip": 0.05}, {"group": 3, "clip": 0.05}),
        ({"label_smoothing": 0.2}, {"smoothing": 0.2}),
        ({"weight_decay_kind": "l2"}, {"kind": torch.optim.Adam}),
        (
            {"weight_decay_kind": "l2", "accumulation": 3, "gradient_clip": 0.05},
            {"kind": torch.optim.Adam, "group": 3, "clip": 0.05},
        ),
    ],
)
@pytest.mark.parametrize("engine", ["plain", "auto"])
def test_updates_equal_a_loop_in_plain_torch(changes: dict, expected: dict, engine: str) -> None:
    batches = random_batches(7)
    assert_equal_weights(trained(batches, engine=engine, **changes), reference(batches, **expected), 1e-4)


def test_accumulation_of_k_batches_equals_one_that_is_k_times_as_large() -> None:
    large = random_batches(4, size=3 * BATCH)
    small = [
        (ids[part : part + BATCH], targets[part : part + BATCH])
        for ids, targets in large
        for part in range(0, 3 * BATCH, BATCH)
    ]
    accumulated = trained(small, callbacks=(Forget(),), accumulation=3, gradient_clip=0.1)
    assert_equal_weights(accumulated, trained(large, callbacks=(Forget(),), gradient_clip=0.1), 1e-4)
    assert_equal_weights(trained(small[:3], accumulation=5), trained(small[:3], accumulation=3))


class Poison(Callback):
    """Makes the loss, or one gradient alone, of some batches infinite or undefined."""

    run_valid = False

    def __init__(self, steps: set[int], what: str) -> None:
        self.steps, self.what = steps, what

    def after_loss(self) -> None:
        if self.learn.train_iter in self.steps and self.what == "loss":
            self.learn.loss_grad = self.learn.loss_grad * torch.inf

    def after_backward(self) -> None:
        if self.learn.train_iter in self.steps and self.what == "gradient":
            self.learn.inner.decoder.decoder.bias.grad[3] = torch.nan


@pytest.mark.parametrize("what", ["loss", "gradient"])
@pytest.mark.parametrize("decay", [0.0, 0.5])
def test_a_bad_batch_leaves_everything_as_if_it_had_been_left_out(what: str, decay: float) -> None:
    batches = random_batches(6)
    learner = small_learner(callbacks=[Poison({2}, what)], weight_decay=DECAY, average_decay=decay)
    learner.dls.loaders[0] = Batches(batches)
    learner.fit(1, RATE)
    without = small_learner(weight_decay=DECAY, average_decay=decay)
    without.dls.loaders[0] = Batches(batches[:2] + batches[3:])
    without.fit(1, RATE)
    ours, theirs = weights_of(learner.inner), weights_of(without.inner)
    assert all(torch.equal(weight, theirs[name]) for name, weight in ours.items())
    for index, state in enumerate(learner.opt.opt.state_dict()["state"].values()):
        for name, value in without.opt.opt.state_dict()["state"][index].items():
            assert torch.equal(state[name], value), name
    if decay:
        averages = [one.average.weights() for one in (learner, without)]
        assert all(torch.equal(averages[0][name], averages[1][name]) for name in averages[0])
    assert learner.guard.bad_steps == [3]


def test_an_undefined_hidden_state_is_put_back() -> None:
    class Spoil(Callback):
        run_valid = False

        def after_loss(self) -> None:
            if self.learn.train_iter == 1:
                self.learn.inner.state[0][1].fill_(torch.nan)
                self.learn.loss_grad = self.learn.loss_grad * torch.nan

    states = []

    class Look(Callback):
        run_valid = False

        def after_batch(self) -> None:
            states.append([part.clone() for layer in self.learn.inner.state for part in layer])

    trained(random_batches(4), callbacks=(Spoil(), Look()))
    assert all(torch.equal(one, other) for one, other in zip(states[0], states[1], strict=True))
    assert all(part.isfinite().all() for state in states for part in state)


def test_a_bad_first_batch_begins_with_zeros_again() -> None:
    batches = random_batches(5)
    assert_equal_weights(
        trained(batches, callbacks=(Poison({0}, "loss"),)), trained(batches[1:]), tolerance=1e-9
    )


def test_too_many_bad_batches_in_a_row_stop_with_advice_and_weights_are_sound() -> None:
    model = small_model()
    with pytest.raises(
        StageFailed, match=r"gradients of 4 updates in a row.*step 6.*lower the learning rate"
    ):
        trained(random_batches(6), model, (Poison({2, 3, 4, 5}, "loss"),), skipped_steps=4)
    assert all(weight.isfinite().all() for weight in weights_of(model).values())
    trained(random_batches(6), callbacks=(Poison({0, 1, 2, 4, 5}, "loss"),), skipped_steps=4)
    trained(random_batches(6), callbacks=(Poison(set(range(6)), "loss"),), skipped_steps=0)


def test_too_many_bad_batches_are_noticed_soon() -> None:
    counted = []

    class Count(Callback):
        run_valid = False

        def after_batch(self) -> None:
            counted.append(self.learn.train_iter)

    with pytest.raises(StageFailed):
        trained(random_batches(60), callbacks=(Poison(set(range(60)), "loss"), Count()), skipped_steps=5)
    assert len(counted) == 10


def test_the_guards_counts_go_on_after_a_resume() -> None:
    learner = small_learner(callbacks=[Poison({1, 2}, "loss")])
    learner.dls.loaders[0] = Batches(random_batches(3))
    learner.fit(1, RATE)
    state = copy.deepcopy(learner.guard.state())
    assert state == {"step_number": 3, "bad_steps": [2, 3], "in_a_row": 2, "longest": 2}
    guard = Guard(small_model(), 0.0, 3)
    guard.restore(state)
    assert guard.state() == state


def test_an_optimizer_without_torchs_mechanism_is_guarded_as_well() -> None:
    from fastai.optimizer import SGD

    batches = random_batches(5)

    def fitted(given: list[tuple[Tensor, Tensor]], callbacks: list[Any]) -> LanguageModel:
        learner = small_learner(callbacks=callbacks, accumulation=1, gradient_clip=0.05)
        learner.opt_func = SGD
        learner.dls.loaders[0] = Batches(given)
        learner.fit(1, RATE)
        return learner.inner

    assert_equal_weights(fitted(batches, [Poison({3}, "loss")]), fitted(batches[:3] + batches[4:], []), 1e-9)


def test_the_loss_without_logits_smooths_labels_in_training_alone() -> None:
    model = small_model()
    loss = LanguageModelLoss(0.3)
    stream = StreamLoss(model, loss, 0.0, 0.0)
    ((ids, targets),) = random_batches(1)
    outputs = model(ids)
    assert outputs.logits is not None
    flat = outputs.logits.flatten(0, 1), targets.flatten()
    torch.testing.assert_close(
        stream(outputs, targets), nn.functional.cross_entropy(*flat, label_smoothing=0.3)
    )
    torch.testing.assert_close(loss(outputs.logits, targets), stream(outputs, targets))
    with torch.no_grad():
        torch.testing.assert_close(stream(outputs, targets), nn.functional.cross_entropy(*flat))
    assert stream.penalty(outputs) is None
    assert len(layer_groups(model)) == 3


def test_bad_batches_are_noticed_soon_with_frequent_checkpoints_too() -> None:
    guard = Guard(small_model(), clip=0.0, limit=3)
    guard.bad = torch.ones(())
    with pytest.raises(StageFailed, match="3 updates in a row"):
        for number in range(1, 9):
            guard._unread.append((number, guard.bad))
            guard.state()
            guard.check_now_and_then()
    assert number == 3
