"""Metrics as text: percent for shares, plain decimals for figures of regression and perplexities."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from ulmfit.datasets.metric_table import METRICS

if TYPE_CHECKING:
    from ulmfit.evaluation.row import MetricValues

PERPLEXITIES = {"token_perplexity": "token perplexity", "word_perplexity": "word perplexity"}
METRIC_TITLES = {metric.name: metric.title for metric in METRICS} | PERPLEXITIES
PLAIN = frozenset(metric.name for metric in METRICS if metric.plain) | frozenset(PERPLEXITIES)
"""Metrics that are no shares: correlations, errors in the labels' units, perplexities."""
LARGEST_PLAIN = 1e6
"""Perplexities of this size and more are written with a power of ten."""
ROUGHLY = "≈ "
FEW_TOKENS = 1_000
"""Tokens below which a perplexity says little: a few words decide about it."""
PLAIN_DECIMALS, PERCENT_DECIMALS = 4, 2
BOUNDS = {metric.name: metric.bounds for metric in METRICS} | dict.fromkeys(PERPLEXITIES, (1.0, math.inf))
"""The lowest and the highest value of each metric."""


def shown_number(metric: str, value: float, decimals: int | None = None) -> str:
    """Return a metric's value: in percent, or a plain decimal number where that is no share."""
    shown = value if metric in PLAIN else 100 * value
    return f"{shown:.{_decimals(metric) if decimals is None else decimals}f}"


def shown_perplexity(value: float | None, tokens: int) -> str:
    """Return a perplexity as text; a rough one where it was measured on fewer than FEW_TOKENS tokens."""
    if value is None:
        return "–"
    if value >= LARGEST_PLAIN:
        return f"{value:.2e}"
    return f"{value:,.2f}" if tokens >= FEW_TOKENS else f"{ROUGHLY}{value:,.0f}"


def shown_interval(metric: str, interval: tuple[float, float]) -> str:
    """Return `[low, high]` with fewer decimals than the value has."""
    low, high = (shown_number(metric, bound, decimals_of_bounds(metric)) for bound in interval)
    return f"[{low}, {high}]"


def shown_values(metric: str, values: MetricValues | None, *, with_interval: bool = False) -> str:
    """Return `mean ± standard deviation [low, high]`, without what is unknown; a dash for None."""
    if values is None:
        return "–"
    parts = [shown_number(metric, values.mean)]
    if values.sd is not None:
        parts.append(f"± {shown_number(metric, values.sd)}")
    if with_interval and values.interval:
        parts.append(shown_interval(metric, values.interval))
    return " ".join(parts)


def shown_difference(metric: str, difference: float, *, coarse: bool = False) -> str:
    """Return a difference with its sign: in percentage points, or as a plain number."""
    decimals = decimals_of_bounds(metric) + (not coarse)
    return signed(difference if metric in PLAIN else 100 * difference, decimals)


def points(difference: float, decimals: int = PERCENT_DECIMALS) -> str:
    """Return a difference of shares in percentage points, with its sign."""
    return signed(100 * difference, decimals)


def signed(number: float, decimals: int) -> str:
    """Return a number with its sign; no sign where it is rounded to 0."""
    rounded = round(number, decimals)
    sign = "+" if rounded > 0 else "−" if rounded < 0 else ""
    return f"{sign}{abs(rounded):.{decimals}f}"


def p_value(p: float) -> str:
    """Return a p-value; `<0.001` where rounding would give 0."""
    return "<0.001" if p < 0.001 else f"{p:.3f}"


def decimals_of_bounds(metric: str) -> int:
    """Return the decimals of the ends of intervals and scales, one less than values have."""
    return _decimals(metric) - 1


def _decimals(metric: str) -> int:
    return PLAIN_DECIMALS if metric in PLAIN - PERPLEXITIES.keys() else PERCENT_DECIMALS
