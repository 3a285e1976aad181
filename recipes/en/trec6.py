"""TREC-6: what a question asks for, six labels."""

from pathlib import Path

from ulmfit.experiments.recipe import load_family

english = load_family(Path(__file__).parents[1] / "families" / "english.py")

recipe = english.make(
    "trec6",
    "TREC-6, kinds of questions",
    script="trec6",
    files={"train": "trec6/train", "test": "trec6/test"},
    error=3.6,
)

if __name__ == "__main__":
    recipe.main()
