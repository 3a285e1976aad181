"""PolEval 2019, task 6: harmful tweets in Polish: what the recipes of its two parts share."""

from pathlib import Path
from typing import Any

from ulmfit.datasets.stages import DataScript
from ulmfit.experiments.presets import PUBLISHED, SMALL, Preset
from ulmfit.experiments.recipe import Recipe, load_recipe
from ulmfit.pipeline.assets import Catalogue, File

ROOT = Path(__file__).parents[2]
ASSETS = Catalogue(ROOT / "data_scripts" / "assets.toml")
OTHERS = ("poleval_2019_20_epochs", "poleval_2019_lstm", "poleval_2019_lstm_20_epochs")
"""Published presets beside the first one, `poleval_2019`; all of them get the recipe's weights of labels."""


def make(task: str, title: str, *, class_weights: Any, metric: str, **dataset: Any) -> Recipe:
    """Return the recipe of a part, 6-1 or 6-2; what else is given are fields of the data set."""
    wikipedia = load_recipe(str(ROOT / "recipes" / "pl" / "wikipedia.py"))
    select = "binary_f1" if "positive_label" in dataset else "macro_f1"

    def weighted(preset: Preset, **classifier: Any) -> Preset:
        changed = preset.classifier.changed(class_weights=class_weights, **classifier)
        return preset.changed(classifier=changed)

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
            "paper": weighted(PUBLISHED["poleval_2019"].preset, select_metric=select),
            "small": weighted(SMALL.changed(max_documents=3_000)),
            **{name: weighted(PUBLISHED[name].preset, select_metric=select) for name in OTHERS},
        },
        notes=(
            "pretrained on Polish Wikipedia; n-waves had texts of Polish Reddit, which are not published",
            "n-waves fine-tuned on the test texts as well: --set transductive=true",
        ),
    )
