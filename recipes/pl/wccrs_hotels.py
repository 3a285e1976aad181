"""Sentiment of Polish hotel reviews (WCCRS), four labels that the published files name by numbers."""

from pathlib import Path

from ulmfit.assets import Catalogue, File
from ulmfit.corpus.dataset_texts import DatasetTexts
from ulmfit.corpus.stages import JoinedCorpus, TextFiles
from ulmfit.datasets.stages import DataScript
from ulmfit.presets import SMALL, ULMFIT, VocabularySettings
from ulmfit.recipe import Recipe

scripts = Path(__file__).parents[2] / "data_scripts"
assets = Catalogue(scripts / "assets.toml")


def published(name: str, script: str, source: str) -> DataScript:
    """Return a data set whose files name the labels by numbers."""
    return DataScript(
        name=name,
        language="pl",
        script=File(path=scripts / script),
        files={split: assets[f"{name}/{split}"] for split in ("train", "valid", "test")},
        source=f"{source}, as in polish-sentence-evaluation",
        licence="GPL-3.0 repository",
    )


tags = published("8tags", "8tags.py", "8TAGS")
hotels = published("wccrs-hotels", "wccrs_hotels.py", "WCCRS hotel reviews")
novels = TextFiles(files=assets["pl-novels"], max_words=1_000)

recipe = Recipe(
    name="pl/wccrs_hotels",
    title="WCCRS hotel reviews, sentiment",
    language="pl",
    # The same for all Polish tasks, so that they share their language models.
    corpus=JoinedCorpus(parts=(novels, DatasetTexts(dataset=hotels), DatasetTexts(dataset=tags))),
    dataset=hotels,
    presets={
        "paper": ULMFIT,
        "small": SMALL.changed(
            max_documents=4_000,
            finetune=SMALL.finetune.with_epochs(1, 1),
            classifier=SMALL.classifier.with_epochs(1, 1, 1, 1, 1),
        ),
        "cpu": SMALL.changed(
            note="small: 3 layers of 400 units, 8k pieces and bytes, 8.5 million words read once",
            vocabulary=VocabularySettings(size=8_000, byte_fallback=True),
            directions=("forward", "backward"),
        ),
    },
    notes=("language model from Polish novels (1840-1920) and training texts of two tasks",),
)

if __name__ == "__main__":
    recipe.main()
