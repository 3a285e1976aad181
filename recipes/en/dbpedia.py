"""DBpedia: kinds of things that articles are about, fourteen labels."""

from pathlib import Path

from ulmfit.experiments.recipe import load_family

english = load_family(Path(__file__).parents[1] / "families" / "english.py")

recipe = english.make(
    "dbpedia",
    "DBpedia, kinds of things",
    script="zhang2015",
    files={"archive": "zhang2015/dbpedia"},
    error=0.8,
    options={"name": "dbpedia"},
    text_column=("title", "text"),
    field_marks=True,
)

if __name__ == "__main__":
    recipe.main()
