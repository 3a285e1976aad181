"""MLDoc: topics of Reuters news, 1,000 labels and 100; the texts need an agreement."""

from pathlib import Path

from ulmfit.experiments.recipe import load_family

mldoc = load_family(Path(__file__).parents[1] / "families" / "mldoc.py")

recipe = mldoc.make("fr")

if __name__ == "__main__":
    recipe.main()
