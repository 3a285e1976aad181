"""The six data sets of ULMFiT (Howard & Ruder 2018), on English Wikipedia: what their recipes share."""

from pathlib import Path
from typing import Any

from ulmfit.datasets.stages import DataScript
from ulmfit.evaluation.published import read_in
from ulmfit.experiments.presets import SMALL, ULMFIT, Preset
from ulmfit.experiments.recipe import Recipe, load_recipe
from ulmfit.pipeline.assets import Catalogue, File

ROOT = Path(__file__).parents[2]
ASSETS = Catalogue(ROOT / "data_scripts" / "assets.toml")


def make(
    name: str,
    title: str,
    *,
    script: str,
    files: dict[str, str],
    error: float,
    finetune_epochs: int = 15,
    **dataset: Any,
) -> Recipe:
    """Return the recipe `en/<name>`.

    `files` maps the script's names of the files to keys of the catalogue; `error` is what ULMFiT reached,
    percent of the test texts, both directions averaged. `finetune_epochs` are those of the language model: 15
    for TREC-6 in the paper, which says more for larger sets; 50 for IMDb in its scripts; others are not
    stated. What else is given are fields of the data set.
    """
    wikipedia = load_recipe(str(ROOT / "recipes" / "en" / "wikipedia.py"))
    return wikipedia.changed(
        name=f"en/{name}",
        title=title,
        dataset=DataScript(
            name=name,
            language="en",
            script=File(path=ROOT / "data_scripts" / f"{script}.py"),
            files={one: ASSETS[key] for one, key in files.items()},
            **dataset,
        ),
        presets={"paper": _paper(finetune_epochs), "small": SMALL.changed(max_documents=3_000)},
        published=read_in(
            "Howard & Ruder 2018, ULMFiT (arXiv 1801.06146)",
            "accuracy",
            {"ULMFiT": round(1 - error / 100, 4)},
            note="forward and backward averaged",
        ),
        notes=("pretrained on English Wikipedia, not on Wikitext-103",),
    )


def _paper(epochs: int) -> Preset:
    return ULMFIT.changed(finetune=ULMFIT.finetune.with_epochs(epochs))
