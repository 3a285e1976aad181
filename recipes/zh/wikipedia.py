"""A language model of Chinese from its whole Wikipedia; tasks in Chinese share it."""

from pathlib import Path

from ulmfit.experiments.recipe import load_family

wikipedia = load_family(Path(__file__).parents[1] / "families" / "wikipedia.py")

recipe = wikipedia.make(
    "zh",
    "Chinese",
    script="Han",
    dump="over 1 GB",
    casing="no capitals",
)

if __name__ == "__main__":
    recipe.main()
