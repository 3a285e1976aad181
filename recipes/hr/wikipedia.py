"""A language model of Croatian from its whole Wikipedia; tasks in Croatian share it."""

from pathlib import Path

from ulmfit.experiments.recipe import load_family

wikipedia = load_family(Path(__file__).parents[1] / "families" / "wikipedia.py")

recipe = wikipedia.make(
    "hr",
    "Croatian",
    script="Latin",
    dump="200 MB to 1 GB",
)

if __name__ == "__main__":
    recipe.main()
