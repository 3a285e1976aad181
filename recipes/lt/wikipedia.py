"""A language model of Lithuanian from its whole Wikipedia; tasks in Lithuanian share it."""

from pathlib import Path

from ulmfit.experiments.recipe import load_family

wikipedia = load_family(Path(__file__).parents[1] / "families" / "wikipedia.py")

recipe = wikipedia.make(
    "lt",
    "Lithuanian",
    script="Latin",
    dump="200 MB to 1 GB",
    casing="an accented i with its dot, of dictionaries, is kept as it is",
    why="MultiFiT's size, also for fewer words: endings share pieces",
)

if __name__ == "__main__":
    recipe.main()
