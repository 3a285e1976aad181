"""A language model of Hungarian from its whole Wikipedia; tasks in Hungarian share it."""

from pathlib import Path

from ulmfit.experiments.recipe import load_family

wikipedia = load_family(Path(__file__).parents[1] / "families" / "wikipedia.py")

recipe = wikipedia.make(
    "hu",
    "Hungarian",
    script="Latin",
    dump="200 MB to 1 GB",
    why="MultiFiT's size: chains of endings are cut into pieces",
)

if __name__ == "__main__":
    recipe.main()
