"""The page's section on results: the table, differences from a reference row, and what others published."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import Markup

from ulmfit.evaluation import table
from ulmfit.evaluation.charts import interval_chart, strip_chart
from ulmfit.evaluation.record import MetricValues, Record, RowResult
from ulmfit.evaluation.significance import Comparison

SMALLEST_P = 0.001
"""Smaller p-values are shown as being below it."""


@dataclass(frozen=True)
class Value:
    """A metric's cell in percent, as text: mean, standard deviation, and interval where it is known."""

    mean: str
    sd: str
    interval: str = ""


@dataclass(frozen=True)
class ResultRow:
    """One row of the results table."""

    name: str
    kind: str
    values: list[Value]
    seeds: str
    strip: Markup


@dataclass(frozen=True)
class ComparedRow:
    """One row held against the reference row; differences in percentage points."""

    name: str
    difference: str
    interval: str
    p_values: list[str]
    seed_margin: str
    within_seed_noise: bool
    chart: Markup


@dataclass(frozen=True)
class Compared:
    """All rows that were compared with one reference, and the scale of their plots."""

    reference: str
    metric: str
    rows: list[ComparedRow]
    low: str
    high: str


@dataclass(frozen=True)
class PublishedRow:
    """One published number, in percent."""

    name: str
    metric: str
    value: str
    source: str
    verified: bool
    note: str


@dataclass(frozen=True)
class Results:
    """The section; `low` and `high` are the scale of the strips of dots."""

    header: list[str]
    rows: list[ResultRow]
    low: str
    high: str
    has_intervals: bool
    comparisons: list[Compared]
    published: list[PublishedRow]


def describe_results(record: Record) -> Results:
    """Prepare the results of a record for the page; parts that it lacks are left out."""
    metrics, titles = table.shown_metrics(record), table.shown_titles(record)
    main = [row.metrics[metrics[0]] for row in record.rows]
    low, high = _range([number for metric in main for number in _numbers(metric)])
    with_valid = any(row.valid_metrics for row in record.rows)

    def row_of(row: RowResult) -> ResultRow:
        cells = [row.metrics.get(name) for name in metrics]
        cells += [row.valid_metrics.get(metrics[0])] if with_valid else []
        values = [_value(cell, with_interval=place == 0) for place, cell in enumerate(cells)]
        return ResultRow(row.name, row.kind, values, _seeds(row), _strip(row, metrics[0], low, high))

    return Results(
        header=[*titles, *([f"{titles[0]} (validation)"] if with_valid else [])],
        rows=[row_of(row) for row in record.rows],
        low=f"{100 * low:.1f}",
        high=f"{100 * high:.1f}",
        has_intervals=any(metric.interval for metric in main),
        comparisons=_comparisons(record.comparisons),
        published=[
            PublishedRow(
                one.name,
                table.METRIC_TITLES.get(one.metric, one.metric),
                f"{100 * one.value:.2f}".removesuffix("0"),
                one.source,
                one.verified,
                one.note,
            )
            for one in record.published
        ],
    )


def _numbers(metric: MetricValues) -> list[float]:
    return [*metric.values, *(metric.interval or ())]


def _range(numbers: Sequence[float]) -> tuple[float, float]:
    return (min(numbers), max(numbers)) if numbers else (0.0, 1.0)


def _seeds(row: RowResult) -> str:
    return f"{len(row.seeds)}, averaged" if row.averages_seeds else str(len(row.seeds))


def _strip(row: RowResult, metric: str, low: float, high: float) -> Markup:
    seen = row.metrics[metric]
    title = f"{row.name}: " + ", ".join(f"{100 * value:.2f}" for value in seen.values)
    if seen.interval:
        title += f"; 95 % interval {_interval(seen.interval)}"
    return strip_chart(seen.values, seen.mean, low, high, title, seen.interval)


def _value(metric: MetricValues | None, *, with_interval: bool) -> Value:
    if metric is None:
        return Value("–", "")
    return Value(
        f"{100 * metric.mean:.2f}",
        "" if metric.sd is None else f"± {100 * metric.sd:.2f}",
        _interval(metric.interval) if with_interval and metric.interval else "",
    )


def _interval(interval: tuple[float, float]) -> str:
    return f"{100 * interval[0]:.2f} – {100 * interval[1]:.2f}"


def _comparisons(comparisons: Sequence[Comparison]) -> list[Compared]:
    groups: dict[tuple[str, str], list[Comparison]] = {}
    for one in comparisons:
        groups.setdefault((one.reference, one.metric), []).append(one)
    return [_compared(reference, metric, group) for (reference, metric), group in groups.items()]


def _compared(reference: str, metric: str, group: Sequence[Comparison]) -> Compared:
    low, high = _range([0.0, *(end for one in group for end in (*one.interval, one.difference))])
    return Compared(
        reference,
        table.METRIC_TITLES.get(metric, metric),
        [_compared_row(one, low, high) for one in group],
        _signed(low, 1),
        _signed(high, 1),
    )


def _compared_row(one: Comparison, low: float, high: float) -> ComparedRow:
    interval = f"{_signed(one.interval[0])} to {_signed(one.interval[1])}"
    title = f"{one.row} minus {one.reference}: {_signed(one.difference)} points, 95 % interval {interval}"
    return ComparedRow(
        name=one.row,
        difference=_signed(one.difference),
        interval=interval,
        p_values=[p_value(p) for p in (one.p_bootstrap, one.p_permutation, one.p_adjusted)],
        seed_margin="–" if one.seed_margin is None else f"± {100 * one.seed_margin:.2f}",
        within_seed_noise=bool(one.within_seed_noise),
        chart=interval_chart(one.difference, one.interval, low, high, title, origin=0.0),
    )


def p_value(p: float) -> str:
    """Return a p-value as text."""
    return f"< {SMALLEST_P:g}" if p < SMALLEST_P else f"{p:.3f}"


def _signed(difference: float, decimals: int = 2) -> str:
    rounded = round(100 * difference, decimals)
    sign = "+" if rounded > 0 else "−" if rounded < 0 else ""
    return f"{sign}{abs(rounded):.{decimals}f}"
