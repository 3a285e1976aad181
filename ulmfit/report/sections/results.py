"""The page's section on results: the table, differences from a reference row, and what others published."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import Markup

from ulmfit.evaluation import metric_text
from ulmfit.evaluation.record import Record
from ulmfit.evaluation.significance import Comparison
from ulmfit.report.charts import interval_chart
from ulmfit.report.notes import NOISE_MARK, difference_notes
from ulmfit.report.page import scale_header
from ulmfit.report.record_tables import caption, published_table, result_table
from ulmfit.report.section import Section
from ulmfit.report.table import Row, Table


@dataclass(frozen=True)
class Compared:
    """The rows that were compared with one reference."""

    reference: str
    metric: str
    unit: str
    """What follows the metric's name; empty: nothing."""
    has_margins: bool
    """Whether the seed noise of some row is known."""
    table: Table


@dataclass(frozen=True)
class Results:
    """The section."""

    caption: str
    table: Table
    comparisons: list[Compared]
    difference_notes: list[str]
    published: Table


def describe_results(record: Record) -> Results | None:
    """Prepare the results of a record; parts that it lacks are left out. None without a data set."""
    if record.dataset is None:
        return None
    return Results(
        caption=caption(record, with_differences=False),
        table=result_table(record, with_differences=False),
        comparisons=_comparisons(record),
        difference_notes=difference_notes(record),
        published=published_table(record),
    )


def _comparisons(record: Record) -> list[Compared]:
    groups: dict[tuple[str, str], list[Comparison]] = {}
    for one in record.comparisons:
        groups.setdefault((one.reference, one.metric), []).append(one)
    return [_compared(reference, metric, group) for (reference, metric), group in groups.items()]


def _compared(reference: str, metric: str, group: Sequence[Comparison]) -> Compared:
    ends = [0.0, *(end for one in group for end in (*one.interval, one.difference))]
    low, high = min(ends), max(ends)
    has_margins = any(one.seed_margin is not None for one in group)
    scale = scale_header(*(metric_text.shown_difference(metric, end, coarse=True) for end in (low, high)))
    header = ["model", "difference", "95 % interval", scale, "p, bootstrap", "p, permutation", "p, corrected"]
    header += ["margin of the seeds"] if has_margins else []
    return Compared(
        reference,
        metric_text.METRIC_TITLES.get(metric, metric),
        "" if metric in metric_text.PLAIN else " in percentage points",
        has_margins,
        Table(header, [_compared_row(one, low, high, has_margins) for one in group]),
    )


def _compared_row(one: Comparison, low: float, high: float, has_margins: bool) -> Row:
    interval = " to ".join(metric_text.shown_difference(one.metric, end) for end in one.interval)
    difference = metric_text.shown_difference(one.metric, one.difference)
    unit = "" if one.metric in metric_text.PLAIN else " points"
    title = f"{one.row} minus {one.reference}: {difference}{unit}, 95 % interval {interval}"
    chart: Markup = interval_chart(one.difference, one.interval, low, high, title, origin=0.0)
    marked = difference + (NOISE_MARK if one.within_seed_noise else "")
    p_values = [metric_text.p_value(p) for p in (one.p_bootstrap, one.p_permutation, one.p_adjusted)]
    margins = [_margin(one)] if has_margins else []
    return Row([one.row, marked, interval, chart, *p_values, *margins])


def _margin(one: Comparison) -> str:
    if one.seed_margin is None:
        return "–"
    return f"± {metric_text.shown_number(one.metric, one.seed_margin)}"


SECTION = Section("results", "Results", "results.html.j2", lambda material: describe_results(material.record))
