"""Small SVG charts for a page that loads nothing: no script, no font, colours from the page's CSS classes."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from xml.etree.ElementTree import Element, SubElement

from markupsafe import Markup

from ulmfit.report.svg import (
    Axis,
    add_circle,
    add_line,
    add_rectangle,
    add_text,
    as_markup,
    logarithmic_ticks,
    new_svg,
    short_number,
    ticks,
    widened,
)

Point = tuple[float, float]
Interval = tuple[float, float]

WIDTH, HEIGHT = 480, 280
LEFT, RIGHT, TOP, BOTTOM = 52, 12, 30, 42
"""Margins around the plot, in the units of the view box."""

STRIP_WIDTH, STRIP_HEIGHT, STRIP_MARGIN = 150, 18, 6

CHARACTER = 7.5
"""About the width of a character of a tick's text."""

MOST_LABELS = 10
"""Most labels below a column chart; with more columns, only some get one."""


@dataclass(frozen=True)
class Series:
    """One line of a chart; `style` is a CSS class of the page, points that are not finite break the line.

    `whiskers` are intervals (low, high) of the points' y values, one per point, or none at all.
    """

    name: str
    style: str
    points: Sequence[Point]
    markers: bool = False
    whiskers: Sequence[Interval] = ()


@dataclass(frozen=True)
class Column:
    """One column of a histogram; `label` stands below its left edge, `title` is shown when pointed at."""

    label: str
    value: float
    title: str


def line_chart(
    series: Sequence[Series],
    *,
    title: str,
    x_title: str,
    y_title: str,
    logarithmic: bool = False,
    floor: float | None = None,
    dividers: Sequence[float] = (),
    x_logarithmic: bool = False,
    x_ticks: Sequence[float] = (),
) -> Markup:
    """Draw lines over a common axis; `dividers` are x values that get a vertical rule.

    The y axis begins no lower than `floor`: lines leave the plot below it. With `x_logarithmic`, points at
    zero and below are not drawn. `x_ticks` are the x values that get a label, such as the training sizes of a
    learning curve; without any, round numbers do. `title` is read out by screen readers; the page adds the
    legend. A chart without finite points is an empty string.
    """
    points = [point for line in series for point in line.points if _is_finite(point)]
    if x_logarithmic:
        points = [point for point in points if point[0] > 0]
    values = [y for _, y in points if y > 0 or not logarithmic]
    if not values:
        return Markup("")
    whiskers = [end for line in series for ends in line.whiskers for end in ends if math.isfinite(end)]
    values += [end for end in whiskers if end > 0 or not logarithmic]
    x_axis = _place_axis([x for x, _ in points], x_logarithmic)
    low, high = _value_range(values, logarithmic, floor)
    y_axis = Axis(low, high, HEIGHT - BOTTOM, TOP, logarithmic)

    svg = new_svg(WIDTH, HEIGHT, "chart", title)
    _draw_values(svg, y_axis, y_title)
    _draw_places(svg, x_axis, x_ticks)
    _draw_base(svg, x_title)
    for place in dividers:
        add_line(svg, x_axis.at(place), TOP, x_axis.at(place), HEIGHT - BOTTOM, "divider")
    # An inner <svg> clips what it draws.
    box = {"x": LEFT, "y": TOP, "width": WIDTH - LEFT - RIGHT, "height": HEIGHT - TOP - BOTTOM}
    view = {"viewBox": " ".join(str(number) for number in box.values())}
    plot = SubElement(svg, "svg", {name: str(number) for name, number in box.items()} | view)
    for line in series:
        _draw_whiskers(svg, line, x_axis, y_axis)
        _draw_line(plot, line, x_axis, y_axis)
    for line in series:
        if line.markers:
            _draw_markers(svg, line, x_axis, y_axis)
    return as_markup(svg)


def column_chart(columns: Sequence[Column], *, title: str, x_title: str, y_title: str) -> Markup:
    """Draw columns from zero, without gaps between their ranges; no columns are an empty string."""
    if not columns:
        return Markup("")
    bottom = HEIGHT - BOTTOM
    y_axis = Axis(0, max(column.value for column in columns) * 1.06 or 1, bottom, TOP)
    step = (WIDTH - LEFT - RIGHT) / len(columns)
    svg = new_svg(WIDTH, HEIGHT, "chart", title)
    _draw_values(svg, y_axis, y_title)
    every = math.ceil(len(columns) / MOST_LABELS)
    for place, column in enumerate(columns):
        left = LEFT + place * step
        shape = add_rectangle(svg, (left + 1, left + step - 1), (y_axis.at(column.value), bottom), "column")
        SubElement(shape, "title").text = column.title
        if place % every == 0:
            add_line(svg, left, bottom, left, bottom + 4, "axis")
            add_text(svg, left, bottom + 17, column.label, "middle")
    _draw_base(svg, x_title)
    return as_markup(svg)


