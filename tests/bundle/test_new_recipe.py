"""`ulmfit new` takes a released language model where there is one."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from bundles_for_tests import Made

from ulmfit.experiments.new_recipe.new import Given, new_recipe
from ulmfit.experiments.recipe import load_recipe


def test_a_released_language_model_takes_the_place_of_pretraining(
    single_label: Made, language_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    shutil.copytree(language_model, tmp_path / "models" / "br-tiny")
    single_label.write(tmp_path / "models" / "br-classifier")
    lines = [f"{'good' if n % 2 else 'bad'}\ttext {n} of a few words" for n in range(40)]
    Path("data.tsv").write_text("\n".join(["label\ttext", *lines]), encoding="utf-8")
    said: list[str] = []
    path = new_recipe("br", "topics", Path("data.tsv"), None, Path("recipes"), Given(), said.append)
    assert "language model: ../../models/br-tiny, released; nothing is pretrained" in said
    recipe = load_recipe(str(path))
    assert recipe.notes == ("language model br-tiny, not pretrained here",)
    stages = recipe.stages()
    assert "pretrain" not in {stage.stage_name for stage in stages.language_models()}
    assert [stage.stage_name for stage in stages.pretrained.values()] == ["bundled"]
