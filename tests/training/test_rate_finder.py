"""The learning-rate range test: suggestions as fastai's, and nothing is changed by it."""

from __future__ import annotations

import math
import random
from pathlib import Path

import numpy
import pytest
import torch
from training.learners_for_tests import small_learner, small_model
from typer.testing import CliRunner

from ulmfit.cli.app import app
from ulmfit.experiments.find_rate import find_rate as find_rate_of_recipe
from ulmfit.experiments.find_rate import plot
from ulmfit.experiments.recipe import load_recipe
from ulmfit.experiments.run_folder import write_run
from ulmfit.language_model.settings import Dropouts
from ulmfit.pipeline.errors import InputError
from ulmfit.pipeline.files import read_json
from ulmfit.training.rate_finder import RateSearch, find_rate, steep, valley

RECIPE = str(Path(__file__).parents[1] / "recipes_for_tests" / "tiny.py")


def curve(seed: int) -> tuple[list[float], list[float]]:
    """Return rates, and losses that fall and then rise, with noise."""
    chance = random.Random(seed)
    rates = [1e-6 * 10 ** (number / 12) for number in range(80)]
    losses = [
        5 - math.tanh((n - 40) / 10) + max(0, n - 65) ** 2 / 20 + chance.gauss(0, 0.05) for n in range(80)
    ]
    return rates, losses


@pytest.mark.parametrize("seed", range(6))
def test_suggestions_are_those_of_fastai(seed: int) -> None:
    from fastai.callback import schedule

    rates, losses = curve(seed)
    tensors = torch.tensor(rates), torch.tensor(losses)
    assert valley(rates, losses) == pytest.approx(schedule.valley(*tensors, 100)[0])
    assert steep(rates, losses) == pytest.approx(schedule.steep(*tensors, 100)[0])


def test_few_losses_give_no_suggestion() -> None:
    assert valley([], []) is None
    assert steep([1.0], [1.0]) is None


def everything(learn) -> dict[str, torch.Tensor]:
    state = {name: tensor.clone() for name, tensor in learn.inner.state_dict().items()}
    hidden = {f"hidden.{name}": tensor.clone() for name, tensor in learn.inner.hidden_tensors().items()}
    moments = learn.opt.opt.state_dict()["state"]
    optimizer = {
        f"optimizer.{index}.{name}": value.clone()
        for index, values in moments.items()
        for name, value in values.items()
    }
    numbers = torch.tensor(numpy.random.get_state(legacy=True)[1].astype(numpy.int64))
    return {**state, **hidden, **optimizer, "torch": torch.get_rng_state(), "numpy": numbers}


def test_nothing_is_changed() -> None:
    learn = small_learner(small_model(Dropouts()), average_decay=0.9, accumulation=2)
    learn.fit(1, 1e-2)
    learn.inner(torch.ones(4, 7, dtype=torch.long))
    before, optimizer, epochs = everything(learn), learn.opt, learn.epochs_before
    average = {name: tensor.clone() for name, tensor in learn.average.tensors().items()}
    find_rate(learn, steps=30)
    after = everything(learn)
    assert before.keys() == after.keys()
    assert all(torch.equal(before[name], after[name]) for name in before)
    assert learn.opt is optimizer
    assert learn.epochs_before == epochs
    assert all(torch.equal(average[name], tensor) for name, tensor in learn.average.tensors().items())


def test_rates_grow_and_a_diverging_loss_ends_the_search() -> None:
    learn = small_learner()
    found = find_rate(learn, lowest=1e-5, highest=1e4, steps=90, group_rates=(0.25, 0.5, 1.0))
    ratios = [later / earlier for earlier, later in zip(found.rates, found.rates[1:], strict=False)]
    assert ratios == pytest.approx([1e9 ** (1 / 90)] * len(ratios))
    assert len(found.losses) == len(found.rates)
    assert found.diverged
    assert len(found.rates) < 90
    assert found.valley is not None
    assert 1e-4 < found.valley < 1


def test_the_plot_is_an_svg_file_of_its_own() -> None:
    from xml.etree.ElementTree import fromstring

    rates, losses = curve(0)
    image = fromstring(plot(RateSearch(rates, losses, False, rates[40], rates[38]), "a <b> & c"))
    assert image.tag == "{http://www.w3.org/2000/svg}svg"
    assert image.find("{http://www.w3.org/2000/svg}style") is not None


def test_the_command_names_a_rate_and_writes_the_curve(tmp_path: Path) -> None:
    arguments = ["find-rate", RECIPE, "--preset", "forward", "--runs", str(tmp_path)]
    done = CliRunner().invoke(app, arguments, catch_exceptions=False)
    assert done.exit_code == 0
    content = read_json(tmp_path / "test" / "tiny-forward" / "rates.json")
    assert f"--set pretrain.phases.0.learning_rate={content['valley']:.2g}" in done.output
    assert len(content["rates"]) == len(content["losses"])
    assert (tmp_path / "test" / "tiny-forward" / "rates.svg").read_text().startswith("<svg")
    assert not list(tmp_path.glob("stages/pretrain/*")), "the stage itself was not built"


def test_the_folder_of_a_run_stands_for_its_recipe(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    recipe = load_recipe(RECIPE).changed(preset="forward")
    folder = tmp_path / "results" / recipe.run_name
    folder.mkdir(parents=True)
    write_run(recipe, folder)
    given = []

    def note(*arguments: object) -> tuple[RateSearch, Path]:
        given.append(arguments)
        return RateSearch([1e-3], [1.0], False, 1e-3, 1e-3), folder / "rates.svg"

    monkeypatch.setattr("ulmfit.experiments.find_rate.find_rate", note)
    CliRunner().invoke(app, ["find-rate", str(folder)], catch_exceptions=False)
    ((chosen, stage, runs, _),) = given
    assert (chosen.run_name, stage) == (recipe.run_name, "pretrain")
    assert runs.resolve() == (tmp_path / "results").resolve()


def test_a_wrong_stage_is_one_line(tmp_path: Path) -> None:
    recipe = load_recipe(RECIPE)
    with pytest.raises(InputError, match="--stage classifier: expected pretrain or finetune"):
        find_rate_of_recipe(recipe, "classifier", tmp_path)
    with pytest.raises(InputError, match="has no data set"):
        find_rate_of_recipe(recipe.changed(dataset=None), "finetune", tmp_path)
