"""IMDb: sentiment of film reviews, with 50,000 unlabelled ones."""

from pathlib import Path

from ulmfit.experiments.recipe import load_family

english = load_family(Path(__file__).parents[1] / "families" / "english.py")

recipe = english.make(
    "imdb",
    "IMDb, sentiment of film reviews",
    script="imdb",
    files={"reviews": "imdb"},
    error=4.6,
    finetune_epochs=50,
)

if __name__ == "__main__":
    recipe.main()
