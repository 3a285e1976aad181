"""Finished recipes of every task and their bundles, small enough for tests."""

from __future__ import annotations

import random
from dataclasses import dataclass
from pathlib import Path

import pandas
import pytest
from stages_for_tests import InventedCorpus, hash_of, invented_text

from ulmfit.bundle.save import write_bundle
from ulmfit.classifier.settings import ClassifierSettings
from ulmfit.datasets.stages import LabelledFiles
from ulmfit.experiments import driver
from ulmfit.experiments import recipe as recipes
from ulmfit.experiments.presets import Preset, VocabularySettings
from ulmfit.experiments.recipe import Recipe
from ulmfit.language_model.settings import Architecture, Dropouts, FineTuneSettings, PretrainSettings
from ulmfit.pipeline.assets import File
from ulmfit.pipeline.runner import FinishedRunner
from ulmfit.training.settings import Phase

PRESET = Preset(
    note="tiny",
    vocabulary=VocabularySettings(size=80, byte_fallback=False),
    pretrain=PretrainSettings(
        architecture=Architecture(embedding_size=16, hidden_size=24, layers=2),
        phases=(Phase(learning_rate=1e-2),),
        batch_size=8,
        bptt=12,
        precision="fp32",
    ),
    finetune=FineTuneSettings(phases=(Phase(),), batch_size=8, bptt=12, precision="fp32"),
    classifier=ClassifierSettings(
        phases=(Phase(epochs=4, learning_rate=1e-2),),
        dropouts=Dropouts(multiplier=0.2),
        batch_size=8,
        bptt=8,
        precision="fp32",
    ),
    directions=("forward", "backward"),
    comparisons=("ensemble",),
)
ROWS = 40
RULES = (("|LBR|", "\n"), "one_space")


def cells(split: str, number: int, task: str) -> dict[str, str]:
    """Return a row in which one or two telling words stand or not; |LBR| stands between words."""
    chance = random.Random(f"{split} {number}")
    text = invented_text(hash_of(split, number), 6)
    first, second = chance.randrange(2), chance.randrange(2)
    words = [text, *["kalomi"] * first, *["dusapo"] * second]
    labels = {
        "single_label": "yes" if first else "no",
        "multi_label": "|".join(["dark"] * first + ["light"] * second),
        "regression": str(10 + 1.5 * first + 3 * second),
    }
    return {"id": f"{split}-{number}", "text": "|LBR|".join(words), "label": labels[task]}


@dataclass(frozen=True)
class Made:
    """A finished recipe and its bundle."""

    recipe: Recipe
    runner: FinishedRunner
    folder: Path
    table: Path
    """The test split as its file has it, before the text rules."""

    def write(self, out: Path, **options) -> Path:
        write_bundle(self.recipe, self.runner, out, log=lambda line: None, **options)
        return out


def make(folder: Path, task: str) -> Made:
    (folder / task).mkdir()
    for split in ("train", "valid", "test"):
        rows = [cells(split, number, task) for number in range(ROWS)]
        pandas.DataFrame(rows).to_csv(folder / task / f"{split}.csv", index=False)
    preset = PRESET if task == "single_label" else PRESET.changed(directions=("forward",))
    recipe = Recipe(
        name=f"test/{task}",
        title=f"Tiny {task}",
        language="qaa",
        corpus=InventedCorpus(documents=30),
        dataset=LabelledFiles(
            name=f"made-up {task}",
            task=task,
            text_rules=RULES,
            licence="CC0-1.0",
            **{split: File(path=folder / task / f"{split}.csv") for split in ("train", "valid", "test")},
        ),
        presets={"tiny": preset},
        leaks="ignore",
        data_checks="off",
        seeds=(0,) if task == "regression" else (0, 1),
    )
    driver.run(recipe, folder / "runs")
    runner = FinishedRunner(folder / "runs")
    made = Made(recipe, runner, folder / f"{task}-bundle", folder / task / "test.csv")
    made.write(made.folder)
    return made


def in_the_folder_of_a_run(made: Made, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Go to `folder`, where every recipe is that of `made`, with its runs/ and its texts in texts.csv."""
    monkeypatch.setattr(recipes, "load_recipe", lambda reference: made.recipe)
    monkeypatch.chdir(folder)
    (folder / "runs").symlink_to(made.runner.runs)
    pandas.read_csv(made.table).to_csv("texts.csv", index=False)
