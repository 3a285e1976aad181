"""Sentiment of product reviews (CLS), two labels: what the recipes `cls_*.py` share.

The archive has to be asked for: `data_scripts/cls.py` says where. For zero-shot, docs/experiments.md.
"""

from pathlib import Path

from ulmfit.datasets.stages import DataScript
from ulmfit.evaluation.published import read_in
from ulmfit.experiments.presets import MULTIFIT, SMALL
from ulmfit.experiments.recipe import Recipe, load_recipe
from ulmfit.pipeline.assets import File

ROOT = Path(__file__).parents[2]
ARCHIVE = File(
    path=ROOT / "data" / "cls" / "cls-acl10-unprocessed.tar.gz",
    source="ask for it at zenodo.org/record/3251672 and put it there",
)
NAMES = {"de": "German", "fr": "French", "ja": "Japanese", "en": "English"}
DOMAINS = ("books", "dvd", "music")
ACCURACIES = {
    "de": (0.9319, 0.9054, 0.9300),
    "fr": (0.9125, 0.8955, 0.9340),
    "ja": (0.8629, 0.8575, 0.8659),
    "en": (0.9075, 0.8930, 0.8945),
}
"""MultiFiT, in the order of DOMAINS."""


def make(language: str, domain: str) -> Recipe:
    """Return the recipe `<language>/cls_<domain>`."""
    wikipedia = load_recipe(str(ROOT / "recipes" / language / "wikipedia.py"))
    return wikipedia.changed(
        name=f"{language}/cls_{domain}",
        title=f"CLS, sentiment of {NAMES[language]} reviews, {domain}",
        dataset=DataScript(
            name=f"cls-{language}-{domain}",
            language=language,
            script=File(path=ROOT / "data_scripts" / "cls.py"),
            files={"archive": ARCHIVE},
            options={"language": language, "domain": domain},
            text_column=("title", "text"),
            field_marks=True,
            source="CLS (Prettenhofer & Stein 2010)",
            licence="for research",
        ),
        presets={"paper": MULTIFIT, "small": SMALL.changed(max_documents=3_000)},
        published=read_in(
            "Eisenschlos et al. 2019, MultiFiT (arXiv 1909.04761)",
            "accuracy",
            {"MultiFiT": ACCURACIES[language][DOMAINS.index(domain)]},
            training_texts=2_000,
        ),
        notes=(f"pretrained on {NAMES[language]} Wikipedia",),
    )
