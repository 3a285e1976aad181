"""GermEval 2018, task 1: offensive language in German tweets (Wiegand et al. 2018), coarse labels."""

from pathlib import Path

from ulmfit.corpus.stages import ExtractedCorpus
from ulmfit.datasets.stages import DataScript
from ulmfit.evaluation.published import PublishedResult
from ulmfit.experiments.presets import ALL_COMPARISONS, SMALL, ULMFIT
from ulmfit.experiments.recipe import Recipe
from ulmfit.pipeline.assets import Catalogue, File

scripts = Path(__file__).parents[2] / "data_scripts"
assets = Catalogue(scripts / "assets.toml")

recipe = Recipe(
    name="de/germeval2018",
    title="GermEval 2018, offensive language, coarse",
    language="de",
    corpus=ExtractedCorpus(archive=assets["dewiki-extracted"]),
    dataset=DataScript(
        name="germeval2018-coarse",
        language="de",
        script=File(path=scripts / "germeval2018.py"),
        files={"train": assets["germeval2018/train"], "test": assets["germeval2018/test"]},
        options={"task": "coarse"},
        metric="germeval_f",
        source="GermEval 2018 shared task",
        licence="CC BY 4.0",
    ),
    train_sizes=(100, 200, 500, 1_000, "all"),
    curve_steps=150,
    presets={
        "paper": ULMFIT,
        "small": SMALL.changed(max_documents=3_000),
        "cpu": SMALL.changed(
            note="small: 3 layers of 400 units, 8k pieces and bytes, 10,000 articles read once",
            max_documents=10_000,
            directions=("forward", "backward"),
            comparisons=ALL_COMPARISONS,
            words=20_000,
            # At the classifier's 3e-3 two seeds of three learned next to nothing; chosen on validation.
            from_scratch_rate=1e-3,
        ),
    },
    published=tuple(
        PublishedResult(
            name="best of the shared task",
            metric=metric,
            value=value,
            source="Wiegand et al. 2018, overview of GermEval 2018",
            verified=True,
        )
        for metric, value in (("germeval_f", 0.7677), ("accuracy", 0.7953))
    ),
    notes=("pretrained on a sample of German Wikipedia (28,693 articles)",),
)

if __name__ == "__main__":
    recipe.main()
