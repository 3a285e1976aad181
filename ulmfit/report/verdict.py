"""The outcome in two sentences: the best row, and whether it could be another with other texts or seeds."""

from __future__ import annotations

from dataclasses import dataclass

from ulmfit.evaluation.metric_text import (
    METRIC_TITLES,
    PLAIN,
    p_value,
    shown_difference,
    shown_interval,
    shown_number,
)
from ulmfit.evaluation.record import Record, RowResult
from ulmfit.evaluation.row import seed_margin_of

LEVEL = 0.05
"""Largest corrected p at which a difference counts as one between the models, not by chance of the texts."""

Interval = tuple[float, float]


@dataclass(frozen=True)
class DifferenceOverTexts:
    """What the record says of a difference on other test texts."""

    interval: Interval
    """95 %; where `direct` is false it is too wide rather than too narrow."""
    p: float | None
    """Corrected for all comparisons of the record; None: the rows were not compared with each other."""
    origin: str
    """Origin of the interval, if it was not measured for this pair; empty if it was."""

    @property
    def is_sure(self) -> bool:
        """Whether other texts would hardly change the sign of the difference."""
        return self.interval[0] > 0 and (self.p is None or self.p < LEVEL)


def best_row(record: Record) -> RowResult | None:
    """Return the row with the highest main metric, the first of equal ones; None if there are no rows."""
    if record.dataset is None or not record.rows:
        return None
    metric = record.dataset.metric  # A data set is ranked by metrics of which more is better.
    return max(record.rows, key=lambda row: row.metrics[metric].mean)


def rival_row(record: Record) -> RowResult | None:
    """Return the row that the best row is compared with; None if there is no other row.

    It is the best baseline; where a baseline is best, the best row that is no baseline; else the next row.
    """
    best = best_row(record)
    others = [row for row in record.rows if row is not best]
    if best is None or record.dataset is None or not others:
        return None
    of_other_kind = [row for row in others if (row.kind == "baseline") != (best.kind == "baseline")]
    metric = record.dataset.metric
    return max(of_other_kind or others, key=lambda row: row.metrics[metric].mean)


def verdict(record: Record) -> list[str]:
    """Return two sentences on the results, each percent sign bound to its number; none without rows."""
    return [sentence.replace(" %", "\u00a0%") for sentence in _sentences(record)]


def _sentences(record: Record) -> list[str]:
    best, rival = best_row(record), rival_row(record)
    if best is None or record.dataset is None:
        return []
    metric = record.dataset.metric
    scored = f"{METRIC_TITLES[metric]} {_value(best, metric)}"
    if rival is None:
        interval = best.metrics[metric].interval
        known = f": the 95 % interval is {shown_interval(metric, interval)}" if interval else ""
        return [
            f"{best.name} is the only row: {scored}.",
            f"There is no baseline to hold it against{known}.",
        ]
    beginning = f"A baseline is best: {best.name}" if best.kind == "baseline" else f"{best.name} is best"
    held_against = f"{_distance(best, rival, metric)} {_title(best, rival)}, {rival.name}"
    missing = "" if "baseline" in (best.kind, rival.kind) else "; no baseline was run"
    return [
        f"{beginning} with {scored}, {held_against} ({_value(rival, metric)}){missing}.",
        f"{_over_texts(record, best, rival)}; {_over_seeds(best, rival, metric)}.",
    ]


def _value(row: RowResult, metric: str) -> str:
    return shown_number(metric, row.metrics[metric].mean) + ("" if metric in PLAIN else " %")


def _distance(best: RowResult, rival: RowResult, metric: str) -> str:
    difference = best.metrics[metric].mean - rival.metrics[metric].mean
    if not difference:
        return "level with"
    return f"{shown_number(metric, difference)}{'' if metric in PLAIN else ' points'} above"


def _title(best: RowResult, rival: RowResult) -> str:
    if rival.kind == "baseline":
        return "the next baseline" if best.kind == "baseline" else "the best baseline"
    return "the best trained row" if best.kind == "baseline" else "the next row"


def _over_texts(record: Record, best: RowResult, rival: RowResult) -> str:
    metric = record.dataset.metric if record.dataset else ""
    known = difference_over_texts(record, best, rival)
    if known is None:
        return "Whether other test texts could turn this round is unknown (the record has no intervals)"
    low, high = (shown_difference(metric, end) for end in known.interval)
    evidence = f"95 % interval of the difference {low} to {high}{known.origin}"
    evidence += "" if known.p is None else f", p {p_value(known.p)}"
    answer = "would hardly turn this round" if known.is_sure else "could turn this round"
    return f"Other test texts {answer} ({evidence})"


def difference_over_texts(record: Record, best: RowResult, rival: RowResult) -> DifferenceOverTexts | None:
    """Return the interval of best minus rival over other test texts; None without intervals.

    Where the two were not compared directly, it follows from their differences from a third row, or from
    their own intervals, whichever is narrower. The ends are subtracted: whatever the correlation, the result
    is at least as wide as the true interval.
    """
    metric = record.dataset.metric if record.dataset else ""
    against = {(one.row, one.reference): one for one in record.comparisons if one.metric == metric}
    if one := against.get((best.name, rival.name)):
        return DifferenceOverTexts(one.interval, one.p_adjusted, "")
    if one := against.get((rival.name, best.name)):
        return DifferenceOverTexts((-one.interval[1], -one.interval[0]), one.p_adjusted, "")
    found = []
    for reference in {one.reference for one in against.values()}:
        pair = [against.get((row.name, reference)) for row in (best, rival)]
        if pair[0] and pair[1]:
            origin = f", from both rows’ differences from {reference}"
            found.append((_subtracted(pair[0].interval, pair[1].interval), origin))
    own = [row.metrics[metric].interval for row in (best, rival)]
    if own[0] and own[1]:
        found.append((_subtracted(own[0], own[1]), ", from both rows’ own intervals"))
    if not found:
        return None
    interval, origin = min(found, key=lambda one: one[0][1] - one[0][0])
    return DifferenceOverTexts(interval, None, origin)


def _subtracted(first: Interval, second: Interval) -> Interval:
    return first[0] - second[1], first[1] - second[0]


def _over_seeds(best: RowResult, rival: RowResult, metric: str) -> str:
    margin = seed_margin_of(best, rival, metric)
    if margin is None:
        single = next(row.name for row in (best, rival) if row.runs == 1 and row.kind != "baseline")
        return f"whether other seeds could is unknown ({single} has a single value)"
    if "baseline" == best.kind == rival.kind:
        return "other seeds change nothing (baselines have none)"
    difference = best.metrics[metric].mean - rival.metrics[metric].mean
    answer = "other seeds could" if difference <= margin else "other seeds would hardly"
    return f"{answer} (margin of the seeds ± {shown_number(metric, margin)})"
