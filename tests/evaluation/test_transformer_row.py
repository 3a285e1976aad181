"""Transformers in a recipe: set on the command line, run to the table beside the other rows."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

import pytest

if find_spec("transformers") is None:
    pytest.skip("pip install 'ulmfit[transformers]' for these tests", allow_module_level=True)

from transformers_for_tests import tiny_bert

from ulmfit.classifier.metrics import score
from ulmfit.classifier.predictions import read_predictions
from ulmfit.evaluation.record import read_record
from ulmfit.experiments import driver
from ulmfit.experiments.recipe import load_recipe
from ulmfit.pipeline.errors import InputError
from ulmfit.pipeline.runner import Runner

RECIPE = """
from recipes_for_tests.tiny import TINY
from stages_for_tests import InventedCorpus
from transformers_for_tests import ShortTexts
from ulmfit.experiments.recipe import Recipe

recipe = Recipe(
    name="test/transformers",
    title="Transformers",
    language="qaa",
    corpus=InventedCorpus(documents=30),
    dataset=ShortTexts(rows=20),
    presets={"tiny": TINY.changed(directions=("forward",), comparisons=("tfidf",))},
    seeds=(0, 1),
)
"""
SET = (
    'transformers=[{"name": "tiny BERT", "pretrained": {"path": "models/bert"}, "settings": '
    '{"epochs": 1, "batch_size": 8, "learning_rate": 0.01, "maximum_tokens": 32, "device": "cpu"}}]'
)


def test_a_transformer_is_a_row_of_the_table(tmp_path: Path) -> None:
    (tmp_path / "recipes").mkdir()
    path = tmp_path / "recipes" / "test.py"
    path.write_text(RECIPE, "utf-8")
    tiny_bert(tmp_path / "recipes" / "models" / "bert")
    # Whatever the working directory is, paths begin in the recipe's folder.
    recipe = load_recipe(str(path)).with_overrides([SET])
    folder = driver.run(recipe, tmp_path / "runs")
    assert folder is not None
    record = read_record(folder / "record.json")
    row = record.rows[-1]
    assert (row.name, row.kind, row.seeds) == ("tiny BERT", "comparison", (0, 1))
    assert "| tiny BERT | " in (folder / "report.md").read_text("utf-8")
    assert "- tiny BERT: transformer, bert" in (folder / "report.md").read_text("utf-8")
    assert {one.row for one in record.comparisons} == {one.name for one in record.rows[1:]}
    runner = Runner(tmp_path / "runs")
    for seed, value in zip(row.seeds, row.metrics["accuracy"].values, strict=True):
        (stage,) = recipe.stages().systems[-1].runs[seed]
        run = read_predictions(runner.folder(stage) / "predictions-test.parquet", ["no", "yes"])
        assert value == score(run.gold, run.predicted, ["no", "yes"])["accuracy"]
    assert str(tmp_path) not in (folder / "record.json").read_text("utf-8"), "records hold no path"


def test_relative_paths_of_set_begin_in_the_recipes_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "recipes").mkdir()
    (tmp_path / "recipes" / "test.py").write_text(RECIPE, "utf-8")
    monkeypatch.chdir(tmp_path)
    recipe = load_recipe("recipes/test.py").with_overrides([SET, 'tokenizer={"path": "spm.model"}'])
    files = [recipe.tokenizer, recipe.transformers[0].pretrained]
    names = ["spm.model", "models/bert"]
    assert [file.path for file in files] == [tmp_path / "recipes" / name for name in names]
    elsewhere = recipe.with_overrides([f'tokenizer={{"path": "{tmp_path}/spm.model"}}'])
    assert elsewhere.tokenizer.path == tmp_path / "spm.model"
    assert elsewhere.transformers == recipe.transformers


def test_a_wrong_transformer_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "test.py").write_text(RECIPE, "utf-8")
    recipe = load_recipe(str(tmp_path / "test.py"))
    with pytest.raises(InputError, match=r"--set .*revision"):
        recipe.with_overrides(
            ['transformers=[{"name": "a", "pretrained": {"name": "a/b", "revision": "main"}}]']
        )
    missing = recipe.with_overrides([SET])
    with pytest.raises(InputError, match="bert does not exist"):
        driver.run(missing, tmp_path / "runs")
