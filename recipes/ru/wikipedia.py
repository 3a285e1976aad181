"""A language model of Russian from its whole Wikipedia; tasks in Russian share it."""

from pathlib import Path

from ulmfit.experiments.recipe import load_family

wikipedia = load_family(Path(__file__).parents[1] / "families" / "wikipedia.py")

recipe = wikipedia.make(
    "ru",
    "Russian",
    script="Cyrillic",
    dump="over 1 GB",
    why="MultiFiT's size, which it had for Russian too",
)

if __name__ == "__main__":
    recipe.main()
