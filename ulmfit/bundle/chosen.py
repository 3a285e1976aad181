"""Which trained models of a recipe go into a bundle, and what is known of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from ulmfit.classifier.stages import TrainClassifier
from ulmfit.datasets.stages import DataScript, DatasetStage
from ulmfit.language_model.bundled import BundledModel
from ulmfit.language_model.stages import Pretrain
from ulmfit.pipeline.errors import InputError
from ulmfit.pipeline.stage import Stage

if TYPE_CHECKING:
    from ulmfit.experiments.plan import Experiment
    from ulmfit.experiments.systems import System
    from ulmfit.pipeline.runner import Runner


@dataclass(frozen=True)
class ChosenClassifiers:
    """The classifiers of a row of the table, whose probabilities are averaged."""

    row: str
    stages: tuple[TrainClassifier, ...]


def chosen_classifiers(experiment: Experiment, name: str | None, seed: int | None) -> ChosenClassifiers:
    """Return the classifiers of the row `name`, of one seed or of all; without a name, of the largest row.

    The largest row has all directions and seeds. Raises InputError for a row or seed that is not there.
    """
    rows = {row.name: row for row in experiment.systems if _has_only_classifiers(row)}
    if not rows:
        raise InputError(
            f"{experiment.recipe.name} has no data set: there is no classifier to bundle; "
            f"give --kind language_model"
        )
    if name is not None and name not in rows:
        raise InputError(f"--row {name}: there is no such row of own classifiers: expected {_some(rows)}")
    sizes = {one: (sum(map(len, row.runs.values())), row.average_seeds) for one, row in rows.items()}
    row = rows[name or max(rows, key=sizes.__getitem__)]
    if seed is not None and seed not in row.runs:
        raise InputError(f"--seed {seed}: the row has seeds {', '.join(map(str, row.runs))}")
    stages = [stage for one, run in row.runs.items() if seed in (None, one) for stage in run]
    return ChosenClassifiers(row.name, tuple(one for one in stages if isinstance(one, TrainClassifier)))


def _has_only_classifiers(row: System) -> bool:
    return all(isinstance(stage, TrainClassifier) for stage in row.stages())


def chosen_language_models(experiment: Experiment, seed: int | None) -> tuple[Stage, ...]:
    """Return the recipe's pretrained language models, one per direction.

    Raises InputError where they were not trained by the recipe.
    """
    if seed is not None:
        raise InputError("--seed is of classifiers: a recipe has one pretrained language model per direction")
    stages = tuple(experiment.pretrained.values())
    if not all(isinstance(stage, Pretrain) for stage in stages):
        raise InputError(
            f"{experiment.recipe.name} begins with released weights: expected a recipe that pretrains; "
            f"bundle its classifier instead"
        )
    return stages


def finished_folder(runner: Runner, stage: Stage) -> Path:
    """Return the folder of a finished stage; InputError where it is not finished."""
    if (fault := runner.fault(stage)) is not None:
        reason = f" ({fault})" if fault else ""
        raise InputError(
            f"{stage.title} is not finished{reason}: run the recipe first, with the same options"
        )
    return runner.verified(stage)


def original_dataset(dataset: DatasetStage) -> DatasetStage:
    """Return the data set whose files were read, behind all that was made from it."""
    while isinstance(below := getattr(dataset, "dataset", None), DatasetStage):
        dataset = below
    return dataset


def text_columns(dataset: DatasetStage) -> tuple[str, ...]:
    """Return the columns that a text is made of."""
    column = getattr(original_dataset(dataset), "text_column", "text")
    return (column,) if isinstance(column, str) else tuple(column)


def what_no_rule_says(dataset: DatasetStage) -> str:
    """Return a sentence on what was done to the texts that a bundle does not do; empty: nothing."""
    original = original_dataset(dataset)
    if not isinstance(original, DataScript):
        return ""
    return (
        f"The data script {original.script.label} made the training texts from the published files. What it "
        f"did to them beside the text rules of bundle.json is not part of this model."
    )


def licences(stages: Sequence[Stage]) -> dict[str, str]:
    """Return the licence of each input file and data set behind some stages, by name; upstream ones too."""
    found: dict[str, str] = {}
    seen: set[int] = set()
    waiting = list(stages)
    while waiting:
        stage = waiting.pop()
        if id(stage) in seen:
            continue
        seen.add(id(stage))
        waiting += stage.upstream()
        for file in stage.input_files():
            if file.licence:
                found[file.label] = file.licence
        if isinstance(stage, BundledModel):
            found |= stage.description().licences
        if isinstance(stage, DatasetStage) and stage.licence:
            found[stage.name or stage.stage_name] = stage.licence
    return dict(sorted(found.items()))


def precision_of(stage: TrainClassifier | Pretrain) -> str:
    """Return the precision in which a finished stage computed: fp32 or bf16."""
    return stage.resolved().settings.precision


def _some(names) -> str:
    return ", ".join(repr(name) for name in names)
