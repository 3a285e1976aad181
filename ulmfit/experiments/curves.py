"""Learning curves. A new line of every curve is a function here and its place in `LINES`.

Nothing is trained twice: a point that has all training labels, all of them right, is made of the stages of
the table's row of the same name, where both choose alike.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

from ulmfit.datasets.noise import NoisyLabels
from ulmfit.datasets.subsets import DerivedDataset, TrainingSubset
from ulmfit.evaluation.encoder_stages import FrozenEncoder
from ulmfit.evaluation.learning_curve import CurveAxis, CurveChoice
from ulmfit.evaluation.transformer_stages import TransformerModel
from ulmfit.experiments.stage_factory import Run, StageFactory
from ulmfit.experiments.systems import taught_name, teachers_name, tfidf_name
from ulmfit.pipeline.stage import Stage

Members = tuple[Stage, ...]
"""The stages of one run, whose predictions are averaged."""


@dataclass(frozen=True)
class Line:
    """One line of every curve: what predicts, for the data of a run."""

    name: str
    build: Callable[[Run], Members]
    mixed: bool = False
    """Whether the last member is of another kind than the others, so that a validation split weighs it."""
    needs_pool: bool = False
    """Whether it learns from texts without a label, which curves over label noise have not."""


@dataclass(frozen=True)
class CurveLine:
    """One line of a learning curve: at every place, the members of each run."""

    name: str
    points: list[tuple[Members, ...]]
    mixed: bool = False
    """As in `Line`."""


@dataclass(frozen=True)
class CurvePlan:
    """The stages of a learning curve; the place None is the whole training split."""

    axis: CurveAxis
    places: list[float | None]
    lines: list[CurveLine]
    choice: CurveChoice
    notes: tuple[str, ...]

    def stages(self) -> list[Stage]:
        """Return the stages of all points."""
        return [
            stage for line in self.lines for point in line.points for members in point for stage in members
        ]

    def datasets(self) -> list[DerivedDataset]:
        """Return the changed data sets: building them shows early whether a place is possible."""
        found = {id(stage): stage for run in self.stages() for stage in run.upstream()}
        return [stage for stage in found.values() if isinstance(stage, (TrainingSubset, NoisyLabels))]


def ulmfit(make: StageFactory) -> Iterator[Line]:
    """ULMFiT."""
    yield Line(f"ULMFiT, {make.first}", lambda run: (make.ulmfit(run),))


def without_finetuning(make: StageFactory) -> Iterator[Line]:
    """ULMFiT whose language model has not seen the task's texts."""
    name = f"ULMFiT without LM fine-tuning, {make.first}"
    yield Line(name, lambda run: (make.without_finetuning(run),))


def from_scratch(make: StageFactory) -> Iterator[Line]:
    """A classifier of the same size without a language model."""
    yield Line(f"from scratch, {make.first}", lambda run: (make.from_scratch(run),))


def tfidf(make: StageFactory) -> Iterator[Line]:
    """One TF-IDF baseline."""
    name = tfidf_name(make.tfidf(make.run(make.recipe.seeds[0])))
    yield Line(name, lambda run: (make.tfidf(run),))


def with_tfidf(make: StageFactory) -> Iterator[Line]:
    """ULMFiT averaged with that baseline: one half each where no validation split may weigh them."""
    yield Line("ULMFiT and TF-IDF together", lambda run: (make.ulmfit(run), make.tfidf(run)), mixed=True)


def encoders(make: StageFactory) -> Iterator[Line]:
    """The recipe's frozen encoders."""

    def line(encoder: FrozenEncoder) -> Line:
        return Line(encoder.name, lambda run: (make.encoder(encoder, run),))

    return map(line, make.recipe.encoders)


def transformers(make: StageFactory) -> Iterator[Line]:
    """The recipe's transformers."""

    def line(model: TransformerModel) -> Line:
        return Line(model.name, lambda run: (make.transformer(model, run),))

    return map(line, make.recipe.transformers)


def averaged_teachers(make: StageFactory) -> Iterator[Line]:
    """Teachers that are averaged; single ones have lines of their own."""

    def line(names: Sequence[str]) -> Line:
        return Line(
            f"{teachers_name(names)}, averaged",
            lambda run: tuple(make.teacher(name, run) for name in names),
            needs_pool=True,
        )

    return map(line, [names for names in make.recipe.bootstrap if len(names) > 1])


def taught(make: StageFactory) -> Iterator[Line]:
    """ULMFiT that learns from the soft labels of teachers."""

    def line(names: Sequence[str]) -> Line:
        return Line(taught_name(make, names), lambda run: (make.taught(names, run),), needs_pool=True)

    return map(line, make.recipe.bootstrap)


LINES: tuple[Callable[[StageFactory], Iterator[Line]], ...] = (
    ulmfit,
    without_finetuning,
    from_scratch,
    tfidf,
    with_tfidf,
    encoders,
    transformers,
    averaged_teachers,
    taught,
)
"""In the order of table and picture; each yields its lines, none where the recipe does not ask for them."""


def curves_of(make: StageFactory) -> list[CurvePlan]:
    """Return the learning curves that the recipe asks for."""
    recipe, curves = make.recipe, []
    if recipe.train_sizes:
        curves.append(_size_curve(make, [None if size == "all" else size for size in recipe.train_sizes]))
    if recipe.label_noise:
        curves.append(_noise_curve(make, list(recipe.label_noise)))
    return curves


def _size_curve(make: StageFactory, sizes: list[float | None]) -> CurvePlan:
    recipe = make.recipe
    supervised, steps, choice = recipe.curve_texts == "subset", recipe.curve_steps, recipe.curve_choice

    def run(size: float | None, seed: int) -> Run:
        if size is None:
            return replace(make.run(seed), choice=choice)
        subset = TrainingSubset.of(make.dataset, size=size, seed=seed)
        texts = subset if supervised else make.dataset
        return Run(seed, subset, texts, least_steps=steps, pool=make.dataset, choice=choice)

    notes = ["every seed draws a stratified training subset of its own, in which its smaller ones lie"]
    notes.append(
        "the test split is the whole one at every size, no label of the validation split is used"
        if choice == "labels"
        else "validation and test splits are the whole ones at every size"
    )
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
    if recipe.bootstrap:
        notes.append(
            "teachers of the subset give soft labels to all other training texts and the unlabelled ones; "
            "with all training labels there are none, and ULMFiT is the usual one"
        )
    return CurvePlan("train size", sizes, _lines(make, sizes, run), choice, tuple(notes))


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
    lines = _lines(make, shares, run, with_pool=False)
    return CurvePlan("label noise", shares, lines, "validation", notes)


def _lines(
    make: StageFactory,
    places: list[float | None],
    run: Callable[[float | None, int], Run],
    *,
    with_pool: bool = True,
) -> list[CurveLine]:
    """Return the lines of a curve; `run` gives what the models of a place and seed are trained on."""
    runs = [[run(place, seed) for seed in make.recipe.seeds] for place in places]
    return [
        CurveLine(line.name, [_distinct([line.build(one) for one in some]) for some in runs], line.mixed)
        for lines in LINES
        for line in lines(make)
        if with_pool or not line.needs_pool
    ]


def _distinct(runs: list[Members]) -> tuple[Members, ...]:
    """Return each run once: a model without a seed has one run where all seeds have the same data."""
    return tuple(members for place, members in enumerate(runs) if members not in runs[:place])
