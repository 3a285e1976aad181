"""Trains a classifier on texts in memory, by the stages of a recipe, in a temporary folder."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas

from ulmfit.bundle.card import card_in_short
from ulmfit.bundle.classifier import TextClassifier
from ulmfit.bundle.description import ClassifierDescription
from ulmfit.bundle.in_memory import FolderOfStages
from ulmfit.bundle.writing import save_bundle
from ulmfit.classifier.settings import ClassifierSettings
from ulmfit.classifier.stages import TrainClassifier
from ulmfit.corpus.dataset_texts import DatasetTexts
from ulmfit.datasets.metric_table import ranking_metrics
from ulmfit.datasets.stages import DatasetStage
from ulmfit.datasets.tables import Description, split_off_validation, write_tables
from ulmfit.datasets.task import Task
from ulmfit.language_model.bundle_format import BundleDescription, Member
from ulmfit.language_model.bundle_weights import read_tokenizer
from ulmfit.language_model.bundled import BundledModel, BundledTokenizer
from ulmfit.language_model.folder import MODEL, WEIGHTS
from ulmfit.language_model.settings import Direction, FineTuneSettings
from ulmfit.language_model.stages import FineTune
from ulmfit.pipeline.assets import File
from ulmfit.pipeline.errors import InputError
from ulmfit.pipeline.files import read_json
from ulmfit.tokens.stages import EncodeTokens
from ulmfit.training.weights import read_weights

NAME = "texts"
"""Of a data set that was never a file."""


class EstimatorError(InputError, ValueError):
    """A parameter, a text or a label that cannot be used; a ValueError, as scikit-learn expects."""


@dataclass(frozen=True)
class LabelledTexts:
    """What a classifier is trained on."""

    texts: Sequence[str]
    labels: Sequence[Any]
    """A name per text, or a sorted list of names."""
    task: Task
    names: Sequence[str]
    """Of all labels."""
    unlabelled: Sequence[str] = ()
    """More texts for the language model."""


@dataclass(frozen=True)
class Training:
    """How it is trained."""

    directions: Sequence[Direction]
    finetune: FineTuneSettings | None
    """None: the classifier begins with the language model as it is."""
    classifier: ClassifierSettings
    seed: int
    validation_fraction: float
    """Share of each label's texts that is kept for validation; 0: none."""


def fit(
    root: Path,
    bundle: Path,
    described: BundleDescription,
    given: LabelledTexts,
    training: Training,
    log: Callable[[str], None] | None,
) -> TextClassifier:
    """Train a classifier per direction from the language models of a bundle; probabilities are averaged.

    Everything is written below the folder `root`, which the caller removes. `log` as `FolderOfStages` takes
    it. Raises EstimatorError for too few texts or labels.
    """
    stages = FolderOfStages(root, log)
    dataset = DatasetStage(name=NAME, language=described.language, task=given.task)
    stages.add(dataset, _write_dataset(root / "dataset", dataset, given, training))
    file = File(path=bundle)
    trained = [_stage(file, described, dataset, training, one) for one in training.directions]
    folders = [stages.build(stage) for stage in trained]
    description = _description(described, trained, read_json(folders[0] / MODEL), training)
    save_bundle(
        root / "classifier-bundle",
        description,
        read_tokenizer(bundle, described),
        [read_weights(folder / WEIGHTS) for folder in folders],
        card_in_short(description),
        "fp32",
    )
    return TextClassifier.load(root / "classifier-bundle", device=training.classifier.device)


