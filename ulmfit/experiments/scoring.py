"""Scores of finished stages: the rows of a table and its learning curves, from saved predictions."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from ulmfit.experiments.plan import Experiment
from ulmfit.pipeline.files import read_json
from ulmfit.pipeline.runner import Runner
from ulmfit.pipeline.stage import Stage

if TYPE_CHECKING:
    from ulmfit.classifier.predictions import Predictions
    from ulmfit.evaluation.learning_curve import LearningCurve
    from ulmfit.evaluation.row import ScoredRow


def scored_rows(experiment: Experiment, runner: Runner) -> list[ScoredRow]:
    """Score the rows of the table, on test and validation."""
    from ulmfit.evaluation.row import scored_row

    dataset = experiment.recipe.dataset
    read = _predictions(experiment, runner)
    scored = []
    for row in experiment.rows():
        runs = {seed: read(stages) for seed, stages in row.runs.items()}
        scored.append(
            scored_row(
                row.name,
                [(seed, test) for seed, (_, test) in runs.items()],
                kind=row.kind,
                positive_label=dataset.positive_label if dataset else None,
                valid_runs=[(seed, valid) for seed, (valid, _) in runs.items()],
                notes=row.notes,
                average_seeds=row.average_seeds,
            )
        )
    return scored


def scored_curves(experiment: Experiment, runner: Runner) -> list[LearningCurve]:
    """Score the learning curves by the data set's metric."""
    from ulmfit.classifier.metrics import main_score_of
    from ulmfit.evaluation.learning_curve import learning_curve

    plans, dataset = experiment.curves(), experiment.recipe.dataset
    if not plans or dataset is None:
        return []
    described = read_json(runner.verified(dataset) / "dataset.json")
    metric = described["metric"]
    read = _predictions(experiment, runner)

    def value(stage: Stage) -> float:
        return main_score_of(metric, read([stage])[1], dataset.positive_label)

    return [
        learning_curve(
            plan.axis,
            metric,
            plan.places,
            [
                (system.name, [[value(stage) for stage in point.values()] for point in system.points])
                for system in plan.systems
            ],
            train_texts=described["rows"]["train"],
            seeds=experiment.recipe.seeds,
            notes=plan.notes,
        )
        for plan in plans
    ]


def _predictions(
    experiment: Experiment, runner: Runner
) -> Callable[[Sequence[Stage]], tuple[Predictions, Predictions]]:
    """Return what reads the predictions of stages on validation and test, averaged."""
    from ulmfit.classifier.predictions import average_splits, read_predictions
    from ulmfit.datasets.task import task_of

    dataset = experiment.recipe.dataset
    description = read_json(runner.verified(dataset) / "dataset.json") if dataset else {}
    labels, task = description.get("labels", ()), task_of(description)

    def read(stages: Sequence[Stage]) -> tuple[Predictions, Predictions]:
        folders = [runner.verified(stage) for stage in stages]
        valid, test = (
            [read_predictions(folder / f"predictions-{split}.parquet", labels, task) for folder in folders]
            for split in ("valid", "test")
        )
        return (valid[0], test[0]) if len(stages) == 1 else average_splits(valid, test)

    return read
