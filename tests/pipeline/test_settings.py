"""Settings refuse numbers that nothing can be computed with, whatever field they are given to."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from cli_for_tests import RECIPE
from pydantic import ValidationError

from ulmfit.evaluation import record  # noqa: F401, defines parts of a record
from ulmfit.experiments.recipe import load_recipe
from ulmfit.language_model.settings import FineTuneSettings
from ulmfit.pipeline.errors import InputError
from ulmfit.pipeline.settings import Settings
from ulmfit.pipeline.stage import Keys

NOTICE = "forget_after is now called reset_state_every; the old name still works\n"


def kinds(kind: type[Settings] = Settings) -> Iterator[type[Settings]]:
    yield kind
    for sub in kind.__subclasses__():
        yield from kinds(sub)


def test_no_kind_of_settings_takes_infinity() -> None:
    found = set(kinds())
    assert len(found) > 40
    assert not [kind.__name__ for kind in found if kind.model_config.get("allow_inf_nan") is not False]


@pytest.mark.parametrize("number", ["Infinity", "-Infinity", "NaN", "1e999"])
@pytest.mark.parametrize(
    "field",
    [
        "pretrain.phases.0.learning_rate",
        "pretrain.gradient_clip",
        "classifier.weight_decay",
        "pretrain.checkpoint_minutes",
    ],
)
def test_a_number_of_a_command_is_finite(field: str, number: str) -> None:
    with pytest.raises(InputError, match="expected a finite number; got"):
        load_recipe(str(RECIPE)).with_overrides([f"{field}={number}"])


@pytest.mark.parametrize(
    "override",
    [
        "seeds=" + str(list(range(1_000_000))),
        "train_sizes=" + str(list(range(2, 1_000_000))),
        "label_noise=" + str([0.1] * 1_000_000),
    ],
    ids=["seeds", "train_sizes", "label_noise"],
)
def test_more_models_than_anybody_trains_are_refused(override: str) -> None:
    with pytest.raises(InputError, match=r"items or fewer; got "):
        load_recipe(str(RECIPE)).with_overrides([override])


def test_the_old_name_of_a_field_is_accepted_with_a_notice(capsys: pytest.CaptureFixture[str]) -> None:
    new = FineTuneSettings(reset_state_every=3)
    assert capsys.readouterr().err == ""
    assert FineTuneSettings(forget_after=3) == FineTuneSettings().changed(forget_after=3) == new
    assert capsys.readouterr().err == 2 * NOTICE
    recipe = load_recipe(str(RECIPE))
    assert recipe.with_overrides(["finetune.forget_after=3"]).settings.finetune.reset_state_every == 3
    assert capsys.readouterr().err == NOTICE


def test_keys_files_and_records_keep_the_old_name_of_a_field(tmp_path: Path) -> None:
    settings = FineTuneSettings(reset_state_every=3)
    assert settings.model_dump(mode="json", exclude_defaults=True) == {"forget_after": 3}
    keys = Keys(tmp_path)
    assert keys._canonical(settings, full=False) == {"kind": "FineTuneSettings", "forget_after": 3}
    full = keys._canonical(settings, full=True)
    assert full["forget_after"] == 3 and "reset_state_every" not in full


def test_a_field_cannot_be_given_by_both_of_its_names() -> None:
    with pytest.raises(ValidationError, match="forget_after is the old name of reset_state_every: give one"):
        FineTuneSettings(forget_after=3, reset_state_every=3)
