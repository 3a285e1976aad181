"""Which models a recipe trains: the rows of its table, and the points of its learning curves.

Nothing is trained twice: a point of a curve that has all training labels, all of them right, is made of the
stages of the row above it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, get_args

from ulmfit.datasets.noise import NoisyLabels
from ulmfit.datasets.stages import DatasetStage
from ulmfit.datasets.subsets import DerivedDataset, TrainingSubset
from ulmfit.evaluation.learning_curve import CurveAxis
from ulmfit.evaluation.stages import LEARNERS, Analyzer, Learner, TfidfBaseline
from ulmfit.pipeline.errors import InputError
from ulmfit.pipeline.stage import Stage

if TYPE_CHECKING:
    from ulmfit.experiments.plan import Experiment
    from ulmfit.language_model.bundled import BundledModel
    from ulmfit.language_model.stages import FineTune, ImportedModel, Pretrain

    Start = FineTune | Pretrain | ImportedModel | BundledModel

RowKind = Literal["model", "ensemble", "baseline", "comparison"]

FEATURE_NAMES: dict[Analyzer, str] = {"word": "words 1-2", "char": "characters 2-5"}
LEARNER_NAMES: dict[Learner, str] = {
    "logistic_regression": "logistic regression",
    "linear_svm": "linear SVM",
    "ridge": "ridge regression",
    "linear_svr": "linear SVR",
}


@dataclass(frozen=True)
class Row:
    """One row of the table: for each seed, the stages whose predictions are averaged."""

    name: str
    kind: RowKind
    runs: Mapping[int, tuple[Stage, ...]]
    average_seeds: bool = False
    """Whether the seeds are averaged as well, into one run."""
    notes: tuple[str, ...] = ()
    """Remarks for the reader of the table."""


@dataclass(frozen=True)
class CurveSystem:
    """One line of a learning curve: at every place, for each seed, the stage that predicts."""

    name: str
    points: list[dict[int, Stage]]


@dataclass(frozen=True)
class CurvePlan:
    """A learning curve before anything is trained; the place None is the whole training split."""

    axis: CurveAxis
    places: list[float | None]
    systems: list[CurveSystem]
    notes: tuple[str, ...]

    def stages(self) -> list[Stage]:
        """Return the stages of all points."""
        return [stage for line in self.systems for point in line.points for stage in point.values()]

    def datasets(self) -> list[DerivedDataset]:
        """Return the changed data sets, which tell soon whether a place is possible at all."""
        found = {id(stage): stage for run in self.stages() for stage in run.upstream()}
        return [stage for stage in found.values() if isinstance(stage, DerivedDataset)]


def baselines_of(dataset: DatasetStage) -> dict[str, TfidfBaseline]:
    """Return the TF-IDF baselines that fit the data set's task, under their names."""
    return {
        f"TF-IDF, {FEATURE_NAMES[analyzer]} + {LEARNER_NAMES[learner]}": TfidfBaseline(
            dataset=dataset, analyzer=analyzer, classifier=learner
        )
        for learner in LEARNERS[dataset.task]
        for analyzer in get_args(Analyzer)
    }


def rows_of(experiment: Experiment) -> list[Row]:
    """Return the rows of the table in their order; none without a data set.

    Raises InputError when two have one name.
    """
    recipe = experiment.recipe
    if recipe.dataset is None:
        return []
    directions, first = recipe.settings.directions, recipe.settings.directions[0]
    classifiers = experiment.classifiers
    found = [
        Row(f"ULMFiT, {direction}", "model", {seed: (classifiers[direction, seed],) for seed in recipe.seeds})
        for direction in directions
    ]
    both = {seed: tuple(classifiers[one, seed] for one in directions) for seed in recipe.seeds}
    if len(directions) > 1:
        found.append(Row("ULMFiT, forward + backward", "ensemble", both))
    if "ensemble" in recipe.settings.comparisons and len(recipe.seeds) > 1:
        name = f"ULMFiT, ensemble of {len(recipe.seeds)} seeds"
        found.append(Row(name, "ensemble", both, average_seeds=True))
    for name, stages in (
        (f"ULMFiT without LM fine-tuning, {first}", experiment.without_finetuning),
        (f"ULMFiT with words, {first}", experiment.words.classifiers if experiment.words else {}),
        (f"from scratch, {first}", experiment.from_scratch),
    ):
        if stages:
            found.append(Row(name, "model", {seed: (stage,) for seed, stage in stages.items()}))
    found += [Row(name, "baseline", {0: (stage,)}) for name, stage in experiment.baselines.items()]
    for model in recipe.transformers:
        runs = {seed: (stage,) for seed, stage in experiment.transformers[model.name].items()}
        found.append(Row(model.name, "comparison", runs, notes=(f"transformer, {model.origin}",)))
    names = [row.name for row in found]
    if twice := [name for name in names if names.count(name) > 1]:
        raise InputError(f"two rows of the table are called {twice[0]!r}: give the transformer another name")
    return found


