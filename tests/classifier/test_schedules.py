"""Classifier schedules: the rates that the optimizer used, step by step, beside fastai's own calls."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy
import pytest
import torch
from fastai.callback.core import Callback
from fastai.data.core import DataLoaders
from fastai.learner import Learner
from torch import nn

from ulmfit.classifier.schedules import all_at_once, classifier_schedule, read_schedule, ulmfit_gradual
from ulmfit.classifier.settings import ClassifierSettings
from ulmfit.experiments.recipe import load_recipe
from ulmfit.pipeline.errors import InputError
from ulmfit.pipeline.runner import Runner
from ulmfit.pipeline.stage import Work
from ulmfit.training.learner import train
from ulmfit.training.settings import Phase

GROUPS, STEPS = 5, 7
MOMENTUM = (0.8, 0.7, 0.8)
LOWER = 2.6**4

Rates = list[tuple[list[float], list[float], list[bool]]]
"""For every step the rate and the momentum of every group, and which groups are trained."""


class Layers(nn.Module):
    """A model of as many layer groups, none of which carries a state."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(*(nn.Linear(2, 2) for _ in range(GROUPS)))

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        return self.layers(inputs)

    def hidden_tensors(self) -> dict[str, torch.Tensor]:
        return {}

    def restore_hidden(self, tensors: dict[str, torch.Tensor]) -> None:
        pass


def layer_groups(model: Any) -> list[list[nn.Parameter]]:
    return [list(layer.parameters()) for layer in model.layers]


class Noted(Callback):
    """Writes down what every step was done with."""

    order = 100
    run_valid = False

    def __init__(self) -> None:
        self.steps: Rates = []

    def before_step(self) -> None:
        hypers, groups = self.opt.hypers, layer_groups(self.learn.model)
        self.steps.append(
            (
                [float(hyper["lr"]) for hyper in hypers],
                [float(hyper["mom"]) for hyper in hypers],
                [group[0].requires_grad for group in groups],
            )
        )


class Batches:
    """STEPS batches."""

    n_inp = 1
    tokens_read = STEPS

    def __len__(self) -> int:
        return STEPS

    def batches(self, epoch: int, first: int = 0) -> Any:
        for _ in range(first, STEPS):
            yield torch.ones(3, 2), torch.tensor([0, 1, 0])


def ours(phases: tuple[Phase, ...], folder: Path) -> Rates:
    from stages_for_tests import InventedCorpus

    noted = Noted()
    settings = ClassifierSettings(phases=phases, precision="fp32", device="cpu")
    work = Work(Runner(folder), InventedCorpus(), folder)
    loss = nn.CrossEntropyLoss()
    train(Layers(), Batches(), Batches(), loss, layer_groups, settings, work, callbacks=[noted])
    return noted.steps


def fastais(fit: Callable[[Learner], None]) -> Rates:
    items = [(torch.ones(2), torch.tensor(0))] * (3 * STEPS)
    loader = torch.utils.data.DataLoader(items, batch_size=3)
    noted = Noted()
    learner = Learner(
        DataLoaders(loader, loader, device=torch.device("cpu")),
        Layers(),
        loss_func=nn.CrossEntropyLoss(),
        splitter=layer_groups,
        cbs=[noted],
        train_bn=False,
    )
    with learner.no_bar(), learner.no_logging():
        fit(learner)
    return noted.steps


def one_cycle(learner: Learner, epochs: int, rate: Any) -> None:
    learner.fit_one_cycle(epochs, rate, moms=MOMENTUM, pct_start=0.3)


def stock_1cycle(learner: Learner) -> None:
    one_cycle(learner, 3, slice(1e-2 / LOWER, 2e-2))


def stock_2cycle(learner: Learner) -> None:
    learner.freeze_to(-1)
    one_cycle(learner, 1, 2e-2)
    learner.unfreeze()
    one_cycle(learner, 2, slice(1e-2 / LOWER, 1e-2))


def stock_layered(learner: Learner) -> None:
    learner.freeze_to(-1)
    one_cycle(learner, 1, 2e-2)
    learner.freeze_to(-2)
    one_cycle(learner, 1, slice(1e-2 / LOWER, 1e-2))
    learner.freeze_to(-3)
    one_cycle(learner, 1, slice(5e-3 / LOWER, 5e-3))
    learner.unfreeze()
    one_cycle(learner, 2, slice(1e-3 / LOWER, 1e-3))


