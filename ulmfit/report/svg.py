"""Scales, and the shapes of SVG charts: no script, no font, colours from the page's CSS classes."""

from __future__ import annotations

import math
from dataclasses import dataclass
from xml.etree.ElementTree import Element, SubElement, tostring

from markupsafe import Markup

Range = tuple[float, float]


@dataclass(frozen=True)
class Axis:
    """A scale from data to the view box."""

    low: float
    high: float
    start: float
    end: float
    logarithmic: bool = False

    def at(self, value: float) -> float:
        """Return the coordinate of `value`; values outside of the axis lie outside of the plot."""
        low, high = self.low, self.high
        if self.logarithmic:
            value, low, high = math.log10(value), math.log10(low), math.log10(high)
        return self.start + (value - low) / (high - low) * (self.end - self.start)

    def shows(self, value: float) -> bool:
        """Return whether `value` can be drawn."""
        return math.isfinite(value) and (value > 0 or not self.logarithmic)


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


def widened(low: float, high: float) -> tuple[float, float]:
    """An axis of no width is made wider."""
    if low < high:
        return low, high
    room = abs(low) * 0.1 or 1.0
    return low - room, high + room


def new_svg(width: int, height: int, style: str, title: str) -> Element:
    """Return an empty drawing of a size in the units of its view box; `title` is read out."""
    attributes = {"class": style, "viewBox": f"0 0 {width} {height}", "role": "img", "aria-label": title}
    return Element("svg", attributes)


def add_line(svg: Element, x1: float, y1: float, x2: float, y2: float, style: str) -> None:
    """Draw a line between two places."""
    ends = {"x1": f"{x1:.1f}", "y1": f"{y1:.1f}", "x2": f"{x2:.1f}", "y2": f"{y2:.1f}"}
    SubElement(svg, "line", {"class": style, **ends})


def add_circle(svg: Element, x: float, y: float, radius: float, style: str) -> Element:
    """Draw a circle."""
    return SubElement(svg, "circle", {"class": style, "cx": f"{x:.1f}", "cy": f"{y:.1f}", "r": f"{radius:g}"})


def add_rectangle(svg: Element, across: Range, down: Range, style: str) -> Element:
    """Draw a rectangle from left to right and from top to bottom."""
    box = {"x": across[0], "y": down[0], "width": across[1] - across[0], "height": down[1] - down[0]}
    return SubElement(svg, "rect", {"class": style, **{name: f"{value:.1f}" for name, value in box.items()}})


def add_text(svg: Element, x: float, y: float, text: str, anchor: str, style: str = "tick") -> None:
    """Write a text; `anchor` is the part of it that stands at `x`: start, middle or end."""
    place = {"class": style, "x": f"{x:.1f}", "y": f"{y:.1f}", "text-anchor": anchor}
    SubElement(svg, "text", place).text = text


def as_markup(svg: Element) -> Markup:
    """Return the drawing as it stands in a page."""
    # ElementTree has escaped every text and attribute.
    return Markup(tostring(svg, encoding="unicode"))
