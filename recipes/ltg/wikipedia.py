"""A language model of Latgalian from its whole Wikipedia, of the newest dump."""

from pathlib import Path

from ulmfit.experiments.recipe import load_family, load_recipe

wikipedia = load_family(Path(__file__).parents[1] / "families" / "wikipedia.py")
known = load_recipe(str(Path(__file__).with_name("wikipedia_lm.py")))

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
# So few words are read more often.
recipe = recipe.changed(presets={**recipe.presets, "small": known.presets["small"]})

if __name__ == "__main__":
    recipe.main()
