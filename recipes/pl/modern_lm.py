"""A language model of modern Polish: news of 2022 and 2023, novels, and the training texts of two tasks."""

from pathlib import Path

from ulmfit.corpus.stages import JoinedCorpus, TextFiles
from ulmfit.experiments.recipe import load_recipe
from ulmfit.pipeline.assets import Catalogue

assets = Catalogue(Path(__file__).parents[2] / "data_scripts" / "assets.toml")
shared = load_recipe(str(Path(__file__).with_name("novels_lm.py")))
novels, reviews, headlines = shared.corpus.parts

recipe = shared.changed(
    name="pl/modern_lm",
    title="Polish news, novels and the training texts of two tasks, language model",
    corpus=JoinedCorpus(
        parts=(
            TextFiles(files=assets["pl-rss"], id_column="id"),
            # Novels are a century old: a third of the news' words, for long sentences and dialogue.
            novels.changed(max_tokens=3_000_000),
            reviews,
            headlines,
        ),
        times=(1, 1, 2, 2),
    ),
    presets={
        "paper": shared.presets["paper"],
        "small": shared.presets["small"].changed(max_documents=30_000),
        "cpu": shared.presets["cpu"].changed(
            note="small: 3 layers of 400 units, 8k pieces and bytes, news and novels",
            max_documents=None,
        ),
    },
    notes=("language model from Polish news (2022, 2023), novels and the training texts of both tasks",),
)

if __name__ == "__main__":
    recipe.main()
