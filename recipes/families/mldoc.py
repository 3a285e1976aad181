"""Topics of Reuters news (MLDoc), four labels: what the recipes `mldoc.py` share.

The texts need an agreement with NIST: `data_scripts/mldoc.py` says what to do by hand. 1,000 labelled texts,
and a curve with 100 of them. Zero-shot recipes (`mldoc_zero_shot.py`) take the labels of train and dev from a
classifier of another language: MultiFiT had one on LASER's vectors of English texts, which is not part of
this project.
"""

from pathlib import Path

from ulmfit.datasets.given_labels import GivenLabels
from ulmfit.datasets.stages import DataScript
from ulmfit.evaluation.published import PublishedResult, read_in
from ulmfit.experiments.presets import MULTIFIT, SMALL
from ulmfit.experiments.recipe import Recipe, load_recipe
from ulmfit.pipeline.assets import File

ROOT = Path(__file__).parents[2]
ZERO_SHOT = "MultiFiT, zero-shot"
HOW = "Reuters texts need an agreement with NIST; data_scripts/mldoc.py says how they are made"
LANGUAGES = {
    "de": "german",
    "es": "spanish",
    "fr": "french",
    "it": "italian",
    "ja": "japanese",
    "ru": "russian",
    "zh": "chinese",
}
ACCURACIES = {
    "de": (0.9590, 0.9577, 0.9148, 0.9090),
    "es": (0.9607, 0.9592, 0.7808, 0.8900),
    "fr": (0.9477, 0.9475, 0.8827, 0.8503),
    "it": (0.9025, 0.9024, 0.7594, 0.8012),
    "ja": (0.9003, 0.8989, 0.6835, 0.8055),
    "ru": (0.8765, 0.8728, 0.6802, 0.7355),
    "zh": (0.9252, 0.9231, 0.8196, 0.8802),
}
"""MultiFiT: paper, its log (mean of 3), zero-shot (mean), 100 labels."""


def make(language: str) -> Recipe:
    """Return the recipe `<language>/mldoc`."""
    name = LANGUAGES[language]
    wikipedia = load_recipe(str(ROOT / "recipes" / language / "wikipedia.py"))
    lists = {"train": "train.1000", "valid": "dev", "test": "test", "unlabelled": "train.10000"}
    return wikipedia.changed(
        name=f"{language}/mldoc",
        title=f"MLDoc, topics of {name.capitalize()} news, 1,000 labels",
        dataset=DataScript(
            name=f"mldoc-{language}",
            language=language,
            script=File(path=ROOT / "data_scripts" / "mldoc.py"),
            files={
                split: File(path=ROOT / "data" / "mldoc" / f"{name}.{one}", source=HOW)
                for split, one in lists.items()
            },
            options={"language": name},
            source="MLDoc (Schwenk & Li 2018), texts of Reuters RCV1 and RCV2",
            licence="agreement with NIST",
        ),
        train_sizes=(100, "all"),
        presets={"paper": MULTIFIT, "small": SMALL.changed(max_documents=3_000)},
        published=_published(language),
        notes=(f"pretrained on {name.capitalize()} Wikipedia",),
    )


def make_zero_shot(language: str) -> Recipe:
    """Return the recipe `<language>/mldoc_zero_shot`: no label of the language is read before the test."""
    supervised = make(language)
    labels = File(
        path=ROOT / "data" / "mldoc" / f"{LANGUAGES[language]}.teacher.parquet",
        source="labels that a classifier of another language gives: a Parquet file with id (train-000001 to "
        "train-001000, valid-000001 to valid-001000, in the order of the lines) and label",
    )
    assert supervised.dataset is not None
    return supervised.changed(
        name=f"{language}/mldoc_zero_shot",
        title=f"MLDoc, topics of {LANGUAGES[language].capitalize()} news, zero-shot",
        dataset=GivenLabels.of(supervised.dataset, labels=labels, validation=True),
        train_sizes=(),
        published=tuple(one for one in supervised.published if one.name == ZERO_SHOT),
        notes=(*supervised.notes, "labels of train and dev are those of another classifier, wrong ones too"),
    )


def _published(language: str) -> tuple[PublishedResult, ...]:
    paper, log, zero_shot, hundred = ACCURACIES[language]
    source = "Eisenschlos et al. 2019, MultiFiT (arXiv 1909.04761)"
    logs = "logs of github.com/n-waves/multifit"
    return (
        *read_in(source, "accuracy", {"MultiFiT": paper}, training_texts=1_000),
        *read_in(logs, "accuracy", {"MultiFiT, mean of 3 runs": log}, training_texts=1_000),
        *read_in(logs, "accuracy", {ZERO_SHOT: zero_shot}, training_texts=0),
        *read_in(logs, "accuracy", {"MultiFiT, 100 labels": hundred}, training_texts=100),
    )
