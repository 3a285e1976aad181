"""A language model of Latvian from its whole Wikipedia; tasks in Latvian share it."""

from pathlib import Path

from ulmfit.experiments.recipe import load_family

wikipedia = load_family(Path(__file__).parents[1] / "families" / "wikipedia.py")

recipe = wikipedia.make(
    "lv",
    "Latvian",
    script="Latin",
    dump="20 to 200 MB",
    why="MultiFiT's size, also for fewer words: endings share pieces",
)

if __name__ == "__main__":
    recipe.main()
