"""A language model of Czech from its whole Wikipedia; tasks in Czech share it."""

from pathlib import Path

from ulmfit.experiments.recipe import load_family

wikipedia = load_family(Path(__file__).parents[1] / "families" / "wikipedia.py")

recipe = wikipedia.make(
    "cs",
    "Czech",
    script="Latin",
    dump="over 1 GB",
)

if __name__ == "__main__":
    recipe.main()
