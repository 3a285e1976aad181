"""A language model of Slovene from its whole Wikipedia; tasks in Slovene share it."""

from pathlib import Path

from ulmfit.experiments.recipe import load_family

wikipedia = load_family(Path(__file__).parents[1] / "families" / "wikipedia.py")

recipe = wikipedia.make(
    "sl",
    "Slovene",
    script="Latin",
    dump="200 MB to 1 GB",
    why="MultiFiT's size, also for fewer words: endings share pieces",
)

if __name__ == "__main__":
    recipe.main()
