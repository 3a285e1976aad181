"""Small SVG charts for a page that loads nothing: no script, no font, colours from the page's CSS classes."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from xml.etree.ElementTree import Element, SubElement, tostring

from markupsafe import Markup

Point = tuple[float, float]

WIDTH, HEIGHT = 480, 280
LEFT, RIGHT, TOP, BOTTOM = 52, 12, 30, 42
"""Margins around the plot, in the units of the view box."""

STRIP_WIDTH, STRIP_HEIGHT, STRIP_MARGIN = 150, 18, 6

MOST_LABELS = 10
"""Below a column chart; with more columns, only some get a label."""


@dataclass(frozen=True)
class Series:
    """One line of a chart; `style` is a CSS class of the page, points that are not finite break the line."""

    name: str
    style: str
    points: Sequence[Point]
    markers: bool = False


@dataclass(frozen=True)
class Column:
    """One column of a histogram; `label` stands below its left edge, `title` is shown when pointed at."""

    label: str
    value: float
    title: str


@dataclass(frozen=True)
class Axis:
    """A scale from data to the view box."""

    low: float
    high: float
    start: float
    end: float
    logarithmic: bool = False

    def at(self, value: float) -> float:
        """Return the place of `value`; outside of the axis it is outside of the plot."""
        low, high = self.low, self.high
        if self.logarithmic:
            value, low, high = math.log10(value), math.log10(low), math.log10(high)
        return self.start + (value - low) / (high - low) * (self.end - self.start)

    def shows(self, value: float) -> bool:
        """Return whether `value` has a place."""
        return math.isfinite(value) and (value > 0 or not self.logarithmic)


def line_chart(
    series: Sequence[Series],
    *,
    title: str,
    x_title: str,
    y_title: str,
    logarithmic: bool = False,
    floor: float | None = None,
    dividers: Sequence[float] = (),
) -> Markup:
    """Draw lines over a common axis; `dividers` are x values that get a vertical rule.

    The y axis begins no lower than `floor`: lines leave the plot below it. `title` is read out by screen
    readers; the legend is the page's business. A chart without finite points is an empty string.
    """
    points = [point for line in series for point in line.points if _is_finite(point)]
    values = [y for _, y in points if y > 0 or not logarithmic]
    if not values:
        return Markup("")
    places = [x for x, _ in points]
    x_axis = Axis(*_widened(min(places), max(places)), LEFT, WIDTH - RIGHT)
    low, high = _value_range(values, logarithmic, floor)
    y_axis = Axis(low, high, HEIGHT - BOTTOM, TOP, logarithmic)

    svg = _svg(WIDTH, HEIGHT, "chart", title)
    _draw_frame(svg, x_axis, y_axis, x_title, y_title)
    for place in dividers:
        _line(svg, x_axis.at(place), TOP, x_axis.at(place), HEIGHT - BOTTOM, "divider")
    # An inner <svg> clips what it draws.
    box = {"x": LEFT, "y": TOP, "width": WIDTH - LEFT - RIGHT, "height": HEIGHT - TOP - BOTTOM}
    view = {"viewBox": " ".join(str(number) for number in box.values())}
    plot = SubElement(svg, "svg", {name: str(number) for name, number in box.items()} | view)
    for line in series:
        _draw_line(plot, line, x_axis, y_axis)
    for line in series:
        if line.markers:
            _draw_markers(svg, line, x_axis, y_axis)
    return _markup(svg)


def column_chart(columns: Sequence[Column], *, title: str, x_title: str, y_title: str) -> Markup:
    """Draw columns from zero, without gaps between their ranges; no columns are an empty string."""
    if not columns:
        return Markup("")
    bottom = HEIGHT - BOTTOM
    y_axis = Axis(0, max(column.value for column in columns) * 1.06 or 1, bottom, TOP)
    step = (WIDTH - LEFT - RIGHT) / len(columns)
    svg = _svg(WIDTH, HEIGHT, "chart", title)
    _draw_values(svg, y_axis, y_title)
    every = math.ceil(len(columns) / MOST_LABELS)
    for place, column in enumerate(columns):
        left = LEFT + place * step
        box = {"x": left + 1, "y": y_axis.at(column.value), "width": step - 2}
        box["height"] = bottom - box["y"]
        shape = SubElement(svg, "rect", {"class": "column", **{n: f"{v:.1f}" for n, v in box.items()}})
        SubElement(shape, "title").text = column.title
        if place % every == 0:
            _line(svg, left, bottom, left, bottom + 4, "axis")
            _text(svg, left, bottom + 17, column.label, "middle")
    _draw_base(svg, x_title)
    return _markup(svg)


def strip_chart(values: Sequence[float], mean: float, low: float, high: float, title: str) -> Markup:
    """Draw one dot a value and a tick at the mean on a short axis from `low` to `high`."""
    axis = Axis(*_widened(low, high), STRIP_MARGIN, STRIP_WIDTH - STRIP_MARGIN)
    middle = STRIP_HEIGHT / 2
    svg = _svg(STRIP_WIDTH, STRIP_HEIGHT, "strip", title)
    _line(svg, axis.start, middle, axis.end, middle, "rule")
    for value in values:
        _circle(svg, axis.at(value), middle, 3.5, "dot")
    _line(svg, axis.at(mean), 2, axis.at(mean), STRIP_HEIGHT - 2, "mean")
    return _markup(svg)


def ticks(low: float, high: float, wanted: int = 5) -> list[float]:
    """Return about `wanted` numbers from `low` to `high`, 1, 2 or 5 times a power of ten apart."""
    rough = (high - low) / wanted
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(factor * power for factor in (1, 2, 5, 10) if factor * power >= rough * 0.999)
    first = math.ceil(low / step - 1e-9)
    last = math.floor(high / step + 1e-9)
    return [round(index * step, 12) + 0.0 for index in range(first, last + 1)]


def logarithmic_ticks(low: float, high: float) -> list[float]:
    """Return powers of ten from `low` to `high`; with 2 and 5 times those where there are few."""
    exponents = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    factors = (1,) if math.log10(high / low) > 2.5 else (1, 2, 5)
    candidates = [float(f"{factor}e{exponent}") for exponent in exponents for factor in factors]
    return [value for value in candidates if low * 0.999 <= value <= high * 1.001]


def short_number(value: float) -> str:
    """Return a tick's text: 0.002, 1e-05, 15, 20k, 1.5M."""
    for size, unit in ((1e9, "G"), (1e6, "M"), (1e4, "k")):
        if abs(value) >= size:
            return f"{value / (1e3 if unit == 'k' else size):g}{unit}"
    return f"{value:g}"


