"""Emotions in film subtitles (XED), several labels a line: what the recipes `xed.py` share."""

from pathlib import Path

from ulmfit.datasets.stages import DataScript
from ulmfit.evaluation.published import read_in
from ulmfit.experiments.recipe import Recipe, load_recipe
from ulmfit.pipeline.assets import Catalogue, File

SCRIPTS = Path(__file__).parents[2] / "data_scripts"
ASSETS = Catalogue(SCRIPTS / "assets.toml")

PUBLISHED = {
    "cs": ("Czech", 0.6263),
    "de": ("German", 0.6059),
    "fi": ("Finnish", 0.5859),
    "hr": ("Croatian", 0.6503),
    "hu": ("Hungarian", 0.5978),
    "pl": ("Polish", 0.6233),
    "tr": ("Turkish", 0.608),
}
"""Name of the language, and the macro-F1 of the authors' SVM."""


def make(language: str, base: str) -> Recipe:
    """Return the recipe `<language>/xed` on the language model of the recipe `base` beside it."""
    name, svm = PUBLISHED[language]
    shared = load_recipe(str(Path(__file__).parents[1] / language / base))
    return shared.changed(
        name=f"{language}/xed",
        title=f"XED, emotions in {name} film subtitles",
        dataset=DataScript(
            name=f"xed-{language}",
            language=language,
            script=File(path=SCRIPTS / "xed.py"),
            files={"lines": ASSETS[f"xed/{language}"]},
            options={"language": language},
            task="multi_label",
            source="XED",
            licence="CC BY 4.0",
        ),
        published=read_in(
            "github.com/Helsinki-NLP/XED at 76666d2, README",
            "macro_f1",
            {"SVM of the authors": svm},
            note="another split, and their own way of evaluating",
        ),
        notes=(*shared.notes, "no published split: test and valid are chosen by a hash of the texts"),
    )
