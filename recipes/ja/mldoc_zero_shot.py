"""MLDoc without labels of the language: those of train and dev come from a classifier of another one."""

from pathlib import Path

from ulmfit.experiments.recipe import load_family

mldoc = load_family(Path(__file__).parents[1] / "families" / "mldoc.py")

recipe = mldoc.make_zero_shot("ja")

if __name__ == "__main__":
    recipe.main()
