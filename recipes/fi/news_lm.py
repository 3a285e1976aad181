"""A language model of Finnish: news from 2012 on, and the training texts of the forum task."""

from pathlib import Path

from ulmfit.corpus.dataset_texts import DatasetTexts
from ulmfit.corpus.stages import JoinedCorpus, TextFiles
from ulmfit.datasets.stages import DataScript
from ulmfit.experiments.presets import SMALL, ULMFIT, VocabularySettings
from ulmfit.experiments.recipe import Recipe
from ulmfit.pipeline.assets import Catalogue, File

scripts = Path(__file__).parents[2] / "data_scripts"
assets = Catalogue(scripts / "assets.toml")

ylilauta = DataScript(
    name="ylilauta",
    language="fi",
    script=File(path=scripts / "ylilauta.py"),
    files={
        "train": assets["ylilauta/train-1000"],
        "valid": assets["ylilauta/valid"],
        "test": assets["ylilauta/test"],
    },
    source="Ylilauta corpus",
    licence="CC BY-NC 4.0",
)

recipe = Recipe(
    name="fi/news_lm",
    title="Finnish news and the training texts of a forum, language model",
    language="fi",
    corpus=JoinedCorpus(
        parts=(TextFiles(files=assets["fi-news"], id_column="id"), DatasetTexts(dataset=ylilauta)),
        times=(1, 2),
    ),
    presets={
        "paper": ULMFIT,
        "small": SMALL.changed(max_documents=30_000),
        "cpu": SMALL.changed(
            note="small: 3 layers of 400 units, 8k pieces and bytes, news read once",
            vocabulary=VocabularySettings(size=8_000, byte_fallback=True),
            directions=("forward", "backward"),
        ),
    },
    notes=("language model from Finnish news (2012 to 2026) and the training texts of the task",),
)

if __name__ == "__main__":
    recipe.main()
