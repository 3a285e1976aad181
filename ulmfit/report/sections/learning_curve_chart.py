"""A learning curve as a chart of the report."""

from __future__ import annotations

from markupsafe import Markup

from ulmfit.evaluation.learning_curve import LearningCurve
from ulmfit.evaluation.metric_text import METRIC_TITLES
from ulmfit.report.charts import Series, line_chart

HUES = ("training", "validation", "third", "fourth")
STYLES = (*HUES, "fifth", *(f"{hue} {dashes}" for dashes in ("dashed", "dotted") for hue in HUES))
"""CSS classes of the page, in the order of a curve's lines; they differ in hue or dashes."""


def curve_series(curve: LearningCurve) -> list[Series]:
    """Return the lines of a curve in percent, with whiskers of one standard deviation."""
    return [
        Series(
            line.name,
            STYLES[number % len(STYLES)],
            [(place, 100 * point.mean) for place, point in zip(curve.places, line.points, strict=True)],
            markers=True,
            whiskers=[
                (100 * (point.mean - (point.sd or 0)), 100 * (point.mean + (point.sd or 0)))
                for point in line.points
            ],
        )
        for number, line in enumerate(curve.lines)
    ]


def curve_chart(curve: LearningCurve) -> Markup:
    """Draw a curve: numbers of texts on a logarithmic axis, shares of noise on a linear one."""
    sizes = curve.axis == "train size"
    metric = METRIC_TITLES.get(curve.metric, curve.metric)
    return line_chart(
        curve_series(curve),
        title=f"{metric} by {curve.axis}",
        x_title="training texts" if sizes else "share of wrong training labels",
        y_title=f"{metric}, percent",
        x_logarithmic=sizes,
        x_ticks=curve.places,
    )
