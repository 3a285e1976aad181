"""Metrics as text: percent for shares, plain decimals for figures of regression and perplexities."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ulmfit.evaluation.record import MetricValues

METRIC_TITLES = {
    "accuracy": "accuracy",
    "macro_f1": "macro F1",
    "micro_f1": "micro F1",
    "binary_f1": "F1",
    "germeval_f": "GermEval average F",
    "macro_precision": "macro precision",
    "macro_recall": "macro recall",
    "binary_precision": "precision",
    "binary_recall": "recall",
    "weighted_f1": "weighted F1",
    "kappa": "Cohen's kappa",
    "mcc": "MCC",
    "samples_f1": "samples F1",
    "subset_accuracy": "subset accuracy",
    "average_precision": "average precision",
    "hamming_loss": "Hamming loss",
    "pearson": "Pearson r",
    "spearman": "Spearman rho",
    "r2": "R²",
    "mae": "mean absolute error",
    "rmse": "root mean squared error",
    "token_perplexity": "token perplexity",
    "word_perplexity": "word perplexity",
}

PERPLEXITIES = frozenset({"token_perplexity", "word_perplexity"})
PLAIN = frozenset({"pearson", "spearman", "r2", "mae", "rmse"}) | PERPLEXITIES
"""What is no share: correlations, errors in the labels' units, perplexities."""
PLAIN_DECIMALS, PERCENT_DECIMALS = 4, 2
BOUNDS = {
    **dict.fromkeys(("kappa", "mcc", "pearson", "spearman"), (-1.0, 1.0)),
    "r2": (-math.inf, 1.0),
    **dict.fromkeys(("mae", "rmse"), (0.0, math.inf)),
    **dict.fromkeys(PERPLEXITIES, (1.0, math.inf)),
}
"""The least and the greatest value of each metric that does not lie between 0 and 1."""


def shown_number(metric: str, value: float, decimals: int | None = None) -> str:
    """Return a metric's value: in percent, or a plain decimal number where that is no share."""
    shown = value if metric in PLAIN else 100 * value
    return f"{shown:.{_decimals(metric) if decimals is None else decimals}f}"


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
    """Return a number with its sign; none for what is rounded to 0."""
    rounded = round(number, decimals)
    sign = "+" if rounded > 0 else "−" if rounded < 0 else ""
    return f"{sign}{abs(rounded):.{decimals}f}"


def p_value(p: float) -> str:
    """Return a p-value; what rounding would hide is `<0.001`."""
    return "<0.001" if p < 0.001 else f"{p:.3f}"


def decimals_of_bounds(metric: str) -> int:
    """Return the decimals of the ends of intervals and scales, one less than values have."""
    return _decimals(metric) - 1


def _decimals(metric: str) -> int:
    return PLAIN_DECIMALS if metric in PLAIN - PERPLEXITIES else PERCENT_DECIMALS
