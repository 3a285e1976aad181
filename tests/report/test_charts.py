"""Charts: their scales, and where their shapes stand."""

from __future__ import annotations

import math
import re
from xml.etree import ElementTree

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ulmfit.report.charts import (
    LEFT,
    RIGHT,
    STRIP_MARGIN,
    STRIP_WIDTH,
    WIDTH,
    Series,
    interval_chart,
    line_chart,
)
from ulmfit.report.svg import logarithmic_ticks, short_number, ticks


def path_of(chart: str) -> str:
    return re.findall(r'class="line x" d="([^"]*)"', chart)[0]


def chart_of(points, **options) -> str:
    return line_chart([Series("s", "x", points)], title="t", x_title="x", y_title="y", **options)


def lines_of(chart: str, style: str) -> list[tuple[float, ...]]:
    found = [line for line in ElementTree.fromstring(chart).iter("line") if line.get("class") == style]
    return [tuple(float(line.get(name, "nan")) for name in ("x1", "x2", "y1", "y2")) for line in found]


def test_lines_break_where_there_is_no_number():
    points = [(0.0, 1.0), (1.0, float("nan")), (2.0, 3.0), (3.0, 4.0)]
    assert path_of(chart_of(points)).count("M") == 2


def test_logarithmic_axis_leaves_out_zero_and_clips_at_the_floor():
    points = [(0.0, 0.0), (1.0, 1e-9), (2.0, 1.0), (3.0, 0.1)]
    chart = chart_of(points, logarithmic=True, floor=0.01)
    assert path_of(chart).count("L") == 2
    assert ">1e-09<" not in chart
    assert ">0.01<" in chart


def test_equal_factors_are_equally_far_apart_on_a_logarithmic_x_axis():
    chart = chart_of([(100.0, 0.5), (1000.0, 0.6), (10_000.0, 0.7)], x_logarithmic=True)
    places = [float(place) for place in re.findall(r"[ML]([\d.]+) ", path_of(chart))]
    assert places == [LEFT, (LEFT + WIDTH - RIGHT) / 2, WIDTH - RIGHT]
    assert all(f">{label}</text>" in chart for label in ("100", "1000", "10k"))


def test_points_at_zero_have_no_place_on_a_logarithmic_x_axis():
    chart = chart_of([(0.0, 0.1), (10.0, 0.2), (100.0, 0.3)], x_logarithmic=True)
    assert path_of(chart).count("L") == 1
    assert chart_of([(0.0, 0.1)], x_logarithmic=True) == ""


def test_wanted_ticks_are_labelled_unless_they_would_touch():
    points = [(100.0, 0.5), (250.0, 0.6), (260.0, 0.6), (2000.0, 0.7)]
    chart = chart_of(points, x_logarithmic=True, x_ticks=[x for x, _ in points])
    labels = [text.text for text in ElementTree.fromstring(chart).iter("text")]
    assert [label for label in labels if label in ("100", "250", "260", "2000")] == ["100", "250", "2000"]
    assert len(lines_of(chart, "axis")) == 4 + 1


@pytest.mark.parametrize("place", [0.0, 7.0])
def test_single_training_size(place):
    chart = chart_of([(7.0, 0.5)], x_logarithmic=True, x_ticks=[place])
    assert "nan" not in chart


def test_whiskers_reach_from_low_to_high_and_widen_the_axis():
    series = Series("s", "x", [(1.0, 0.5), (2.0, 0.6)], whiskers=[(0.1, 0.9), (0.6, 0.6)])
    chart = line_chart([series], title="t", x_title="x", y_title="y")
    bars = lines_of(chart, "whisker x")
    assert len(bars) == 6
    x1, x2, bottom, top = bars[0]
    assert x1 == x2 == LEFT
    low, high = (
        float(text.get("y", "nan")) - 4
        for label in ("0.2", "0.8")
        for text in ElementTree.fromstring(chart).iter("text")
        if text.text == label
    )
    unit = (low - high) / 0.6
    assert math.isclose(bottom, low + 0.1 * unit, abs_tol=0.2)
    assert math.isclose(top, high - 0.1 * unit, abs_tol=0.2)


def test_chart_of_nothing_is_empty():
    assert chart_of([]) == ""


@pytest.mark.parametrize("value", [0.0, 1.0, -3.0])
def test_chart_of_a_constant(value):
    chart = line_chart([Series("s", "x", [(5.0, value)], markers=True)], title="t", x_title="x", y_title="y")
    assert "nan" not in chart
    assert "nan" not in interval_chart(value, (value, value), value, value, "t", origin=value)


def test_interval_stands_on_the_common_axis():
    chart = interval_chart(0.5, (0.25, 1.0), 0.0, 1.0, "t", origin=0.0)
    length = STRIP_WIDTH - 2 * STRIP_MARGIN
    start, end, *_ = lines_of(chart, "interval")[0]
    assert start == STRIP_MARGIN + length / 4
    assert end == STRIP_WIDTH - STRIP_MARGIN
    assert lines_of(chart, "origin")[0][0] == STRIP_MARGIN


@settings(deadline=None, derandomize=True)
@given(st.floats(-1e6, 1e6), st.floats(1e-6, 1e6))
def test_ticks_are_few_and_inside(low, width):
    high = low + width
    if high - low < 1e-6:
        return
    found = ticks(low, high)
    assert 1 <= len(found) <= 7
    assert all(low - width * 1e-6 <= tick <= high + width * 1e-6 for tick in found)


def test_logarithmic_ticks():
    assert logarithmic_ticks(0.0005, 0.02) == [0.0005, 0.001, 0.002, 0.005, 0.01, 0.02]
    assert logarithmic_ticks(1e-6, 0.02) == [1e-6, 1e-5, 1e-4, 1e-3, 1e-2]


def test_short_numbers():
    shown = [short_number(value) for value in (0, 0.002, 1e-5, 9500, 20_000, 1_500_000, 2e9)]
    assert shown == ["0", "0.002", "1e-05", "9500", "20k", "1.5M", "2G"]
