"""Learning curves in a record: their numbers, their table, their chart."""

from __future__ import annotations

import re
from xml.etree import ElementTree

import pytest
from pydantic import ValidationError

from ulmfit.evaluation.learning_curve import (
    CurvePoint,
    LearningCurve,
    curve_caption,
    curve_cells,
    learning_curve,
)
from ulmfit.report.sections.learning_curve_chart import curve_chart, curve_series

VALUES = [
    ("ULMFiT, forward", [[0.6, 0.7], [0.75, 0.85], [0.9, 0.9]]),
    ("TF-IDF, <characters>", [[0.5, 0.6], [0.6, 0.7], [0.8]]),
]


def size_curve(**changes) -> LearningCurve:
    settings = {"train_texts": 4508, "seeds": (0, 1), "notes": ["every seed draws its own"], **changes}
    return learning_curve("train size", "macro_f1", [100, 1000, None], VALUES, **settings)


def noise_curve() -> LearningCurve:
    lines = [(name, points[:2]) for name, points in VALUES]
    return learning_curve("label noise", "accuracy", [0.0, 0.125], lines, train_texts=100, seeds=(0, 1))


def test_the_table_has_a_line_a_system_and_a_column_a_place():
    """Half the difference of two values, times the root of two, is their standard deviation."""
    header, lines = curve_cells(size_curve())
    assert header == ["model, by train size", "100", "1,000", "all (4,508)"]
    assert lines == [
        ["ULMFiT, forward", "65.00 ± 7.07", "80.00 ± 7.07", "90.00 ± 0.00"],
        ["TF-IDF, <characters>", "55.00 ± 7.07", "65.00 ± 7.07", "80.00"],
    ]
    assert curve_cells(noise_curve())[0] == ["model, by label noise", "0 %", "12.5 %"]


def test_the_caption_says_what_the_numbers_are():
    caption = curve_caption(size_curve())
    assert caption.startswith("Learning curve over the number of training texts: test split, percent")
    assert "2 seeds. Settings and epochs: " in caption
    assert "one seed. " in curve_caption(size_curve(seeds=(3,)))


def test_a_curve_says_what_its_settings_were_chosen_on_and_old_records_do_so_too():
    assert curve_caption(size_curve(choice="labels")).endswith(
        "no labels but those of the column are used: the last epoch, settings by cross-validation."
    )
    old = size_curve().model_dump(mode="json")
    del old["choice"]
    assert curve_caption(LearningCurve.model_validate(old)).endswith("chosen on the whole validation split.")


def test_a_curve_survives_its_record():
    curve = size_curve()
    assert LearningCurve.model_validate_json(curve.model_dump_json()) == curve
    assert curve.lines[0].points[0].mean == pytest.approx(0.65)
    assert curve.lines[1].points[2].sd is None


@pytest.mark.parametrize(
    ("places", "lines", "message"),
    [
        ([1000, 100, None], VALUES, "have to rise"),
        ([100, None], VALUES, "3 points at 2 places"),
        ([100, 200, None], [], "at least 1 item"),
        ([], [("a", [])], "at least 1 item"),
        ([100], [("a", [[]])], "at least 1 item"),
        ([100], [("a", [[float("nan")]])], "finite"),
    ],
)
def test_malformed_curves_are_refused(places, lines, message):
    with pytest.raises(ValidationError, match=message):
        learning_curve("train size", "accuracy", places, lines, train_texts=4508, seeds=(0,))


def test_a_point_needs_a_value():
    with pytest.raises(ValidationError):
        CurvePoint(values=())


def places_of(svg: str, style: str) -> list[tuple[float, float]]:
    root = ElementTree.fromstring(svg)
    circles = [circle for circle in root.iter("circle") if style in circle.get("class", "").split()]
    return [(float(circle.get("cx")), float(circle.get("cy"))) for circle in circles]


def test_sizes_stand_on_a_logarithmic_axis_and_noise_on_a_linear_one():
    svg = str(curve_chart(size_curve()))
    (x1, y1), (x2, y2), (x3, y3) = places_of(svg, "training")
    assert (x3 - x2) / (x2 - x1) == pytest.approx(0.654, abs=0.01), "log10(4.508) of a decade"
    assert y1 > y2 > y3, "higher is better, and up"
    assert re.search(r"1,?000|1k", svg), "places have their own ticks"
    assert places_of(str(curve_chart(noise_curve())), "training")[0][0] < x2


def test_names_are_escaped_and_series_have_whiskers_of_one_deviation():
    assert "<characters>" not in str(curve_chart(size_curve()))
    series = curve_series(size_curve())
    assert len({line.style for line in series}) == 2, "lines can be told apart"
    many = size_curve()
    many = many.changed(lines=tuple(many.lines[0].changed(name=str(number)) for number in range(13)))
    assert len({line.style for line in curve_series(many)}) == 13
    low, high = series[0].whiskers[0]
    assert (low, high) == (pytest.approx(65 - 7.0711, abs=1e-3), pytest.approx(65 + 7.0711, abs=1e-3))
    assert series[1].whiskers[2] == (80.0, 80.0)
