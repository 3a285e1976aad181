"""Yelp reviews, two labels."""

from pathlib import Path

from ulmfit.experiments.recipe import load_family

english = load_family(Path(__file__).parents[1] / "families" / "english.py")

recipe = english.make(
    "yelp_polarity",
    "Yelp reviews, polarity",
    script="zhang2015",
    files={"archive": "zhang2015/yelp_polarity"},
    error=2.16,
    options={"name": "yelp_polarity"},
)

if __name__ == "__main__":
    recipe.main()
