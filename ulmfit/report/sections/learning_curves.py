"""The page's section on learning curves: a chart of each, and its numbers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ulmfit.evaluation.learning_curve import LearningCurve, curve_caption, curve_cells
from ulmfit.report.sections.learning_curve_chart import curve_chart, curve_series
from ulmfit.report.sections.training_curves import Figure

TITLES = {"train size": "Over the number of training texts", "label noise": "Over wrong training labels"}


@dataclass(frozen=True)
class ShownCurve:
    """One curve; the first of the cells of a line is the system's name."""

    title: str
    caption: str
    figure: Figure
    header: list[str]
    lines: list[list[str]]


def describe_learning_curves(curves: Sequence[LearningCurve]) -> list[ShownCurve]:
    """Prepare the learning curves of a record for the page."""
    return [_shown(curve) for curve in curves]


def _shown(curve: LearningCurve) -> ShownCurve:
    header, lines = curve_cells(curve)
    legend = [(line.name, line.style) for line in curve_series(curve)]
    return ShownCurve(
        TITLES[curve.axis], curve_caption(curve), Figure(curve_chart(curve), legend), header, lines
    )