def interval_chart(
    value: float, interval: Interval, low: float, high: float, title: str, origin: float | None = None
) -> Markup:
    """Draw a value and its interval on a short axis from `low` to `high`, and a rule at `origin`."""
    axis = Axis(*widened(low, high), STRIP_MARGIN, STRIP_WIDTH - STRIP_MARGIN)
    middle = STRIP_HEIGHT / 2
    svg = new_svg(STRIP_WIDTH, STRIP_HEIGHT, "strip", title)
    add_line(svg, axis.start, middle, axis.end, middle, "rule")
    if origin is not None:
        add_line(svg, axis.at(origin), 0, axis.at(origin), STRIP_HEIGHT, "origin")
    _draw_interval(svg, axis, interval)
    add_circle(svg, axis.at(value), middle, 3.5, "estimate")
    return as_markup(svg)


def _draw_interval(svg: Element, axis: Axis, interval: Interval) -> None:
    middle = STRIP_HEIGHT / 2
    start, end = axis.at(interval[0]), axis.at(interval[1])
    add_line(svg, start, middle, end, middle, "interval")
    for place in (start, end):
        add_line(svg, place, middle - 4, place, middle + 4, "interval")


def _value_range(values: Sequence[float], logarithmic: bool, floor: float | None) -> tuple[float, float]:
    low, high = min(values), max(values)
    if floor is not None and floor < high:
        low = max(low, floor)
    if logarithmic:
        return (low / 1.3, high * 1.3) if low < high else (low / 10, high * 10)
    low, high = widened(low, high)
    room = (high - low) * 0.06
    return (0.0 if 0 <= low < room else low - room), high + room


def _place_axis(places: Sequence[float], logarithmic: bool) -> Axis:
    low, high = min(places), max(places)
    if logarithmic:
        low, high = (low, high) if low < high else (low / 2, high * 2)
    else:
        low, high = widened(low, high)
    return Axis(low, high, LEFT, WIDTH - RIGHT, logarithmic)


def _draw_places(svg: Element, x_axis: Axis, wanted: Sequence[float]) -> None:
    make_ticks = logarithmic_ticks if x_axis.logarithmic else ticks
    shown = [value for value in wanted if x_axis.shows(value)] or make_ticks(x_axis.low, x_axis.high)
    bottom = HEIGHT - BOTTOM
    right = -math.inf
    for value in sorted(set(shown)):
        place, text = x_axis.at(value), short_number(value)
        add_line(svg, place, bottom, place, bottom + 4, "axis")
        # A label that would touch the one before is left out; its tick stays.
        half = CHARACTER * len(text) / 2
        if place - half >= right:
            add_text(svg, place, bottom + 17, text, "middle")
            right = place + half + CHARACTER


def _draw_values(svg: Element, y_axis: Axis, y_title: str) -> None:
    make_ticks = logarithmic_ticks if y_axis.logarithmic else ticks
    for value in make_ticks(y_axis.low, y_axis.high):
        place = y_axis.at(value)
        add_line(svg, LEFT, place, WIDTH - RIGHT, place, "grid")
        add_text(svg, LEFT - 8, place + 4, short_number(value), "end")
    add_text(svg, 0, 14, y_title, "start", "title")


def _draw_base(svg: Element, x_title: str) -> None:
    add_line(svg, LEFT, HEIGHT - BOTTOM, WIDTH - RIGHT, HEIGHT - BOTTOM, "axis")
    add_text(svg, WIDTH - RIGHT, HEIGHT - 6, x_title, "end", "title")


def _draw_line(svg: Element, line: Series, x_axis: Axis, y_axis: Axis) -> None:
    pieces: list[list[str]] = [[]]
    for x, y in line.points:
        if x_axis.shows(x) and y_axis.shows(y):
            pieces[-1].append(f"{x_axis.at(x):.1f} {y_axis.at(y):.1f}")
        elif pieces[-1]:
            pieces.append([])
    # A single point becomes a line of no length, whose round ends show as a dot.
    path = "".join("M" + "L".join(piece if len(piece) > 1 else piece * 2) for piece in pieces if piece)
    SubElement(svg, "path", {"class": f"line {line.style}", "d": path})


def _draw_whiskers(svg: Element, line: Series, x_axis: Axis, y_axis: Axis) -> None:
    if not line.whiskers:
        return
    for (x, _), (low, high) in zip(line.points, line.whiskers, strict=True):
        if x_axis.shows(x) and y_axis.shows(low) and y_axis.shows(high):
            place, bottom, top = x_axis.at(x), y_axis.at(low), y_axis.at(high)
            add_line(svg, place, bottom, place, top, f"whisker {line.style}")
            for end in (bottom, top):
                add_line(svg, place - 3, end, place + 3, end, f"whisker {line.style}")


def _draw_markers(svg: Element, line: Series, x_axis: Axis, y_axis: Axis) -> None:
    for x, y in line.points:
        if x_axis.shows(x) and y_axis.shows(y):
            circle = add_circle(svg, x_axis.at(x), y_axis.at(y), 3.5, f"marker {line.style}")
            SubElement(circle, "title").text = f"{line.name}: {y:.4g}"


def _is_finite(point: Point) -> bool:
    return math.isfinite(point[0]) and math.isfinite(point[1])
