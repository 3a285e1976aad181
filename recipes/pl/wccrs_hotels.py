"""Sentiment of Polish hotel reviews (WCCRS), four labels that the published files name by numbers."""

from pathlib import Path

from ulmfit.evaluation.published import read_in
from ulmfit.experiments.recipe import load_recipe

SOURCE = "github.com/sdadas/polish-sentence-evaluation"

shared = load_recipe(str(Path(__file__).with_name("novels_lm.py")))
_, reviews, _ = shared.corpus.parts

recipe = shared.changed(
    name="pl/wccrs_hotels",
    title="WCCRS hotel reviews, sentiment",
    dataset=reviews.dataset,
    # After eight epochs on reviews instead of two, classifiers of few labels were better on validation.
    presets={
        **shared.presets,
        "cpu": shared.presets["cpu"].changed(finetune=shared.presets["cpu"].finetune.with_epochs(1, 7)),
    },
    train_sizes=(100, 200, 500, 1_000, "all"),
    curve_steps=150,
    label_noise=(0, 0.1, 0.3, 0.5),
    published=read_in(SOURCE, "accuracy", {"fastText": 0.8031}, note="in the table of February 2020")
    + read_in(
        SOURCE,
        "accuracy",
        {"mBERT": 0.768, "ELMo": 0.855, "Polish RoBERTa-base": 0.858, "Polish RoBERTa-large": 0.891},
    ),
)

if __name__ == "__main__":
    recipe.main()
