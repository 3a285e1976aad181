"""Topics of Polish headlines (8TAGS), eight labels that the published files name by numbers."""

from pathlib import Path

from ulmfit.assets import Catalogue, File
from ulmfit.corpus.dataset_texts import DatasetTexts
from ulmfit.corpus.stages import JoinedCorpus, TextFiles
from ulmfit.datasets.stages import DataScript
from ulmfit.presets import SMALL, ULMFIT
from ulmfit.recipe import Recipe

scripts = Path(__file__).parents[2] / "data_scripts"
assets = Catalogue(scripts / "assets.toml")

dataset = DataScript(
    name="8tags",
    language="pl",
    script=File(path=scripts / "8tags.py"),
    files={split: assets[f"8tags/{split}"] for split in ("train", "valid", "test")},
    source="8TAGS, as in polish-sentence-evaluation",
    licence="GPL-3.0 repository",
)

recipe = Recipe(
    name="pl/8tags",
    title="8TAGS, topics of headlines",
    language="pl",
    corpus=JoinedCorpus(
        parts=(TextFiles(files=assets["pl-novels"], max_words=1_000), DatasetTexts(dataset=dataset))
    ),
    dataset=dataset,
    presets={
        "paper": ULMFIT,
        "small": SMALL.changed(
            max_documents=9_000,
            finetune=SMALL.finetune.with_epochs(1, 1),
            classifier=SMALL.classifier.with_epochs(1, 1, 1, 1, 1),
        ),
    },
    notes=("language model from Polish novels (1840-1920) and the training texts",),
)

if __name__ == "__main__":
    recipe.main()
