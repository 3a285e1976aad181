"""The page's section on the run: language, data, preset, commit."""

from __future__ import annotations

from dataclasses import dataclass

from ulmfit.evaluation.record import Record
from ulmfit.report.record_tables import shown_titles
from ulmfit.report.section import Section


@dataclass(frozen=True)
class Run:
    """The record, and the name of its main metric for a reader; "" without a data set."""

    record: Record
    metric: str


def describe_run(record: Record) -> Run:
    """Prepare the facts of a run."""
    return Run(record, next(iter(shown_titles(record)), ""))


SECTION = Section("run", "The run", "run.html.j2", lambda material: describe_run(material.record))
