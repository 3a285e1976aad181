"""Topics of Polish headlines (8TAGS), eight labels that the published files name by numbers."""

from pathlib import Path

from ulmfit.evaluation.published import read_in
from ulmfit.experiments.presets import SMALL
from ulmfit.experiments.recipe import load_recipe

shared = load_recipe(str(Path(__file__).with_name("novels_lm.py")))
_, _, headlines = shared.corpus.parts

recipe = shared.changed(
    name="pl/8tags",
    title="8TAGS, topics of headlines",
    dataset=headlines.dataset,
    # Eight topics in short texts: more and smaller steps than hotel reviews have were better on validation.
    presets={
        **shared.presets,
        "cpu": shared.presets["cpu"].changed(classifier=SMALL.classifier),
    },
    published=read_in(
        "github.com/sdadas/polish-sentence-evaluation",
        "accuracy",
        {
            "ELMo": 0.714,
            "Polish RoBERTa-base": 0.703,
            "Polish RoBERTa-large": 0.767,
            "LaBSE": 0.724,
            "mBERT": 0.651,
        },
        note="frozen vectors and a classifier",
    ),
)

if __name__ == "__main__":
    recipe.main()
