"""CLS: sentiment of reviews, music; the archive has to be asked for."""

from pathlib import Path

from ulmfit.experiments.recipe import load_family

cls = load_family(Path(__file__).parents[1] / "families" / "cls.py")

recipe = cls.make("de", "music")

if __name__ == "__main__":
    recipe.main()