def curves_of(experiment: Experiment) -> list[CurvePlan]:
    """Return the learning curves that the recipe asks for."""
    recipe = experiment.recipe
    plans = []
    if recipe.train_sizes:
        sizes = [None if size == "all" else size for size in recipe.train_sizes]
        plans.append(_size_curve(experiment, sizes))
    if recipe.label_noise:
        plans.append(_noise_curve(experiment, list(recipe.label_noise)))
    return plans


def _size_curve(experiment: Experiment, sizes: list[int | None]) -> CurvePlan:
    dataset, supervised = _dataset(experiment), experiment.recipe.curve_texts == "subset"

    def changed(size: float | None, seed: int) -> DatasetStage:
        return dataset if size is None else TrainingSubset.of(dataset, size=size, seed=seed)

    notes = ["every seed draws a stratified training subset of its own, in which its smaller ones lie"]
    notes.append("validation and test splits are the whole ones at every size")
    notes.append(
        "language models are fine-tuned on the labelled texts of the subset alone (supervised)"
        if supervised
        else "language models are fine-tuned on all training and unlabelled texts, without their labels "
        "(semi-supervised)"
    )
    if steps := experiment.recipe.curve_steps:
        notes.append(
            f"classifiers of fewer texts are trained for {steps} steps at least, in more passes if need be"
        )
    systems = _systems(experiment, list(sizes), changed, own_texts=supervised, least_steps=steps)
    return CurvePlan("train size", list(sizes), systems, tuple(notes))


def _noise_curve(experiment: Experiment, shares: list[float]) -> CurvePlan:
    dataset = _dataset(experiment)

    def changed(share: float | None, seed: int) -> DatasetStage:
        return NoisyLabels.of(dataset, share=share, seed=seed) if share else dataset

    notes = (
        "that share of the training labels is wrong, every wrong label being as likely as any other; every "
        "seed draws its own, and a higher share has those of the lower",
        "validation and test labels are clean",
    )
    return CurvePlan("label noise", list(shares), _systems(experiment, list(shares), changed), notes)


def _systems(
    experiment: Experiment,
    places: list[float | None],
    changed: Callable[[float | None, int], DatasetStage],
    *,
    own_texts: bool = False,
    least_steps: int = 0,
) -> list[CurveSystem]:
    """Return the lines of a curve; `changed` gives the data set of a place and seed.

    `least_steps` hold for other data sets than the whole, whose classifiers are the table's own.
    """
    seeds, first = experiment.recipe.seeds, experiment.recipe.settings.directions[0]
    whole = _dataset(experiment)

    def ulmfit(data: DatasetStage, seed: int) -> Stage:
        return classifier(data, seed, experiment.fine_tuned(first, seed, data if own_texts else whole))

    def without_finetuning(data: DatasetStage, seed: int) -> Stage:
        return classifier(data, seed, experiment.pretrained[first])

    def from_scratch(data: DatasetStage, seed: int) -> Stage:
        return classifier(data, seed, None)

    def classifier(data: DatasetStage, seed: int, model: Start | None) -> Stage:
        return experiment.classifier(data, first, seed, model, 0 if data == whole else least_steps)

    systems = [
        CurveSystem(name, [{seed: make(changed(place, seed), seed) for seed in seeds} for place in places])
        for name, make in (
            (f"ULMFiT, {first}", ulmfit),
            (f"ULMFiT without LM fine-tuning, {first}", without_finetuning),
            (f"from scratch, {first}", from_scratch),
        )
    ]
    # A baseline has no seed of its own: where all seeds have the same data there is one run.
    name = f"TF-IDF, {FEATURE_NAMES['char']} + {LEARNER_NAMES['logistic_regression']}"
    points: list[dict[int, Stage]] = []
    for place in places:
        runs = {seed: TfidfBaseline(dataset=changed(place, seed)) for seed in seeds}
        same = all(run == runs[seeds[0]] for run in runs.values())
        points.append({0: runs[seeds[0]]} if same and runs[seeds[0]].dataset == whole else dict(runs))
    return [*systems, CurveSystem(name, points)]


def _dataset(experiment: Experiment) -> DatasetStage:
    assert experiment.recipe.dataset is not None, "a recipe refuses curves without a data set"
    return experiment.recipe.dataset
