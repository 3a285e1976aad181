"""The page's section on the data set: copies, contradictions, labels, what was left out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from ulmfit.corpus.checks.summary import DataCheckSummary, RepeatCounts
from ulmfit.corpus.checks.wording import effect
from ulmfit.evaluation.record import Record
from ulmfit.report.bars import share
from ulmfit.report.notes import dataset_notes
from ulmfit.report.section import Section
from ulmfit.report.table import Table


@dataclass(frozen=True)
class DataSection:
    """What the section shows: what was lost when files were read, and what the checks found."""

    notes: list[str]
    similarity: str = ""
    tables: dict[str, Table] = field(default_factory=dict)
    """By their titles."""


def describe_data(record: Record) -> DataSection | None:
    """Prepare what is known of the data; None if there is nothing to say."""
    notes, summary = dataset_notes(record), record.data_checks
    if summary is None:
        return DataSection(notes) if notes else None
    return DataSection(notes, f"{summary.similarity:g}", check_tables(summary))


def check_tables(summary: DataCheckSummary) -> dict[str, Table]:
    """Return the tables of what the checks found, by their titles."""
    tables = {
        "Copies": Table.of(
            ["", "exact", "but for case and punctuation", "nearly", "share of the texts"], _copies(summary)
        ),
        "Texts": Table.of(["", "texts", ""], _faults(summary)),
    }
    if summary.labels:
        tables["Labels"] = Table.of(["", *summary.labels], _labels(summary))
    if summary.label_shift:
        header = [
            "",
            "chi-square",
            "degrees of freedom",
            "p",
            "Cramér's V",
            "cells with fewer than 5 expected",
        ]
        tables["Labels beside those of train"] = Table.of(header, _shifts(summary))
    if summary.dropped:
        tables["Left out"] = Table.of(["", "reason", "texts"], _dropped(summary), words=2)
    return tables


def _copies(summary: DataCheckSummary) -> list[list[str]]:
    inside = [
        _copy_line(f"{split}, of an earlier text", counts, summary.texts[split])
        for split, counts in summary.inside.items()
    ]
    across = [
        _copy_line(pair, counts, summary.texts[pair.partition(" in ")[0]])
        for pair, counts in summary.across.items()
    ]
    return inside + across


def _copy_line(name: str, counts: RepeatCounts, texts: int) -> list[str]:
    found = (counts.exact, counts.loose, counts.near)
    return [name, *(f"{count:,}" for count in found), share(sum(found), texts, 2)]


def _faults(summary: DataCheckSummary) -> list[list[str]]:
    conflicts = summary.conflicts
    more = f"{conflicts.loose:,} more but for case and punctuation"
    limits = f"fewer than {summary.min_words} words or {summary.min_letters} letters"
    near_empty = [
        [f"{split}, near-empty", f"{count:,}", limits] for split, count in summary.near_empty.items()
    ]
    damaged = [
        [f"{split}, signs of damage", f"{count:,}", sign]
        for split, signs in summary.damaged.items()
        for sign, count in signs.items()
    ]
    return [["texts under different labels", f"{conflicts.exact:,}", more], *near_empty, *damaged]


def _labels(summary: DataCheckSummary) -> list[list[str]]:
    names = sorted({label for counts in summary.labels.values() for label in counts})
    totals = {split: sum(counts.values()) for split, counts in summary.labels.items()}
    return [
        [name, *(_count(counts.get(name, 0), totals[split]) for split, counts in summary.labels.items())]
        for name in names
    ]


def _shifts(summary: DataCheckSummary) -> Sequence[Sequence[str]]:
    return [
        [
            split,
            f"{shift.chi_square:.2f}",
            str(shift.degrees_of_freedom),
            f"{shift.p_value:.2g}",
            f"{shift.cramers_v:.3f}, {effect(shift.cramers_v)}",
            str(shift.rare_cells),
        ]
        for split, shift in summary.label_shift.items()
    ]


def _dropped(summary: DataCheckSummary) -> list[list[str]]:
    return [
        [split, reason.replace("_", " "), f"{count:,}"]
        for split, reasons in summary.dropped.items()
        for reason, count in reasons.items()
    ]


def _count(count: int, total: int) -> str:
    return f"{count:,} ({share(count, total)})"


SECTION = Section("data", "Data", "data_checks.html.j2", lambda material: describe_data(material.record))
