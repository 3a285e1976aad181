"""The page's section on time: how long each stage took."""

from __future__ import annotations

from dataclasses import dataclass

from ulmfit.evaluation.record import Record
from ulmfit.report.bars import Bar, duration, width
from ulmfit.report.section import Section


@dataclass(frozen=True)
class Times:
    """A bar per stage, and all of them together."""

    total: str
    bars: list[Bar]


def describe_times(record: Record) -> Times | None:
    """Prepare the stages of a record; None if there are none."""
    if not record.stages:
        return None
    longest = max(stage.seconds for stage in record.stages)
    bars = [
        Bar(
            name=stage.name,
            value=duration(stage.seconds),
            width=width(stage.seconds, longest),
            note="" if stage.tokens_per_second is None else f"{stage.tokens_per_second:,.0f} tokens/s",
        )
        for stage in record.stages
    ]
    return Times(duration(sum(stage.seconds for stage in record.stages)), bars)


SECTION = Section("time", "Time", "times.html.j2", lambda material: describe_times(material.record))
