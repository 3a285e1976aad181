"""HuSST: sentiment of film reviews in Hungarian; the published dev is the test split, which has no labels."""

from pathlib import Path

from ulmfit.datasets.stages import DataScript
from ulmfit.experiments.recipe import load_recipe
from ulmfit.pipeline.assets import Catalogue, File

scripts = Path(__file__).parents[2] / "data_scripts"
assets = Catalogue(scripts / "assets.toml")
wikipedia = load_recipe(str(Path(__file__).with_name("wikipedia.py")))

recipe = wikipedia.changed(
    name="hu/husst",
    title="HuSST, sentiment of film reviews",
    dataset=DataScript(
        name="husst",
        language="hu",
        script=File(path=scripts / "husst.py"),
        files={split: assets[f"husst/{split}"] for split in ("train", "dev")},
        source="HuSST (Ligeti-Nagy et al. 2024)",
        licence="CC BY-SA 4.0",
    ),
    notes=(
        *wikipedia.notes,
        "the published dev is the test split here, as that one has no public labels, a tenth of train is "
        "valid; dev has other shares of labels than train",
    ),
)

if __name__ == "__main__":
    recipe.main()
