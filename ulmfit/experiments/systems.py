"""The rows of the results table. A new row is a function here and its place in `SYSTEMS`."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, get_args

from ulmfit.datasets.stages import DatasetStage
from ulmfit.evaluation.encoder_stages import TextVectors
from ulmfit.evaluation.stages import LEARNERS, Analyzer, Learner, TfidfBaseline
from ulmfit.experiments.stage_factory import StageFactory
from ulmfit.pipeline.errors import InputError
from ulmfit.pipeline.stage import Stage

if TYPE_CHECKING:
    from ulmfit.evaluation.row import Kind

FEATURE_NAMES: dict[Analyzer, str] = {"word": "words 1-2", "char": "characters 2-5"}
LEARNER_NAMES: dict[Learner, str] = {
    "logistic_regression": "logistic regression",
    "linear_svm": "linear SVM",
    "ridge": "ridge regression",
    "linear_svr": "linear SVR",
}


@dataclass(frozen=True)
class System:
    """One row of the table: for each seed, the stages whose predictions are averaged."""

    name: str
    kind: Kind
    runs: Mapping[int, tuple[Stage, ...]]
    average_seeds: bool = False
    """Whether the seeds are averaged as well, into one run."""
    notes: tuple[str, ...] = ()
    """Remarks for the reader of the table."""
    vectors: TextVectors | None = None
    """The stage whose folder says what made the vectors of a frozen encoder; None: there are none."""
    mixed_with: Mapping[str, Stage] = field(default_factory=dict)
    """Models of another kind, by name; the best of them on validation joins the average. {}: none."""

    def stages(self) -> list[Stage]:
        """Return the stages of all runs."""
        return [*(stage for run in self.runs.values() for stage in run), *self.mixed_with.values()]


def each_direction(make: StageFactory) -> Iterator[System]:
    """ULMFiT, one row per reading direction."""
    for direction in make.directions:
        runs = {seed: (make.classifiers[direction, seed],) for seed in make.recipe.seeds}
        yield System(f"ULMFiT, {direction}", "model", runs)


def _all_directions(make: StageFactory) -> dict[int, tuple[Stage, ...]]:
    return {
        seed: tuple(make.classifiers[direction, seed] for direction in make.directions)
        for seed in make.recipe.seeds
    }


def both_directions(make: StageFactory) -> Iterator[System]:
    """ULMFiT's two directions averaged."""
    if len(make.directions) > 1:
        yield System("ULMFiT, forward + backward", "ensemble", _all_directions(make))


def ensemble_of_seeds(make: StageFactory) -> Iterator[System]:
    """ULMFiT, all seeds and directions averaged."""
    seeds = len(make.recipe.seeds)
    if "ensemble" in make.settings.comparisons and seeds > 1:
        name = f"ULMFiT, ensemble of {seeds} seeds"
        yield System(name, "ensemble", _all_directions(make), average_seeds=True)


def without_finetuning(make: StageFactory) -> Iterator[System]:
    """ULMFiT whose language model has not seen the task's texts."""
    if "without_finetuning" in make.settings.comparisons:
        name = f"ULMFiT without LM fine-tuning, {make.first}"
        yield System(name, "model", make.every_seed(make.without_finetuning))


def with_words(make: StageFactory) -> Iterator[System]:
    """ULMFiT with a vocabulary of words; no row where it has one anyway, or where weights are given."""
    settings, recipe = make.settings, make.recipe
    has_words = settings.vocabulary.kind == "words"
    if "words" in settings.comparisons and not (has_words or recipe.pretrained or recipe.language_model):
        runs = make.every_seed(make.with_words().ulmfit)
        yield System(f"ULMFiT with words, {make.first}", "model", runs)


def from_scratch(make: StageFactory) -> Iterator[System]:
    """A classifier of the same size without a language model."""
    if "from_scratch" in make.settings.comparisons:
        yield System(f"from scratch, {make.first}", "model", make.every_seed(make.from_scratch))


