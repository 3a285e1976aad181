"""The charts of a training: metrics per epoch where the history has them, and the epoch that is kept."""

from __future__ import annotations

import math
from xml.etree import ElementTree

import pytest
from evaluation.samples import made_up_history, made_up_record

from ulmfit.report.report import render_html
from ulmfit.report.section import History
from ulmfit.report.sections.training_curves import KEPT, draw, kept_epoch


def history(losses: list[float | None], metric: list[float] | None = None, **options) -> History:
    """A training of two phases: the first has one epoch, the second the others; ten steps per epoch."""
    epochs = [
        {"phase": min(number, 1), "epoch": max(number - 1, 0), "train_loss": 1.0, "valid_loss": loss}
        for number, loss in enumerate(losses)
    ]
    for epoch, value in zip(epochs, metric or [], strict=False):
        epoch |= {"accuracy": value}
    steps = [
        {"step": step, "phase": int(step > 10), "loss": 1.0, "learning_rates": [0.1]}
        for step in range(1, 10 * len(losses) + 1)
    ]
    return History("classifier", {"steps": steps, "epochs": epochs}, **options)


def circles(chart: str, style: str) -> list[tuple[float, float]]:
    return [
        (float(circle.get("cx")), float(circle.get("cy")))
        for circle in ElementTree.fromstring(chart).iter("circle")
        if circle.get("class") == f"marker {style}"
    ]


@pytest.mark.parametrize(
    ("options", "kept"),
    [
        ({}, 3),
        ({"select": "best"}, 1),
        ({"select": "best", "select_metric": "accuracy"}, 2),
        ({"select": "best", "select_metric": "nobody's"}, 3),
    ],
)
def test_the_epoch_that_is_kept_is_marked_on_its_point(options, kept):
    one = history([0.9, 0.5, 0.6, 0.5], [0.1, 0.8, 0.9, 0.9], **options)
    assert kept_epoch(one) == kept
    curves = draw(one)
    for figure in (curves.losses, curves.metrics):
        points = circles(figure.chart, "validation")
        assert len(points) == 4
        assert circles(figure.chart, "kept") == [points[kept]]
        assert (KEPT, "kept") in figure.legend


def test_metrics_are_drawn_in_percent_at_the_ends_of_their_epochs():
    curves = draw(history([0.9, 0.5, 0.6], [0.4, 0.8, 0.6]))
    assert [name for name, _ in curves.metrics.legend] == [KEPT, "accuracy", "a new phase begins"]
    assert ">validation, percent</text>" in curves.metrics.chart
    (_, low), (_, high), (_, middle) = circles(curves.metrics.chart, "validation")
    assert low - middle == pytest.approx(middle - high, abs=0.2)
    assert ">80</text>" in curves.metrics.chart


def test_correlations_are_drawn_as_they_are():
    one = history([0.9, 0.5])
    for epoch, value in zip(one.data["epochs"], (None, 0.75), strict=True):
        epoch |= {"pearson": value, "note": "text"}
    metrics = draw(one).metrics
    assert [name for name, _ in metrics.legend][:2] == [KEPT, "Pearson r"]
    assert ">validation</text>" in metrics.chart
    assert len(circles(metrics.chart, "validation")) == 1


def test_a_history_without_metrics_has_no_such_chart():
    assert draw(history([0.9, 0.5])).metrics is None
    record = made_up_record()
    assert "metrics on validation" not in render_html(record, [made_up_history("lm")])
    assert "metrics on validation" in render_html(record, [history([0.9, 0.5], [0.5, 0.6])])


def test_without_validation_no_epoch_is_marked():
    curves = draw(history([None, None], select="best"))
    assert (KEPT, "kept") not in curves.losses.legend
    assert kept_epoch(history([None, math.inf, None], select="best")) == 2
    assert kept_epoch(History("lm", {"steps": [], "epochs": []})) is None
