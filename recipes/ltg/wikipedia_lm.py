"""A language model of Latgalian from a near-complete dump of its Wikipedia; no labelled data."""

from pathlib import Path

from ulmfit.corpus.stages import WikipediaCorpus
from ulmfit.experiments.presets import SMALL, ULMFIT
from ulmfit.experiments.recipe import Recipe
from ulmfit.pipeline.assets import Catalogue

assets = Catalogue(Path(__file__).parents[2] / "data_scripts" / "assets.toml")

recipe = Recipe(
    name="ltg/wikipedia_lm",
    title="Latgalian Wikipedia, language model",
    language="ltg",
    corpus=WikipediaCorpus(dump=assets["ltgwiki"], language="ltg", valid_fraction=0.05, test_fraction=0.05),
    presets={
        "paper": ULMFIT,
        # 0.2 million words carry a small vocabulary and many epochs.
        "small": SMALL.changed(
            vocabulary=SMALL.vocabulary.changed(size=4_000),
            pretrain=SMALL.pretrain.with_epochs(8).changed(
                dropouts=SMALL.pretrain.dropouts.changed(multiplier=1.0)
            ),
        ),
    },
)

if __name__ == "__main__":
    recipe.main()
