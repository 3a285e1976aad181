"""Yelp reviews, one to five stars."""

from pathlib import Path

from ulmfit.experiments.recipe import load_family

english = load_family(Path(__file__).parents[1] / "families" / "english.py")

recipe = english.make(
    "yelp_full",
    "Yelp reviews, stars",
    script="zhang2015",
    files={"archive": "zhang2015/yelp_full"},
    error=29.98,
    options={"name": "yelp_full"},
)

if __name__ == "__main__":
    recipe.main()
