"""Every recipe can be run with every published preset, as with its own."""

from __future__ import annotations

from pathlib import Path

import pytest
from cli_for_tests import RECIPE, ulmfit_here

from ulmfit.evaluation.record import read_record
from ulmfit.experiments import driver
from ulmfit.experiments.presets import PUBLISHED, TOY
from ulmfit.experiments.recipe import Recipe, load_recipe
from ulmfit.experiments.verify import check_configuration, recorded_recipe

SMALL = (
    "min_words=0",
    "vocabulary.size=300",
    "vocabulary.byte_fallback=false",
    "pretrain.architecture.embedding_size=8",
    "pretrain.architecture.hidden_size=12",
    "pretrain.architecture.layers=2",
    "pretrain.batch_size=8",
    "finetune.batch_size=8",
    "finetune.phases=[{}]",
    "classifier.phases=[{}]",
    'comparisons=["tfidf"]',
)


@pytest.fixture
def recipe() -> Recipe:
    return load_recipe(str(RECIPE))


@pytest.mark.parametrize("name", PUBLISHED)
def test_a_recipe_takes_a_published_preset_that_it_does_not_list(name: str, recipe: Recipe) -> None:
    chosen = recipe.changed(preset=name)
    assert chosen.settings == PUBLISHED[name].preset
    assert (chosen.preset_name, chosen.run_name) == (name, f"test/tiny-{name}")
    assert {stage.settings for stage in chosen.stages().classifiers.values()} == {chosen.settings.classifier}
    assert name not in recipe.presets


def test_a_recipes_own_preset_goes_before_a_published_one_of_its_name(recipe: Recipe) -> None:
    own = recipe.changed(presets={**recipe.presets, "multifit": TOY}, preset="multifit")
    assert own.settings == TOY


def test_the_first_preset_stays_the_default(recipe: Recipe) -> None:
    assert recipe.changed(preset="multifit").changed(preset="").preset_name == "tiny"


def test_set_changes_a_published_preset_for_this_run_alone(recipe: Recipe) -> None:
    chosen = recipe.changed(preset="multifit").with_overrides(["pretrain.bptt=50"])
    assert chosen.settings.pretrain.bptt == 50
    assert chosen.run_name.startswith("test/tiny-multifit-changed-")
    assert PUBLISHED["multifit"].preset.pretrain.bptt == 70
    assert recipe.changed(preset="multifit").settings.pretrain.bptt == 70


def test_a_name_that_nobody_has_is_answered_with_both_kinds() -> None:
    status, _, errors = ulmfit_here("plan", RECIPE, "--preset", "multifat")
    assert (status, len(errors.strip().splitlines())) == (2, 1)
    assert "--preset multifat: preset 'multifat' is none of the recipe's, tiny, forward," in errors
    assert f"none of the published, {', '.join(PUBLISHED)}" in errors


def test_a_run_is_recorded_and_repeated_under_the_presets_name(tmp_path: Path, recipe: Recipe) -> None:
    chosen = recipe.changed(preset="multifit", seeds=(0,)).with_overrides(SMALL)
    folder = driver.run(chosen, tmp_path)
    assert folder == tmp_path / chosen.run_name
    record = read_record(folder / "record.json")
    assert record.preset == "multifit"
    assert " --preset multifit --seeds 0 --set min_words=0 " in record.command
    again = recorded_recipe(record, str(RECIPE))
    check_configuration(record, again)
    assert again.run_name == chosen.run_name
    assert {state.state for state in driver.states(again, tmp_path)} == {"done"}
