"""A language model of Japanese from its whole Wikipedia; tasks in Japanese share it."""

from pathlib import Path

from ulmfit.experiments.recipe import load_family

wikipedia = load_family(Path(__file__).parents[1] / "families" / "wikipedia.py")

recipe = wikipedia.make(
    "ja",
    "Japanese",
    script="Han and kana",
    dump="over 1 GB",
    casing="no capitals",
)

if __name__ == "__main__":
    recipe.main()
