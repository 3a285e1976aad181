"""A language model of Turkish from its whole Wikipedia; tasks in Turkish share it."""

from pathlib import Path

from ulmfit.experiments.recipe import load_family

wikipedia = load_family(Path(__file__).parents[1] / "families" / "wikipedia.py")

recipe = wikipedia.make(
    "tr",
    "Turkish",
    script="Latin",
    dump="200 MB to 1 GB",
    casing="I is the capital of ı, and İ that of i",
    why="MultiFiT's size: chains of endings are cut into pieces",
)

if __name__ == "__main__":
    recipe.main()
