"""PolEval 2019, task 6: harmful tweets in Polish: what the recipes of its two parts share."""

from pathlib import Path
from typing import Any

from ulmfit.datasets.stages import DataScript
from ulmfit.experiments.presets import MULTIFIT, SMALL
from ulmfit.experiments.recipe import Recipe, load_recipe
from ulmfit.pipeline.assets import Catalogue, File

ROOT = Path(__file__).parents[2]
ASSETS = Catalogue(ROOT / "data_scripts" / "assets.toml")


def make(task: str, title: str, *, class_weights: Any, metric: str, **dataset: Any) -> Recipe:
    """Return the recipe of a part, 6-1 or 6-2; what else is given are fields of the data set."""
    wikipedia = load_recipe(str(ROOT / "recipes" / "pl" / "wikipedia.py"))
    paper = MULTIFIT.changed(
        note="MultiFiT, 4 QRNN layers of 1550 units, 25k pieces and bytes, weights of classes",
        vocabulary=MULTIFIT.vocabulary.changed(size=25_000),
        classifier=MULTIFIT.classifier.changed(class_weights=class_weights),
    )
    return wikipedia.changed(
        name=f"pl/poleval2019_{task.replace('-', '_')}",
        title=title,
        dataset=DataScript(
            name=f"poleval2019-{task}",
            language="pl",
            script=File(path=ROOT / "data_scripts" / "poleval2019.py"),
            files={"train": ASSETS[f"poleval2019/train-{task}"], "test": ASSETS["poleval2019/test"]},
            options={"task": task},
            metric=metric,
            source="PolEval 2019, task 6",
            licence="not stated",
            **dataset,
        ),
        presets={
            "paper": paper,
            "small": SMALL.changed(
                max_documents=3_000, classifier=SMALL.classifier.changed(class_weights=class_weights)
            ),
        },
        notes=("pretrained on Polish Wikipedia",),
    )
