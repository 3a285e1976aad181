"""The page's section on learning curves: a chart of each, and its numbers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ulmfit.evaluation.learning_curve import LearningCurve, curve_caption
from ulmfit.report.record_tables import curve_table
from ulmfit.report.section import Section
from ulmfit.report.sections.learning_curve_chart import curve_chart, curve_series
from ulmfit.report.sections.training_curves import Figure
from ulmfit.report.table import Table

TITLES = {"train size": "Over the number of training texts", "label noise": "Over wrong training labels"}


@dataclass(frozen=True)
class ShownCurve:
    """One curve."""

    title: str
    caption: str
    figure: Figure
    table: Table


def describe_learning_curves(curves: Sequence[LearningCurve]) -> list[ShownCurve]:
    """Prepare the learning curves of a record for the page."""
    return [_shown(curve) for curve in curves]


def _shown(curve: LearningCurve) -> ShownCurve:
    legend = [(line.name, line.style) for line in curve_series(curve)]
    figure = Figure(curve_chart(curve), legend)
    return ShownCurve(TITLES[curve.axis], curve_caption(curve), figure, curve_table(curve))


SECTION = Section(
    "learning-curves",
    "Learning curves",
    "learning_curves.html.j2",
    lambda material: describe_learning_curves(material.record.curves) or None,
)
