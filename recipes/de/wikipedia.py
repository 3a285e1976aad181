"""A language model of German from its whole Wikipedia; tasks in German share it."""

from pathlib import Path

from ulmfit.experiments.recipe import load_family

wikipedia = load_family(Path(__file__).parents[1] / "families" / "wikipedia.py")

recipe = wikipedia.make(
    "de",
    "German",
    script="Latin",
    dump="over 1 GB",
    casing="ß has no capital in use: STRASSE is not taken for Straße",
    pieces=30_000,
    why="that of n-waves for GermEval 2017: compounds need more pieces",
)

if __name__ == "__main__":
    recipe.main()
