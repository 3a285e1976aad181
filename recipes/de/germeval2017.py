"""GermEval 2017, task B: sentiment of messages about Deutsche Bahn, first test split (same time as train)."""

from pathlib import Path

from ulmfit.datasets.stages import DataScript
from ulmfit.evaluation.published import read_in
from ulmfit.experiments.presets import PUBLISHED, SMALL
from ulmfit.experiments.recipe import load_recipe
from ulmfit.pipeline.assets import Catalogue, File

scripts = Path(__file__).parents[2] / "data_scripts"
assets = Catalogue(scripts / "assets.toml")
wikipedia = load_recipe(str(Path(__file__).with_name("wikipedia.py")))

recipe = wikipedia.changed(
    name="de/germeval2017",
    title="GermEval 2017, sentiment, first test split",
    dataset=DataScript(
        name="germeval2017-test1",
        language="de",
        script=File(path=scripts / "germeval2017.py"),
        files={
            "train": assets["germeval2017/train"],
            "valid": assets["germeval2017/dev"],
            "test": assets["germeval2017/test1"],
        },
        options={"test": "test1"},
        metric="micro_f1",
        source="GermEval 2017 shared task",
        licence="CC BY-NC 4.0",
    ),
    presets={
        "paper": PUBLISHED["germeval_2017"].preset,
        "small": SMALL.changed(max_documents=3_000),
    },
    published=read_in(
        "confusion matrix of github.com/n-waves/ulmfit4de", "micro_f1", {"n-waves, ULMFiT": 0.7595}
    ),
    notes=(
        "pretrained on German Wikipedia; n-waves had tweets beside it, and replaced rare words",
        "validation is the published dev; n-waves took a tenth of the texts",
    ),
)

if __name__ == "__main__":
    recipe.main()
