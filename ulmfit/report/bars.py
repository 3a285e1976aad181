"""Bars beside numbers, and the numbers as a reader wants them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Bar:
    """One bar of a bar chart; `width` is relative to the longest, 0 to 100."""

    name: str
    value: str
    width: float
    note: str = ""


def bars_of_counts(counts: Mapping[str, int], total: int, most: int) -> list[Bar]:
    """Return one bar per count with its share of `total`, longest first; all beyond `most` are one bar."""
    ordered = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    if len(ordered) > most:
        rest = ordered[most - 1 :]
        ordered = [*ordered[: most - 1], (f"{len(rest)} others", sum(count for _, count in rest))]
    longest = max((count for _, count in ordered), default=0)
    return [Bar(name, f"{count:,}", width(count, longest), share(count, total)) for name, count in ordered]


def share(part: float, whole: float, decimals: int = 1) -> str:
    """Return a share in percent, or a dash if `total` is 0.

    Where rounding would give 0 or 100 it is `<0.1 %` or `>99.9 %`.
    """
    if not whole:
        return "–"
    shown, step = f"{100 * part / whole:.{decimals}f}", 10**-decimals
    if part and not float(shown):
        return f"<{step:.{decimals}f} %"
    if part < whole and float(shown) == 100:
        return f">{100 - step:.{decimals}f} %"
    return f"{shown} %"


def width(part: float, whole: float) -> float:
    """Return the width of a bar, 0 to 100."""
    return round(100 * part / whole, 2) if whole else 0.0


def duration(seconds: float) -> str:
    """Return a time as people say it: 0.4 s, 12 s, 3 min 20 s, 2 h 05 min."""
    if seconds < 10:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02} s"
    minutes = round(seconds / 60)
    return f"{minutes // 60:,} h {minutes % 60:02} min"
