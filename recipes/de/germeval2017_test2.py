"""GermEval 2017, task B, second test split, which is later than train; the same models as on the first."""

from pathlib import Path

from ulmfit.experiments.recipe import load_recipe
from ulmfit.pipeline.assets import Catalogue

assets = Catalogue(Path(__file__).parents[2] / "data_scripts" / "assets.toml")
first = load_recipe(str(Path(__file__).with_name("germeval2017.py")))

recipe = first.changed(
    name="de/germeval2017_test2",
    title="GermEval 2017, sentiment, second test split",
    dataset=first.dataset.changed(
        name="germeval2017-test2",
        files={**first.dataset.files, "test": assets["germeval2017/test2"]},
        options={"test": "test2"},
    ),
    published=(),
)

if __name__ == "__main__":
    recipe.main()
