"""A language model of English from its whole Wikipedia; tasks in English share it."""

from pathlib import Path

from ulmfit.experiments.recipe import load_family

wikipedia = load_family(Path(__file__).parents[1] / "families" / "wikipedia.py")

recipe = wikipedia.make(
    "en",
    "English",
    script="Latin",
    dump="over 1 GB",
)

if __name__ == "__main__":
    recipe.main()