@pytest.mark.parametrize(
    ("schedule", "reference"),
    [("1cycle:3", stock_1cycle), ("2cycle:3", stock_2cycle), ("layered:6", stock_layered)],
)
def test_every_step_has_fastais_rates_and_momentum(
    schedule: str, reference: Callable[[Learner], None], tmp_path: Path
) -> None:
    found, expected = ours(read_schedule(schedule), tmp_path), fastais(reference)
    assert len(found) == len(expected) > STEPS
    for step, (these, those) in enumerate(zip(found, expected, strict=True)):
        assert these[2] == those[2], f"step {step}: which groups are trained"
        numpy.testing.assert_allclose(these[0], those[0], rtol=1e-6, err_msg=f"rates of step {step}")
        numpy.testing.assert_allclose(these[1], those[1], rtol=1e-6, err_msg=f"momentum of step {step}")
    assert len({tuple(rates) for rates, _, _ in found}) > STEPS, "rates change from step to step"


def test_gradual_unfreezing_follows_equation_3_in_every_phase(tmp_path: Path) -> None:
    """Steps t count from 0: p = t / cut, then 1 - (t - cut) / (cut (1 / .1 - 1)); ratio 32, cut_frac .1."""
    found = ours(ulmfit_gradual(7, GROUPS), tmp_path)
    epochs = [1, 1, 1, 1, 3]
    assert len(found) == sum(epochs) * STEPS
    steps = iter(found)
    for phase, length in enumerate(epochs):
        total = length * STEPS
        cut = 0.1 * total
        for step in range(total):
            rates, momenta, trained = next(steps)
            share = step / cut if step < cut else 1 - (step - cut) / (cut * (1 / 0.1 - 1))
            top = 0.01 * (1 + share * 31) / 32
            expected = [top / 2.6 ** (GROUPS - 1 - group) for group in range(GROUPS)]
            numpy.testing.assert_allclose(rates, expected, rtol=1e-6)
            assert momenta == pytest.approx([0.7] * GROUPS)
            frozen = max(GROUPS - 1 - phase, 0)
            assert trained == [False] * frozen + [True] * (GROUPS - frozen)


def test_epochs_of_the_schedules() -> None:
    assert [phase.epochs for phase in read_schedule("layered:8")] == [1, 1, 1, 4]
    assert [phase.trainable_groups for phase in read_schedule("layered:8")] == [1, 2, 3, 0]
    assert [phase.epochs for phase in read_schedule("2cycle:8")] == [1, 7]
    assert [phase.epochs for phase in read_schedule("gradual:10")] == [1, 1, 1, 1, 6]
    assert [phase.trainable_groups for phase in read_schedule("gradual:10:6")] == [1, 2, 3, 4, 5, 0]
    assert classifier_schedule("1cycle", 8) == read_schedule("1cycle:8")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("cycle:8", "there is no schedule 'cycle'; expected one of 1cycle, 2cycle, layered, gradual"),
        ("", "there is no schedule ''"),
        ("layered", "schedule 'layered': expected NAME:EPOCHS"),
        ("layered:x", "schedule 'layered:x': expected NAME:EPOCHS"),
        ("layered:-8", "schedule 'layered:-8': expected NAME:EPOCHS"),
        ("layered:8:5", "schedule 'layered:8:5': expected NAME:EPOCHS"),
        ("layered:5", "schedule layered: 5 epochs; expected at least 6"),
        ("2cycle:1", "schedule 2cycle: 1 epochs; expected at least 2"),
        ("1cycle:0", "schedule 1cycle: 0 epochs; expected at least 1"),
        ("gradual:4", "schedule gradual: 4 epochs; expected at least 5"),
        ("gradual:9:0", "schedule gradual: expected at least 1 layer group"),
    ],
)
def test_wrong_schedules_are_refused(text: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        read_schedule(text)


def test_a_schedule_is_chosen_on_the_command_line() -> None:
    recipe = load_recipe("toy/sentiment")
    changed = recipe.with_overrides(["classifier.phases=layered:8"])
    assert changed.settings.classifier.phases == read_schedule("layered:8")
    with pytest.raises(
        InputError, match=r"--set classifier.phases=lay:8: phases: there is no schedule 'lay'"
    ):
        recipe.with_overrides(["classifier.phases=lay:8"])


@pytest.mark.parametrize("text", ["1cycle:5", "2cycle:5", "layered:8", "gradual:7"])
def test_all_at_once_trains_everything_as_long_and_at_one_rate(text: str, tmp_path: Path) -> None:
    phases = read_schedule(text)
    used = ours(all_at_once(phases), tmp_path)
    assert len(used) == STEPS * sum(phase.epochs for phase in phases)
    assert all(len(set(rates)) == 1 and all(trained) for rates, _, trained in used)
    assert max(rates[0] for rates, _, _ in used) == pytest.approx(phases[-1].learning_rate, rel=0.05)


@pytest.mark.parametrize(("least", "steps", "passes"), [(0, 2, 1), (10, 2, 1), (11, 2, 2), (400, 4, 20)])
def test_least_steps_are_passes_of_every_epoch(least: int, steps: int, passes: int) -> None:
    settings = ClassifierSettings(phases=read_schedule("2cycle:5"), least_steps=least)
    assert settings.passes(steps) == passes
