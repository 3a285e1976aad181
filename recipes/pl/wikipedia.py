"""A language model of Polish from its whole Wikipedia; tasks in Polish share it."""

from pathlib import Path

from ulmfit.experiments.recipe import load_family

wikipedia = load_family(Path(__file__).parents[1] / "families" / "wikipedia.py")

recipe = wikipedia.make(
    "pl",
    "Polish",
    script="Latin",
    dump="over 1 GB",
    pieces=25_000,
    why="better than 50,000 for PolEval 2018 (arXiv 1810.10222)",
)

if __name__ == "__main__":
    recipe.main()
