"""A language model of Latgalian from its whole Wikipedia; tasks in Latgalian share it."""

from pathlib import Path

from ulmfit.experiments.recipe import load_family

wikipedia = load_family(Path(__file__).parents[1] / "families" / "wikipedia.py")

recipe = wikipedia.make(
    "ltg",
    "Latgalian",
    script="Latin",
    dump="under 20 MB",
    pieces=4_000,
    why="0.2 million words carry no more",
    valid_fraction=0.05,
    test_fraction=0.05,
)

if __name__ == "__main__":
    recipe.main()
