"""The page's section on results: the table, differences from a reference row, and what others published."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import Markup

from ulmfit.evaluation import metric_text
from ulmfit.evaluation.record import MetricValues, Record, RowResult
from ulmfit.evaluation.significance import Comparison
from ulmfit.report import table
from ulmfit.report.charts import interval_chart
from ulmfit.report.verdict import best_row


@dataclass(frozen=True)
class Value:
    """A metric's cell, as text: mean, standard deviation, and interval where it is known."""

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
    is_best: bool


@dataclass(frozen=True)
class ComparedRow:
    """One row held against the reference row; differences as text."""

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
    unit: str
    """What follows the metric's name; empty: nothing."""
    has_margins: bool
    """Whether the noise of the seeds is known for some row."""


@dataclass(frozen=True)
class Results:
    """The section."""

    caption: str
    header: list[str]
    rows: list[ResultRow]
    notes: list[str]
    comparisons: list[Compared]
    difference_notes: list[str]
    published: table.Table


def describe_results(record: Record) -> Results:
    """Prepare the results of a record for the page; parts that it lacks are left out."""
    metrics, titles = table.shown_metrics(record), table.shown_titles(record)
    with_valid = any(row.valid_metrics for row in record.rows)
    best = best_row(record)

    def row_of(row: RowResult) -> ResultRow:
        cells = [(name, row.metrics.get(name)) for name in metrics]
        cells += [("", row.valid_metrics.get(metrics[0]))] if with_valid else []
        values = [_value(cell, name, with_interval=name == metrics[0]) for name, cell in cells]
        return ResultRow(row.name, row.kind, values, _seeds(row), row is best)

    return Results(
        caption=table.caption(record, with_differences=False),
        header=[*titles, *([f"{titles[0]} (validation)"] if with_valid else [])],
        rows=[row_of(row) for row in record.rows],
        notes=table.row_notes(record),
        comparisons=_comparisons(record.comparisons),
        difference_notes=table.difference_notes(record),
        published=table.published_table(record),
    )


def _range(numbers: Sequence[float]) -> tuple[float, float]:
    return (min(numbers), max(numbers)) if numbers else (0.0, 1.0)


def _seeds(row: RowResult) -> str:
    return f"{len(row.seeds)}, averaged" if row.averages_seeds else str(len(row.seeds))


def _value(metric: MetricValues | None, name: str, *, with_interval: bool) -> Value:
    if metric is None:
        return Value("–", "")
    return Value(
        metric_text.shown_number(name, metric.mean),
        "" if metric.sd is None else f"± {metric_text.shown_number(name, metric.sd)}",
        metric_text.shown_interval(name, metric.interval) if with_interval and metric.interval else "",
    )


def _comparisons(comparisons: Sequence[Comparison]) -> list[Compared]:
    groups: dict[tuple[str, str], list[Comparison]] = {}
    for one in comparisons:
        groups.setdefault((one.reference, one.metric), []).append(one)
    return [_compared(reference, metric, group) for (reference, metric), group in groups.items()]


def _compared(reference: str, metric: str, group: Sequence[Comparison]) -> Compared:
    low, high = _range([0.0, *(end for one in group for end in (*one.interval, one.difference))])
    return Compared(
        reference,
        metric_text.METRIC_TITLES.get(metric, metric),
        [_compared_row(one, low, high) for one in group],
        metric_text.shown_difference(metric, low, coarse=True),
        metric_text.shown_difference(metric, high, coarse=True),
        "" if metric in metric_text.PLAIN else " in percentage points",
        has_margins=any(one.seed_margin is not None for one in group),
    )


def _compared_row(one: Comparison, low: float, high: float) -> ComparedRow:
    ends = [metric_text.shown_difference(one.metric, end) for end in one.interval]
    interval = " to ".join(ends)
    difference = metric_text.shown_difference(one.metric, one.difference)
    unit = "" if one.metric in metric_text.PLAIN else " points"
    title = f"{one.row} minus {one.reference}: {difference}{unit}, 95 % interval {interval}"
    return ComparedRow(
        name=one.row,
        difference=difference + (table.NOISE_MARK if one.within_seed_noise else ""),
        interval=interval,
        p_values=[metric_text.p_value(p) for p in (one.p_bootstrap, one.p_permutation, one.p_adjusted)],
        seed_margin="–"
        if one.seed_margin is None
        else f"± {metric_text.shown_number(one.metric, one.seed_margin)}",
        within_seed_noise=bool(one.within_seed_noise),
        chart=interval_chart(one.difference, one.interval, low, high, title, origin=0.0),
    )
