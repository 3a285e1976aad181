"""Learning curves. A new line of every curve is a function here and its place in `LINES`.

Nothing is trained twice: a point that has all training labels, all of them right, is made of the stages of
the table's row of the same name.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from ulmfit.datasets.noise import NoisyLabels
from ulmfit.datasets.subsets import DerivedDataset, TrainingSubset
from ulmfit.evaluation.learning_curve import CurveAxis
from ulmfit.evaluation.stages import TfidfBaseline
from ulmfit.experiments.stage_factory import Run, StageFactory
from ulmfit.experiments.systems import tfidf_name
from ulmfit.pipeline.stage import Stage

Line = tuple[str, Callable[[Run], Stage]]
"""The name of a line, and the function that makes the stage that predicts."""


@dataclass(frozen=True)
class CurveLine:
    """One line of a learning curve: at every place, the stages that predict, one per run."""

    name: str
    points: list[tuple[Stage, ...]]


@dataclass(frozen=True)
class CurvePlan:
    """The stages of a learning curve; the place None is the whole training split."""

    axis: CurveAxis
    places: list[float | None]
    lines: list[CurveLine]
    notes: tuple[str, ...]

    def stages(self) -> list[Stage]:
        """Return the stages of all points."""
        return [stage for line in self.lines for point in line.points for stage in point]

    def datasets(self) -> list[DerivedDataset]:
        """Return the changed data sets: building them shows early whether a place is possible."""
        found = {id(stage): stage for run in self.stages() for stage in run.upstream()}
        return [stage for stage in found.values() if isinstance(stage, DerivedDataset)]


def ulmfit(make: StageFactory) -> Line:
    """ULMFiT."""
    return f"ULMFiT, {make.first}", make.ulmfit


def without_finetuning(make: StageFactory) -> Line:
    """ULMFiT whose language model has not seen the task's texts."""
    return f"ULMFiT without LM fine-tuning, {make.first}", make.without_finetuning


def from_scratch(make: StageFactory) -> Line:
    """A classifier of the same size without a language model."""
    return f"from scratch, {make.first}", make.from_scratch


def tfidf(make: StageFactory) -> Line:
    """One TF-IDF baseline."""
    return tfidf_name(TfidfBaseline(dataset=make.dataset)), lambda run: TfidfBaseline(dataset=run.dataset)


LINES: tuple[Callable[[StageFactory], Line], ...] = (ulmfit, without_finetuning, from_scratch, tfidf)
"""In the order of table and picture."""


def curves_of(make: StageFactory) -> list[CurvePlan]:
    """Return the learning curves that the recipe asks for."""
    recipe, curves = make.recipe, []
    if recipe.train_sizes:
        curves.append(_size_curve(make, [None if size == "all" else size for size in recipe.train_sizes]))
    if recipe.label_noise:
        curves.append(_noise_curve(make, list(recipe.label_noise)))
    return curves


def _size_curve(make: StageFactory, sizes: list[float | None]) -> CurvePlan:
    supervised, steps = make.recipe.curve_texts == "subset", make.recipe.curve_steps

    def run(size: float | None, seed: int) -> Run:
        if size is None:
            return make.run(seed)
        subset = TrainingSubset.of(make.dataset, size=size, seed=seed)
        return Run(seed, subset, subset if supervised else make.dataset, steps)

    notes = ["every seed draws a stratified training subset of its own, in which its smaller ones lie"]
    notes.append("validation and test splits are the whole ones at every size")
    notes.append(
        "language models are fine-tuned on the labelled texts of the subset alone (supervised)"
        if supervised
        else "language models are fine-tuned on all training and unlabelled texts, without their labels "
        "(semi-supervised)"
    )
    if steps:
        notes.append(
            f"classifiers of fewer texts are trained for {steps} steps at least, in more passes if need be"
        )
    return CurvePlan("train size", sizes, _lines(make, sizes, run), tuple(notes))


def _noise_curve(make: StageFactory, shares: list[float | None]) -> CurvePlan:
    def run(share: float | None, seed: int) -> Run:
        if not share:
            return make.run(seed)
        return Run(seed, NoisyLabels.of(make.dataset, share=share, seed=seed), make.dataset)

    notes = (
        "that share of the training labels is wrong, every wrong label being as likely as any other; every "
        "seed draws its own, and a higher share has those of the lower",
        "validation and test labels are clean",
    )
    return CurvePlan("label noise", shares, _lines(make, shares, run), notes)


def _lines(
    make: StageFactory, places: list[float | None], run: Callable[[float | None, int], Run]
) -> list[CurveLine]:
    """Return the lines of a curve; `run` gives what the models of a place and seed are trained on."""
    runs = [[run(place, seed) for seed in make.recipe.seeds] for place in places]
    lines = []
    for line in LINES:
        name, build = line(make)
        lines.append(CurveLine(name, [_distinct([build(one) for one in some]) for some in runs]))
    return lines


def _distinct(stages: list[Stage]) -> tuple[Stage, ...]:
    """Return each stage once: a model without a seed has one run where all seeds have the same data."""
    return tuple(stage for place, stage in enumerate(stages) if stage not in stages[:place])
