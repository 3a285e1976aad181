"""Writes a bundle from the finished stages of a recipe, and compares its predictions with the run's."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy

from ulmfit.bundle.card import card_of_classifier, card_of_language_model
from ulmfit.bundle.chosen import (
    ChosenClassifiers,
    chosen_classifiers,
    chosen_language_models,
    finished_folder,
    licences,
    original_dataset,
    precision_of,
    text_columns,
)
from ulmfit.bundle.classifier import TextClassifier
from ulmfit.bundle.description import ClassifierDescription, PredictionCheck
from ulmfit.bundle.writing import CARD, Weights, check_place, in_fp16
from ulmfit.classifier.metrics import scores
from ulmfit.classifier.predictions import (
    MultiLabelPredictions,
    Predictions,
    RegressionPredictions,
    SingleLabelPredictions,
    average_splits,
    read_predictions,
)
from ulmfit.datasets.task import has_numbers, task_of
from ulmfit.experiments.explain import read_texts
from ulmfit.language_model.bundle_format import (
    BUNDLE,
    FORMAT_VERSION,
    TOKENIZER,
    BundleDescription,
    Kind,
    Member,
)
from ulmfit.language_model.folder import MODEL, WEIGHTS
from ulmfit.pipeline import provenance
from ulmfit.pipeline.errors import InputError
from ulmfit.pipeline.files import atomic_folder, read_json, write_json, write_text
from ulmfit.pipeline.sums import write_sums
from ulmfit.tokens.loading import load_tokenizer
from ulmfit.training.weights import read_weights, write_tensors

if TYPE_CHECKING:
    from ulmfit.evaluation.record import Record
    from ulmfit.experiments.plan import Experiment
    from ulmfit.experiments.recipe import Recipe
    from ulmfit.pipeline.runner import Runner
    from ulmfit.pipeline.stage import Stage

RECORD = "record.json"
TOLERANCE = 0.01
"""How far a probability may move in any case (regression: in standard deviations of the training numbers)."""


def write_bundle(
    recipe: Recipe,
    runner: Runner,
    out: Path,
    *,
    kind: Kind | None = None,
    row: str | None = None,
    seed: int | None = None,
    weights: Weights = "fp16",
    log: Callable[[str], object],
) -> BundleDescription:
    """Write the trained models of a recipe into the folder `out`, which appears whole or not at all.

    `kind` None: the classifier, or the language model of a recipe without a data set. `row` and `seed` as
    `chosen_classifiers` takes them. A bundle that is there is replaced. Raises InputError when a stage is not
    finished, for anything else at `out`, and where the bundle's predictions are not those of the run.
    """
    check_place(out)
    experiment = recipe.stages()
    kind = kind or ("language_model" if experiment.recipe.dataset is None else "classifier")
    record = _record(runner.runs / recipe.run_name / RECORD)
    out.parent.mkdir(parents=True, exist_ok=True)
    with atomic_folder(out) as folder:
        if kind == "language_model":
            if row is not None:
                raise InputError(f"--row {row}: a language model has no row: leave it out")
            stages = chosen_language_models(experiment, seed)
            description = _write_language_models(experiment, runner, stages, folder, weights)
            write_text(folder / CARD, card_of_language_model(description, recipe, record))
        else:
            chosen = chosen_classifiers(experiment, row, seed)
            description, figures = _write_classifiers(experiment, runner, chosen, folder, weights, log)
            write_text(folder / CARD, card_of_classifier(description, recipe, chosen, figures, record))
        if record is not None:
            shutil.copyfile(runner.runs / recipe.run_name / RECORD, folder / RECORD)
        write_sums(folder)
    return description


def _record(path: Path) -> Record | None:
    from ulmfit.evaluation.record import read_record

    return read_record(path) if path.exists() else None


def _common(
    experiment: Experiment,
    runner: Runner,
    tokenizer: Stage,
    stages: Sequence[Any],
    folder: Path,
    weights: Weights,
) -> dict[str, Any]:
    """Write tokenizer and weights; return the fields that every description has."""
    (folder / TOKENIZER).mkdir()
    loaded = load_tokenizer(finished_folder(runner, tokenizer))
    loaded.save(folder / TOKENIZER)
    members = []
    for stage in stages:
        source, seed = finished_folder(runner, stage), getattr(stage, "seed", 0)
        name = f"{stage.direction}-{seed}.safetensors"
        tensors = read_weights(source / WEIGHTS)
        write_tensors(tensors if weights == "fp32" else in_fp16(tensors, str(source)), folder / name)
        members.append(Member(file=name, direction=stage.direction, seed=seed))
    described = read_json(finished_folder(runner, stages[0]) / MODEL)
    orders = {stage.backward_order for stage in stages if stage.direction == "backward"}
    return {
        "format_version": FORMAT_VERSION,
        "name": experiment.recipe.name,
        "language": experiment.recipe.language,
        "architecture": described["architecture"],
        "vocabulary_size": loaded.size,
        "vocabulary": loaded.fingerprint(),
        "backward_order": orders.pop() if orders else "bos-first",
        "members": tuple(members),
        "weights": weights,
        "precision": _one({precision_of(stage) for stage in stages}, "precision"),
        "licences": licences(stages),
        "commit": provenance.commit(),
        "versions": provenance.versions(),
    }


def _one(values: set[Any], what: str) -> Any:
    if len(values) > 1:
        raise InputError(f"the models of this row have different {what}: {sorted(map(str, values))}")
    return values.pop()


def _write_language_models(
    experiment: Experiment, runner: Runner, stages: Sequence[Stage], folder: Path, weights: Weights
) -> BundleDescription:
    common = _common(experiment, runner, experiment.tokenizer, stages, folder, weights)
    description = BundleDescription(kind="language_model", **common)
    write_json(folder / BUNDLE, description.model_dump(mode="json"))
    return description


def _write_classifiers(
    experiment: Experiment,
    runner: Runner,
    chosen: ChosenClassifiers,
    folder: Path,
    weights: Weights,
    log: Callable[[str], object],
) -> tuple[ClassifierDescription, dict[str, float]]:
    """Write all but card, record and sums; return the description and the metrics on the test split."""
    stages = chosen.stages
    common = _common(experiment, runner, stages[0].tokenizer, stages, folder, weights)
    dataset = stages[0].dataset
    described = read_json(finished_folder(runner, dataset) / "dataset.json")
    task = task_of(described)
    folders = [finished_folder(runner, stage) for stage in stages]
    valid, test = (
        [read_predictions(one / f"predictions-{split}.parquet", described["labels"], task) for one in folders]
        for split in ("valid", "test")
    )
    mean_valid, mean_test = (valid[0], test[0]) if len(stages) == 1 else average_splits(valid, test)
    model = read_json(folders[0] / MODEL)
    description = ClassifierDescription(
        **common,
        row=chosen.row,
        task=task,
        labels=described["labels"],
        thresholds=tuple(getattr(mean_test, "thresholds", ())),
        temperature=_temperature(mean_valid, mean_test),
        target_mean=model.get("target_mean", 0.0),
        target_sd=model.get("target_sd", 1.0),
        bptt=model["bptt"],
        maximum_tokens=model["maximum_tokens"],
        reads=model.get("reads", "first"),
        head_units=model["head_units"],
        dataset=described["name"],
        metric=described["metric"],
        positive_label=described.get("positive_label"),
        text_rules=described.get("text_rules", ()),
        text_columns=text_columns(dataset),
        field_marks=getattr(original_dataset(dataset), "field_marks", False),
    )
    write_json(folder / BUNDLE, description.model_dump(mode="json"))
    write_sums(folder)
    texts = read_texts(runner, stages[0], "test")
    check = compared(TextClassifier.load(folder), [texts[one] for one in mean_test.ids], test, mean_test)
    log(
        f"{check.texts:,} test texts predicted again: {check.flipped} other labels, largest difference "
        f"{check.largest_difference:.2g}"
    )
    description = description.changed(check=check)
    write_json(folder / BUNDLE, description.model_dump(mode="json"))
    return description, scores(mean_test, described.get("positive_label"))


def _temperature(valid: Predictions, test: Predictions) -> float | None:
    from ulmfit.evaluation.calibration import calibrate

    if not isinstance(valid, SingleLabelPredictions) or not isinstance(test, SingleLabelPredictions):
        return None
    found = calibrate(valid, test)
    return found.temperature if found.fitted else None


def numbers_of(predictions: Predictions) -> numpy.ndarray:
    """Return the probabilities (texts, labels) of predictions, or their numbers (texts, 1); float64."""
    if isinstance(predictions, SingleLabelPredictions | MultiLabelPredictions):
        return predictions.probabilities.astype(numpy.float64)
    assert isinstance(predictions, RegressionPredictions)
    return numpy.array(predictions.predicted, numpy.float64)[:, None]


def compared(
    classifier: TextClassifier,
    texts: Sequence[str],
    members: Sequence[Predictions],
    run: Predictions,
) -> PredictionCheck:
    """Predict the test texts again and compare with the run's predictions, averaged in `run`.

    `members` are those of each model: as far as they lie apart, a probability may move, and by TOLERANCE in
    any case. Raises InputError where one moves further.
    """
    found, expected = classifier.values(texts), numbers_of(run)
    difference = numpy.abs(found - expected)
    each = numpy.stack([numbers_of(one) for one in members])
    scale = classifier.description.target_sd if has_numbers(run.task) else 1.0
    allowed = numpy.maximum(each.max(axis=0) - each.min(axis=0), TOLERANCE * scale)
    beyond = (difference > allowed).any(axis=1)
    if beyond.any():
        first = run.ids[int(beyond.argmax())]
        raise InputError(
            f"{int(beyond.sum())} of {len(texts)} test predictions differ from the run's by more than its "
            f"models do, by {difference.max():.3g} at most (id {first}, for one): use --precision fp32, or "
            f"run the recipe on this machine"
        )
    flipped = 0
    if not has_numbers(run.task):
        labels = zip(classifier.chosen(found), run.predicted, strict=True)
        flipped = sum(new != old for new, old in labels)
    return PredictionCheck(texts=len(texts), flipped=flipped, largest_difference=float(difference.max()))
