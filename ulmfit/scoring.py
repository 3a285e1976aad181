"""Scores of finished stages: the rows of a table and its learning curves, from saved predictions."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from ulmfit.experiment import Experiment
from ulmfit.files import read_json
from ulmfit.runner import Runner
from ulmfit.stage import Stage

if TYPE_CHECKING:
    from ulmfit.classifier.predictions import Predictions
    from ulmfit.evaluation.learning_curve import LearningCurve
    from ulmfit.evaluation.row import ScoredRow


def scored_rows(experiment: Experiment, runner: Runner) -> list[ScoredRow]:
    """Score the rows of the table, on test and validation."""
    from ulmfit.evaluation.row import scored_row

    dataset = experiment.recipe.dataset
    read = _predictions(experiment, runner)
    return [
        scored_row(
            row.name,
            [(seed, read(stages, "test")) for seed, stages in row.runs.items()],
            kind=row.kind,
            positive_label=dataset.positive_label if dataset else None,
            valid_runs=[(seed, read(stages, "valid")) for seed, stages in row.runs.items()],
            average_seeds=row.average_seeds,
        )
        for row in experiment.rows()
    ]


def scored_curves(experiment: Experiment, runner: Runner) -> list[LearningCurve]:
    """Score the learning curves by the data set's metric."""
    from ulmfit.evaluation.learning_curve import learning_curve
    from ulmfit.evaluation.metrics import main_score

    plans, dataset = experiment.curves(), experiment.recipe.dataset
    if not plans or dataset is None:
        return []
    described = read_json(runner.folder(dataset) / "dataset.json")
    metric, labels = described["metric"], described["labels"]
    read = _predictions(experiment, runner)

    def value(stage: Stage) -> float:
        run = read([stage], "test")
        return main_score(metric, run.gold, run.predicted, labels, dataset.positive_label)

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


def _predictions(experiment: Experiment, runner: Runner) -> Callable[[Sequence[Stage], str], Predictions]:
    """Return what reads the predictions of stages on a split, averaged."""
    from ulmfit.classifier.predictions import average, read_predictions

    dataset = experiment.recipe.dataset
    labels = read_json(runner.folder(dataset) / "dataset.json")["labels"] if dataset else []

    def read(stages: Sequence[Stage], split: str) -> Predictions:
        files = [runner.folder(stage) / f"predictions-{split}.parquet" for stage in stages]
        return average([read_predictions(file, labels) for file in files])

    return read
