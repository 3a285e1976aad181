"""The picture of all rows: each with its value, its interval and its seeds, on one scale, the best first."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ulmfit.evaluation import metric_text
from ulmfit.evaluation.record import MetricValues, Record, RowResult
from ulmfit.report.record_tables import shown_titles
from ulmfit.report.svg import Axis, short_number, ticks, widened
from ulmfit.report.verdict import best_row

ROOM = 0.03
"""Share of the scale that stays free at both ends."""


@dataclass(frozen=True)
class PlacedRow:
    """One row; places are percent of the width of the plot."""

    name: str
    is_baseline: bool
    is_best: bool
    value: str
    interval: str
    at: float
    interval_from: float | None
    interval_to: float | None
    seeds: list[float]
    """Empty for a single run."""
    title: str
    """Text of the plot for screen readers."""


@dataclass(frozen=True)
class Overview:
    """The picture; `best_baseline` and the places of `ticks` are percent of the width of the plot."""

    metric: str
    data: str
    rows: list[PlacedRow]
    ticks: list[tuple[str, float]]
    best_baseline: float | None
    has_intervals: bool
    has_seeds: bool
    has_baselines: bool


def describe_overview(record: Record) -> Overview | None:
    """Place the rows of a record, the best first; None if there are none."""
    best = best_row(record)
    if best is None or record.dataset is None:
        return None
    metric = record.dataset.metric
    rows = sorted(record.rows, key=lambda row: (row is not best, -row.metrics[metric].mean))
    axis = _axis([row.metrics[metric] for row in rows])
    baselines = [row.metrics[metric].mean for row in rows if row.kind == "baseline"]
    factor = 1 if metric in metric_text.PLAIN else 100
    texts = record.dataset.rows.get("test")
    return Overview(
        metric=f"{shown_titles(record)[0]}{'' if factor == 1 else ', percent'}",
        data=f"{texts:,} test texts" if texts else "test split",
        rows=[_placed(row, metric, axis, row is best) for row in rows],
        ticks=[
            (short_number(tick), _place(axis, tick / factor))
            for tick in ticks(factor * axis.low, factor * axis.high, wanted=8)
        ],
        best_baseline=_place(axis, max(baselines)) if baselines else None,
        has_intervals=any(row.metrics[metric].interval for row in rows),
        has_seeds=any(row.runs > 1 for row in rows),
        has_baselines=bool(baselines),
    )


def _axis(metrics: Sequence[MetricValues]) -> Axis:
    numbers = [number for one in metrics for number in (*one.values, *(one.interval or ()))]
    low, high = widened(min(numbers), max(numbers))
    room = ROOM * (high - low)
    return Axis(low - room, high + room, 0, 100)


def _place(axis: Axis, value: float) -> float:
    return round(axis.at(value), 2)


def _placed(row: RowResult, metric: str, axis: Axis, is_best: bool) -> PlacedRow:
    seen = row.metrics[metric]
    interval = metric_text.shown_interval(metric, seen.interval) if seen.interval else ""
    values = ", ".join(metric_text.shown_number(metric, value) for value in seen.values)
    return PlacedRow(
        name=row.name,
        is_baseline=row.kind == "baseline",
        is_best=is_best,
        value=metric_text.shown_number(metric, seen.mean),
        interval=interval,
        at=_place(axis, seen.mean),
        interval_from=_place(axis, seen.interval[0]) if seen.interval else None,
        interval_to=_place(axis, seen.interval[1]) if seen.interval else None,
        seeds=[_place(axis, value) for value in seen.values] if row.runs > 1 else [],
        title=f"{row.name}: {values}" + (f"; 95 % interval {interval}" if interval else ""),
    )
