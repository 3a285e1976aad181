"""A language model of Finnish from its whole Wikipedia; tasks in Finnish share it."""

from pathlib import Path

from ulmfit.experiments.recipe import load_family

wikipedia = load_family(Path(__file__).parents[1] / "families" / "wikipedia.py")

recipe = wikipedia.make(
    "fi",
    "Finnish",
    script="Latin",
    dump="200 MB to 1 GB",
    why="MultiFiT's size: fifteen cases and compounds are cut into pieces",
)

if __name__ == "__main__":
    recipe.main()
