"""Sentiment of Polish hotel reviews (WCCRS), four labels that the published files name by numbers."""

from pathlib import Path

from ulmfit.evaluation.published import PublishedResult
from ulmfit.recipe import load_recipe

shared = load_recipe(str(Path(__file__).with_name("novels_lm.py")))
_, reviews, _ = shared.corpus.parts

recipe = shared.changed(
    name="pl/wccrs_hotels",
    title="WCCRS hotel reviews, sentiment",
    dataset=reviews.dataset,
    published=tuple(
        PublishedResult(
            name=name,
            metric="accuracy",
            value=value,
            source="github.com/sdadas/polish-sentence-evaluation",
            verified=True,
            note=note,
        )
        for name, value, note in (
            ("fastText", 0.8031, "in the table of February 2020"),
            ("mBERT", 0.768, ""),
            ("ELMo", 0.855, ""),
            ("Polish RoBERTa-base", 0.858, ""),
            ("Polish RoBERTa-large", 0.891, ""),
        )
    ),
)

if __name__ == "__main__":
    recipe.main()