def _write_dataset(folder: Path, dataset: DatasetStage, given: LabelledTexts, training: Training) -> Path:
    """Write the tables of a data set, split as recipes split theirs.

    The stages ask for validation and test texts. Where there are none, the longest training text takes their
    place: nothing is chosen by it.
    """
    ids = _ids(NAME, given.texts)
    table = pandas.DataFrame({"id": ids, "text": list(given.texts), "label": list(given.labels)})
    _check_labels(table["label"], given, training.validation_fraction)
    train, valid = table, None
    if training.validation_fraction:
        train, valid = split_off_validation(table, training.validation_fraction, given.task)
    batch = training.classifier.batch_size
    if len(train) < batch:
        raise EstimatorError(
            f"{len(train)} training texts are fewer than a batch of {batch}: give more texts, or set "
            f"batch_size to {len(train)} or less"
        )
    longest = train.loc[[train["text"].str.len().idxmax()]]
    tables = {"train": train, "valid": longest if valid is None else valid, "test": longest}
    if given.unlabelled:
        more = {"id": _ids("unlabelled", given.unlabelled), "text": list(given.unlabelled)}
        tables["unlabelled"] = pandas.DataFrame(more)
    folder.mkdir()
    about = Description(NAME, dataset.language, task=dataset.task, metric=dataset.metric)
    write_tables(folder, tables, about)
    return folder


def _ids(prefix: str, texts: Sequence[str]) -> list[str]:
    return [f"{prefix}-{number:06d}" for number in range(1, len(texts) + 1)]


def _check_labels(labels: pandas.Series, given: LabelledTexts, fraction: float) -> None:
    """Raise EstimatorError for labels that nothing can be learnt of."""
    if not len(labels):
        raise EstimatorError("there are no texts: expected some, with a label each")
    counts = labels.explode().value_counts()
    if given.task == "single_label" and len(counts) < 2:
        raise EstimatorError(
            f"the texts have one class only, {given.names[0]!r}: ULMFiTClassifier needs two or more"
        )
    if missing := [name for name in given.names if name not in counts]:
        raise EstimatorError(f"no text has the label {missing[0]!r}: leave its column of y out")
    if not 0 <= fraction < 1:
        raise EstimatorError(f"validation_fraction {fraction!r}: expected 0 (none), or a share below 1")
    if fraction and counts.min() < 2:
        raise EstimatorError(
            f"the label {counts.index[-1]!r} has 1 text, expected 2 or more, one for validation: give "
            f"more texts, or set validation_fraction=0"
        )


def _stage(
    bundle: File,
    described: BundleDescription,
    dataset: DatasetStage,
    training: Training,
    direction: Direction,
) -> TrainClassifier:
    tokenizer = BundledTokenizer(bundle=bundle, language=described.language)
    model: BundledModel | FineTune = BundledModel(bundle=bundle, direction=direction)
    if training.finetune is not None:
        model = FineTune(
            pretrained=model,
            tokens=EncodeTokens(documents=DatasetTexts(dataset=dataset), tokenizer=tokenizer),
            settings=training.finetune,
            seed=training.seed,
        )
    return TrainClassifier(
        dataset=dataset,
        tokenizer=tokenizer,
        language_model=model,
        architecture=described.architecture,
        direction=direction,
        settings=training.classifier,
        seed=training.seed,
    )


def _description(
    described: BundleDescription,
    stages: Sequence[TrainClassifier],
    model: dict[str, Any],
    training: Training,
) -> ClassifierDescription:
    """Return what a bundle says of the trained classifiers; `model` is the `model.json` of the first."""
    task = stages[0].dataset.task
    thresholds: Sequence[float] = ()
    if task == "multi_label":
        thresholds = model["thresholds"] if training.validation_fraction else [0.5] * len(model["labels"])
    members = tuple(
        Member(file=f"{one.direction}-{one.seed}.safetensors", direction=one.direction, seed=one.seed)
        for one in stages
    )
    return ClassifierDescription.of_language_model(
        described,
        name=f"{described.language}/{NAME}",
        members=members,
        precision=stages[0].resolved().settings.precision,
        task=task,
        labels=tuple(model["labels"]),
        thresholds=tuple(thresholds),
        bptt=model["bptt"],
        maximum_tokens=model["maximum_tokens"],
        reads=model["reads"],
        head_units=model["head_units"],
        dataset=NAME,
        metric=ranking_metrics(task)[0],
    )
