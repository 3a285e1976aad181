"""GermEval 2018, task 2: kinds of offensive language in German tweets; the coarse task's language model."""

from pathlib import Path

from ulmfit.evaluation.published import PublishedResult
from ulmfit.experiments.recipe import load_recipe

coarse = load_recipe(str(Path(__file__).with_name("germeval2018.py")))

recipe = coarse.changed(
    name="de/germeval2018_fine",
    title="GermEval 2018, offensive language, fine",
    dataset=coarse.dataset.changed(name="germeval2018-fine", options={"task": "fine"}),
    train_sizes=(),
    published=(
        PublishedResult(
            name="best of the shared task",
            metric="germeval_f",
            value=0.5271,
            source="Wiegand et al. 2018, overview of GermEval 2018",
            verified=True,
        ),
    ),
)

if __name__ == "__main__":
    recipe.main()
