"""A language model of Korean from its whole Wikipedia; tasks in Korean share it."""

from pathlib import Path

from ulmfit.experiments.recipe import load_family

wikipedia = load_family(Path(__file__).parents[1] / "families" / "wikipedia.py")

recipe = wikipedia.make(
    "ko",
    "Korean",
    script="Hangul",
    dump="200 MB to 1 GB",
    casing="no capitals",
    why="MultiFiT's size: rare ones of the 11,172 syllables are written in bytes",
)

if __name__ == "__main__":
    recipe.main()
