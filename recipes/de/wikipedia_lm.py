"""A language model of German from a sample of its Wikipedia, all 28,693 articles; German tasks share it."""

from pathlib import Path

from ulmfit.corpus.stages import ExtractedCorpus
from ulmfit.experiments.presets import SMALL, ULMFIT, VocabularySettings
from ulmfit.experiments.recipe import Recipe
from ulmfit.pipeline.assets import Catalogue

assets = Catalogue(Path(__file__).parents[2] / "data_scripts" / "assets.toml")

recipe = Recipe(
    name="de/wikipedia_lm",
    title="German Wikipedia, language model",
    language="de",
    corpus=ExtractedCorpus(archive=assets["dewiki-extracted"]),
    presets={
        "paper": ULMFIT,
        "small": SMALL.changed(max_documents=3_000),
        "cpu": SMALL.changed(
            note="small: 3 layers of 400 units, 8k pieces and bytes, all articles of the sample",
            vocabulary=VocabularySettings(size=8_000, byte_fallback=True),
            directions=("forward", "backward"),
        ),
    },
    notes=("pretrained on a sample of German Wikipedia (28,693 articles)",),
)

if __name__ == "__main__":
    recipe.main()
