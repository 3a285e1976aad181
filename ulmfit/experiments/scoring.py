"""Scores of finished stages: the rows of a table and its learning curves, from saved predictions."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from ulmfit.experiments.plan import Experiment
from ulmfit.experiments.systems import System
from ulmfit.pipeline.files import read_json
from ulmfit.pipeline.runner import Runner
from ulmfit.pipeline.stage import Stage

if TYPE_CHECKING:
    from ulmfit.classifier.predictions import Predictions
    from ulmfit.evaluation.learning_curve import LearningCurve
    from ulmfit.evaluation.row import ScoredRow

    Read = Callable[[Sequence[Stage]], tuple[Predictions, Predictions]]
    Score = Callable[[Predictions], float]


def scored_rows(experiment: Experiment, runner: Runner) -> list[ScoredRow]:
    """Score the rows of the table, on test and validation."""
    from ulmfit.evaluation.row import scored_row

    dataset = experiment.recipe.dataset
    if dataset is None:
        return []
    read, score = _predictions(experiment, runner), _score(experiment, runner)
    scored = []
    for system in experiment.systems:
        runs, notes = _runs(system, read, score)
        if system.vectors is not None:
            notes.append(read_json(runner.verified(system.vectors) / "vectors.json")["note"])
        scored.append(
            scored_row(
                system.name,
                [(seed, test) for seed, (_, test) in runs.items()],
                kind=system.kind,
                positive_label=dataset.positive_label,
                valid_runs=[(seed, valid) for seed, (valid, _) in runs.items()],
                notes=(*system.notes, *notes),
                average_seeds=system.average_seeds,
            )
        )
    return scored


def _runs(
    system: System, read: Read, score: Score
) -> tuple[dict[int, tuple[Predictions, Predictions]], list[str]]:
    """Return the predictions of every seed on validation and test, and notes on them."""
    from ulmfit.evaluation.mixture import mixture

    runs = {seed: read(stages) for seed, stages in system.runs.items()}
    if not system.mixed_with:
        return runs, []
    others = [read([stage]) for stage in system.mixed_with.values()]
    mixed = {seed: mixture(run, others, score) for seed, run in runs.items()}
    names = list(system.mixed_with)
    taken = dict.fromkeys(names[one.other] for one in mixed.values())
    shares = ", ".join(f"{one.share:g}" for one in mixed.values())
    note = f"averaged with {', '.join(taken)}, the best of its kind on validation; share of ULMFiT: {shares}"
    return {seed: (one.valid, one.test) for seed, one in mixed.items()}, [note]


def scored_curves(experiment: Experiment, runner: Runner) -> list[LearningCurve]:
    """Score the learning curves by the data set's metric."""
    from ulmfit.evaluation.learning_curve import learning_curve
    from ulmfit.evaluation.mixture import mixture

    dataset = experiment.recipe.dataset
    if not experiment.curves or dataset is None:
        return []
    described = read_json(runner.verified(dataset) / "dataset.json")
    read, score = _predictions(experiment, runner), _score(experiment, runner)

    def value(members: Sequence[Stage], weighed: bool) -> float:
        """Return the score of averaged members on test; `weighed`: validation says how."""
        if not weighed:
            return score(read(members)[1])
        return score(mixture(read(members[:-1]), [read(members[-1:])], score).test)

    return [
        learning_curve(
            plan.axis,
            described["metric"],
            plan.places,
            [
                (
                    line.name,
                    [
                        [value(members, line.mixed and plan.choice == "validation") for members in point]
                        for point in line.points
                    ],
                )
                for line in plan.lines
            ],
            train_texts=described["rows"]["train"],
            seeds=experiment.recipe.seeds,
            choice=plan.choice,
            notes=plan.notes,
        )
        for plan in experiment.curves
    ]


def _score(experiment: Experiment, runner: Runner) -> Score:
    """Return a function that scores predictions by the data set's metric."""
    from ulmfit.classifier.metrics import main_score_of

    dataset = experiment.recipe.dataset
    assert dataset is not None, "rows and curves have a data set"
    metric = read_json(runner.verified(dataset) / "dataset.json")["metric"]
    return lambda predictions: main_score_of(metric, predictions, dataset.positive_label)


def _predictions(experiment: Experiment, runner: Runner) -> Read:
    """Return a function that reads and averages the predictions of stages on validation and test."""
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