def tfidf(make: StageFactory) -> Iterator[System]:
    """TF-IDF with linear models, which has no seeds."""
    if "tfidf" in make.settings.comparisons:
        for stage in baselines_of(make.dataset):
            yield System(tfidf_name(stage), "baseline", {0: (stage,)})


def with_tfidf(make: StageFactory) -> Iterator[System]:
    """ULMFiT, all directions, averaged with the best TF-IDF row."""
    if "with_tfidf" in make.settings.comparisons:
        others = {tfidf_name(stage): stage for stage in baselines_of(make.dataset)}
        yield System("ULMFiT and TF-IDF together", "mixture", _all_directions(make), mixed_with=others)


def encoders(make: StageFactory) -> Iterator[System]:
    """The recipe's frozen encoders with logistic regression, which has no seeds."""
    for encoder in make.recipe.encoders:
        stage = encoder.classifier(make.dataset, make.dataset)
        yield System(encoder.name, "baseline", {0: (stage,)}, vectors=stage.vectors)


def bootstrapped(make: StageFactory) -> Iterator[System]:
    """ULMFiT that learns from soft labels of unlabelled texts; recipes with train sizes have it in curves."""
    if make.recipe.train_sizes:
        return
    if make.recipe.bootstrap and make.dataset.has_unlabelled is False:
        raise InputError(
            f"bootstrap: {make.dataset.name or 'the data set'} has no unlabelled texts that teachers could "
            f"label: name a file of them in unlabelled, or set train_sizes"
        )
    for names in make.recipe.bootstrap:
        runs = {
            seed: (make.taught(names, replace(make.run(seed), pool=make.dataset)),)
            for seed in make.recipe.seeds
        }
        yield System(taught_name(make, names), "model", runs)


def transformers(make: StageFactory) -> Iterator[System]:
    """The recipe's transformers."""
    for model in make.recipe.transformers:
        runs = {seed: (model.classifier(make.dataset, seed),) for seed in make.recipe.seeds}
        yield System(model.name, "comparison", runs, notes=(f"transformer, {model.origin}",))


SYSTEMS: tuple[Callable[[StageFactory], Iterator[System]], ...] = (
    each_direction,
    both_directions,
    ensemble_of_seeds,
    without_finetuning,
    with_words,
    from_scratch,
    tfidf,
    with_tfidf,
    bootstrapped,
    encoders,
    transformers,
)
"""In the order of the table; each yields its rows, and none where the recipe does not ask for them."""


def systems_of(make: StageFactory) -> list[System]:
    """Return the rows of the table in their order; none without a data set.

    Raises InputError when two have one name.
    """
    if make.recipe.dataset is None:
        return []
    found = [system for rows in SYSTEMS for system in rows(make)]
    names = [system.name for system in found]
    if twice := [name for name in names if names.count(name) > 1]:
        raise InputError(f"two rows of the table are called {twice[0]!r}: give the transformer another name")
    return found


def baselines_of(dataset: DatasetStage) -> list[TfidfBaseline]:
    """Return the TF-IDF baselines that fit the data set's task."""
    return [
        TfidfBaseline(dataset=dataset, analyzer=analyzer, classifier=learner)
        for learner in LEARNERS[dataset.task]
        for analyzer in get_args(Analyzer)
    ]


def tfidf_name(stage: TfidfBaseline) -> str:
    """Return the name of a baseline in tables."""
    return f"TF-IDF, {FEATURE_NAMES[stage.analyzer]} + {LEARNER_NAMES[stage.classifier]}"


def teachers_name(names: Sequence[str]) -> str:
    """Return what teachers are called in tables."""
    return " and ".join({"tfidf": "TF-IDF", "ulmfit": "ULMFiT"}.get(name, name) for name in names)


def taught_name(make: StageFactory, names: Sequence[str]) -> str:
    """Return the name of ULMFiT that learns from teachers, which may be itself."""
    alone = list(names) == ["ulmfit"]
    return f"ULMFiT, {make.first}, " + ("self-trained" if alone else f"taught by {teachers_name(names)}")