def _value_range(values: Sequence[float], logarithmic: bool, floor: float | None) -> tuple[float, float]:
    low, high = min(values), max(values)
    if floor is not None and floor < high:
        low = max(low, floor)
    if logarithmic:
        return (low / 1.3, high * 1.3) if low < high else (low / 10, high * 10)
    low, high = _widened(low, high)
    room = (high - low) * 0.06
    return (0.0 if 0 <= low < room else low - room), high + room


def _widened(low: float, high: float) -> tuple[float, float]:
    """A range of no width gets some."""
    if low < high:
        return low, high
    room = abs(low) * 0.1 or 1.0
    return low - room, high + room


def _draw_frame(svg: Element, x_axis: Axis, y_axis: Axis, x_title: str, y_title: str) -> None:
    bottom = HEIGHT - BOTTOM
    _draw_values(svg, y_axis, y_title)
    for value in ticks(x_axis.low, x_axis.high):
        place = x_axis.at(value)
        _line(svg, place, bottom, place, bottom + 4, "axis")
        _text(svg, place, bottom + 17, short_number(value), "middle")
    _draw_base(svg, x_title)


def _draw_values(svg: Element, y_axis: Axis, y_title: str) -> None:
    make_ticks = logarithmic_ticks if y_axis.logarithmic else ticks
    for value in make_ticks(y_axis.low, y_axis.high):
        place = y_axis.at(value)
        _line(svg, LEFT, place, WIDTH - RIGHT, place, "grid")
        _text(svg, LEFT - 8, place + 4, short_number(value), "end")
    _text(svg, 0, 14, y_title, "start", "title")


def _draw_base(svg: Element, x_title: str) -> None:
    _line(svg, LEFT, HEIGHT - BOTTOM, WIDTH - RIGHT, HEIGHT - BOTTOM, "axis")
    _text(svg, WIDTH - RIGHT, HEIGHT - 6, x_title, "end", "title")


def _draw_line(svg: Element, line: Series, x_axis: Axis, y_axis: Axis) -> None:
    pieces: list[list[str]] = [[]]
    for x, y in line.points:
        if _is_finite((x, y)) and y_axis.shows(y):
            pieces[-1].append(f"{x_axis.at(x):.1f} {y_axis.at(y):.1f}")
        elif pieces[-1]:
            pieces.append([])
    # A lone point becomes a line of no length, whose round ends show as a dot.
    path = "".join("M" + "L".join(piece if len(piece) > 1 else piece * 2) for piece in pieces if piece)
    SubElement(svg, "path", {"class": f"line {line.style}", "d": path})


def _draw_markers(svg: Element, line: Series, x_axis: Axis, y_axis: Axis) -> None:
    for x, y in line.points:
        if _is_finite((x, y)) and y_axis.shows(y):
            circle = _circle(svg, x_axis.at(x), y_axis.at(y), 3.5, f"marker {line.style}")
            SubElement(circle, "title").text = f"{line.name}: {y:.4g}"


def _is_finite(point: Point) -> bool:
    return math.isfinite(point[0]) and math.isfinite(point[1])


def _svg(width: int, height: int, style: str, title: str) -> Element:
    attributes = {"class": style, "viewBox": f"0 0 {width} {height}", "role": "img", "aria-label": title}
    return Element("svg", attributes)


def _line(svg: Element, x1: float, y1: float, x2: float, y2: float, style: str) -> None:
    ends = {"x1": f"{x1:.1f}", "y1": f"{y1:.1f}", "x2": f"{x2:.1f}", "y2": f"{y2:.1f}"}
    SubElement(svg, "line", {"class": style, **ends})


def _circle(svg: Element, x: float, y: float, radius: float, style: str) -> Element:
    return SubElement(svg, "circle", {"class": style, "cx": f"{x:.1f}", "cy": f"{y:.1f}", "r": f"{radius:g}"})


def _text(svg: Element, x: float, y: float, text: str, anchor: str, style: str = "tick") -> None:
    place = {"class": style, "x": f"{x:.1f}", "y": f"{y:.1f}", "text-anchor": anchor}
    SubElement(svg, "text", place).text = text


def _markup(svg: Element) -> Markup:
    # ElementTree has escaped every text and attribute.
    return Markup(tostring(svg, encoding="unicode"))
