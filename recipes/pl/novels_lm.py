"""The Polish language model that the recipes beside this one share: novels, and their own training texts."""

from pathlib import Path

from ulmfit.corpus.dataset_texts import DatasetTexts
from ulmfit.corpus.stages import JoinedCorpus, TextFiles
from ulmfit.datasets.stages import DataScript
from ulmfit.experiments.presets import ALL_COMPARISONS, SMALL, ULMFIT
from ulmfit.experiments.recipe import Recipe
from ulmfit.pipeline.assets import Catalogue, File

scripts = Path(__file__).parents[2] / "data_scripts"
assets = Catalogue(scripts / "assets.toml")


def dataset(name: str, script: str, source: str) -> DataScript:
    return DataScript(
        name=name,
        language="pl",
        script=File(path=scripts / script),
        files={split: assets[f"{name}/{split}"] for split in ("train", "valid", "test")},
        source=f"{source}, as in polish-sentence-evaluation",
        licence="GPL-3.0 repository",
    )


FINETUNE = SMALL.finetune.with_epochs(1, 1)
CLASSIFIER = SMALL.classifier.with_epochs(1, 3).changed(batch_size=64)

recipe = Recipe(
    name="pl/novels_lm",
    title="Polish novels and the training texts of two tasks, language model",
    language="pl",
    corpus=JoinedCorpus(
        parts=(
            TextFiles(files=assets["pl-novels"], max_words=1_000),
            DatasetTexts(dataset=dataset("wccrs-hotels", "wccrs_hotels.py", "WCCRS hotel reviews")),
            DatasetTexts(dataset=dataset("8tags", "8tags.py", "8TAGS")),
        )
    ),
    presets={
        "paper": ULMFIT,
        "small": SMALL.changed(
            max_documents=11_500,
            finetune=FINETUNE,
            classifier=CLASSIFIER,
        ),
        "cpu": SMALL.changed(
            note="small: 3 layers of 400 units, 8k pieces and bytes, 30,000 texts read once",
            max_documents=30_000,
            directions=("forward", "backward"),
            comparisons=ALL_COMPARISONS,
            words=20_000,
            finetune=FINETUNE,
            classifier=CLASSIFIER,
        ),
    },
    notes=("language model from Polish novels (1840-1920) and the training texts of both tasks",),
)

if __name__ == "__main__":
    recipe.main()
