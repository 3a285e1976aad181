"""Recipes that users wrote for earlier places of modules go on working."""

from __future__ import annotations

import re
import runpy
import subprocess
import sys
from pathlib import Path

import pytest

from ulmfit.experiments.recipe import load_recipe

ROOT = Path(__file__).parents[2]

FIRST = """
from ulmfit.assets import File
from ulmfit.corpus.stages import Wikipedia, WikipediaCorpus
from ulmfit.datasets.stages import LabelledFiles
from ulmfit.presets import SMALL, ULMFIT
from ulmfit.recipe import Recipe

recipe = Recipe(
    name="fi/sentiment",
    title="Finnish sentiment",
    language="fi",
    corpus=WikipediaCorpus(dump=Wikipedia(language="fi", date="20240101"), language="fi"),
    dataset=LabelledFiles(name="sentiment", train=File(path="train.csv"), test=File(path="test.csv")),
    presets={"paper": ULMFIT, "small": SMALL.changed(max_documents=3_000)},
)

if __name__ == "__main__":
    recipe.main()
"""
"""As the README had it."""

SECOND = """
from pathlib import Path

from ulmfit.assets import File
from ulmfit.corpus.stages import JoinedCorpus, TextFiles
from ulmfit.datasets.stages import LabelledFiles
from ulmfit.errors import InputError
from ulmfit.evaluation.published import PublishedResult
from ulmfit.evaluation.transformer_stages import HubModel, TransformerModel
from ulmfit.presets import ALL_COMPARISONS, TOY, Preset, VocabularySettings
from ulmfit.recipe import Recipe, load_recipe

HERE = Path(__file__).parent
corpus = JoinedCorpus(parts=tuple(TextFiles(files=File(path=f"{name}.txt")) for name in "ab"))
bert = HubModel(name="owner/bert", revision="0123456789" * 4)
if not HERE.is_dir():
    raise InputError("no folder")

recipe = Recipe(
    name="xx/joined",
    title="Joined",
    language="tr",
    corpus=corpus,
    dataset=LabelledFiles(train=File(path="train.csv"), test=File(path="test.csv")),
    presets={"toy": TOY.changed(comparisons=ALL_COMPARISONS, vocabulary=VocabularySettings(size=500))},
    transformers=(TransformerModel(name="BERT", pretrained=bert),),
    published=(PublishedResult(name="best", metric="accuracy", value=0.9, source="its paper"),),
    train_sizes=(100, "all"),
)
"""

THIRD = """
from pathlib import Path

from ulmfit.classifier.folder import load_classifier
from ulmfit.classifier.pseudo_labels import PseudoLabelled
from ulmfit.datasets.subsets import TrainingSubset
from ulmfit.recipe import load_recipe

assert callable(load_classifier)
reviews = load_recipe(str(Path(__file__).with_name("first.py"))).changed(preset="small", seeds=(0,))
few = TrainingSubset.of(reviews.dataset, size=100, keep_rest=True)
first = reviews.changed(name="fi/reviews_100", dataset=few)
more = PseudoLabelled.of(
    few, classifiers=tuple(first.stages().classifiers.values()), pool=reviews.dataset, per_label=500
)
recipe = first.changed(name="fi/reviews_100_more", dataset=more)
"""
"""As docs/experiments.md has it."""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The three recipes beside their files."""
    for name, content in (("first", FIRST), ("second", SECOND), ("third", THIRD)):
        (tmp_path / f"{name}.py").write_text(content, encoding="utf-8")
    for name in ("train", "test"):
        (tmp_path / f"{name}.csv").write_text("text,label\none,x\ntwo,y\n", encoding="utf-8")
    for name in "ab":
        (tmp_path / f"{name}.txt").write_text(f"text {name}\n", encoding="utf-8")
    return tmp_path


@pytest.mark.parametrize(
    ("name", "rows"), [("first.py", 12), ("second.py", 11), ("third.py", 7)], ids=lambda one: str(one)
)
def test_recipes_for_the_old_places_are_loaded_and_planned(folder: Path, name: str, rows: int) -> None:
    recipe = load_recipe(str(folder / name))
    made = recipe.stages()
    assert len(made.systems) == rows
    assert made.all()
    for stage in made.all():
        assert all(file.path is None or file.path.is_absolute() for file in stage.input_files())


def test_classifiers_that_only_label_a_data_set_are_no_models_of_the_table(folder: Path) -> None:
    made = load_recipe(str(folder / "third.py")).stages()
    assert [stage.stage_name for stage in made.language_models()] == ["pretrain", "finetune"]
    assert all(stage.tokens.documents.dataset == made.recipe.dataset for stage in made.language_models()[1:])


def test_a_recipe_is_a_program_too(folder: Path) -> None:
    done = subprocess.run(
        [sys.executable, "first.py", "--preset", "none"], cwd=folder, capture_output=True, text=True
    )
    assert done.returncode == 2
    assert "preset 'none' is no" in done.stderr


def test_the_recipe_of_the_readme_is_one(folder: Path) -> None:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    blocks = [block for block in re.findall(r"```python\n(.*?)```", text, re.DOTALL) if "Recipe(" in block]
    assert blocks
    for block in blocks:
        path = folder / "readme.py"
        path.write_text(block.replace("YYYYMMDD", "20240101"), encoding="utf-8")
        assert runpy.run_path(str(path))["recipe"].stages().all()
