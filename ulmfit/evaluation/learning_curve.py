"""Learning curves: how systems do with fewer training labels, or with wrong ones (ULMFiT, figure 3)."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from itertools import pairwise
from typing import Literal, Self

from pydantic import Field, model_validator

from ulmfit.pipeline.record_part import Figure, RecordPart

CurveAxis = Literal["train size", "label noise"]
CurveChoice = Literal["labels", "validation"]
"""What settings and epochs are chosen on: the labels of a place alone, or the whole validation split too."""
CHOICES: dict[CurveChoice, str] = {
    "labels": "no labels but those of the column are used: the last epoch, settings by cross-validation",
    "validation": "chosen on the whole validation split",
}
"""In words, for captions."""


class CurvePoint(RecordPart):
    """One system at one place of the axis."""

    values: tuple[Figure, ...] = Field(
        min_length=1, description="the metric on the test split, one value per run, 0 to 1"
    )

    @property
    def mean(self) -> float:
        """The arithmetic mean of the values."""
        return statistics.fmean(self.values)

    @property
    def sd(self) -> float | None:
        """The sample standard deviation (n - 1); None for a single value."""
        return statistics.stdev(self.values) if len(self.values) > 1 else None


class CurveLine(RecordPart):
    """One system, over all places of the axis."""

    name: str = Field(description="what the reader sees, such as 'ULMFiT, forward'")
    points: tuple[CurvePoint, ...] = Field(description="one per place, in the order of the curve's places")


class LearningCurve(RecordPart):
    """What systems reach at several numbers of training texts, or shares of wrong training labels."""

    axis: CurveAxis = Field(description="what changes from place to place")
    metric: str = Field(description="name of the metric that is drawn")
    places: tuple[Figure, ...] = Field(
        min_length=1, description="training texts, or shares of wrong labels (0 to 0.5); rising"
    )
    train_texts: int = Field(ge=1, description="texts of the whole training split")
    seeds: tuple[int, ...] = Field(description="seeds of the runs; each has its own subset or noise")
    lines: tuple[CurveLine, ...] = Field(min_length=1, description="the systems")
    choice: CurveChoice = Field(
        "validation", description="what settings are chosen on; records without it are of the old way"
    )
    notes: tuple[str, ...] = Field((), description="how subsets or noise were made")

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        if any(first > second for first, second in pairwise(self.places)):
            raise ValueError("the places of a learning curve have to rise")
        for line in self.lines:
            if len(line.points) != len(self.places):
                raise ValueError(f"{line.name}: {len(line.points)} points at {len(self.places)} places")
        return self


def place_name(curve: LearningCurve, place: float) -> str:
    """Return what a column is called: 100, `all (4,508)`, 10 %."""
    if curve.axis == "label noise":
        return f"{100 * place:g} %"
    count = f"{round(place):,}"
    return f"all ({count})" if place == curve.train_texts else count


def curve_caption(curve: LearningCurve) -> str:
    """Return what the numbers of a curve's table are."""
    columns = "number of training texts" if curve.axis == "train size" else "share of wrong training labels"
    runs = f"{len(curve.seeds)} seeds" if len(curve.seeds) > 1 else "one seed"
    numbers = f"test split, percent, mean ± standard deviation, {runs}"
    return f"Learning curve over the {columns}: {numbers}. Settings and epochs: {CHOICES[curve.choice]}."


def curve_cells(curve: LearningCurve) -> tuple[list[str], list[list[str]]]:
    """Return header and lines of a curve's table: one line per system, one column per place, in percent."""
    header = [f"model, by {curve.axis}", *(place_name(curve, place) for place in curve.places)]
    return header, [[line.name, *map(_percent, line.points)] for line in curve.lines]


def _percent(point: CurvePoint) -> str:
    mean = f"{100 * point.mean:.2f}"
    return mean if point.sd is None else f"{mean} ± {100 * point.sd:.2f}"


def learning_curve(
    axis: CurveAxis,
    metric: str,
    places: Sequence[float | None],
    lines: Sequence[tuple[str, Sequence[Sequence[float]]]],
    *,
    train_texts: int,
    seeds: Sequence[int],
    choice: CurveChoice = "validation",
    notes: Sequence[str] = (),
) -> LearningCurve:
    """Make a curve from the values of every system at every place; None is the whole training split."""
    return LearningCurve(
        axis=axis,
        metric=metric,
        places=tuple(train_texts if place is None else place for place in places),
        train_texts=train_texts,
        seeds=tuple(seeds),
        lines=tuple(
            CurveLine(name=name, points=tuple(CurvePoint(values=tuple(values)) for values in points))
            for name, points in lines
        ),
        choice=choice,
        notes=tuple(notes),
    )
