"""AG News: topics of news, four labels."""

from pathlib import Path

from ulmfit.experiments.recipe import load_family

english = load_family(Path(__file__).parents[1] / "families" / "english.py")

recipe = english.make(
    "ag",
    "AG News, topics",
    script="zhang2015",
    files={"archive": "zhang2015/ag"},
    error=5.01,
    options={"name": "ag"},
    text_column=("title", "text"),
    field_marks=True,
)

if __name__ == "__main__":
    recipe.main()
