"""XED: emotions in film subtitles, several labels a line; the language model of Croatian Wikipedia."""

from pathlib import Path

from ulmfit.experiments.recipe import load_family

xed = load_family(Path(__file__).parents[1] / "families" / "xed.py")

recipe = xed.make("hr", "wikipedia.py")

if __name__ == "__main__":
    recipe.main()
