"""The page's section on the data set: copies, contradictions, labels, what was left out."""

from __future__ import annotations

from dataclasses import dataclass

from ulmfit.corpus.checks.wording import effect
from ulmfit.evaluation.data_checks import DataCheckSummary, RepeatCounts
from ulmfit.report.bars import share


@dataclass(frozen=True)
class Line:
    """One line of a table: what it is about, and its cells."""

    name: str
    cells: list[str]


@dataclass(frozen=True)
class LabelTable:
    """Shares of the labels in each split, and how the splits differ from train."""

    splits: list[str]
    lines: list[Line]
    shifts: list[Line]


@dataclass(frozen=True)
class DataCheckSection:
    """What the section shows; all as text."""

    similarity: str
    copies: list[Line]
    faults: list[Line]
    labels: LabelTable | None
    dropped: list[Line]


def describe_data_checks(summary: DataCheckSummary | None) -> DataCheckSection | None:
    """Prepare the summary of a record for `data_checks.html.j2`; None where there is none."""
    if summary is None:
        return None
    return DataCheckSection(
        similarity=f"{summary.similarity:g}",
        copies=[
            *(
                _copies(f"{split}, of an earlier text", counts, summary.texts[split])
                for split, counts in summary.inside.items()
            ),
            *(
                _copies(pair, counts, summary.texts[pair.partition(" in ")[0]])
                for pair, counts in summary.across.items()
            ),
        ],
        faults=_faults(summary),
        labels=_labels(summary),
        dropped=[
            Line(split, [reason.replace("_", " "), f"{count:,}"])
            for split, reasons in summary.dropped.items()
            for reason, count in reasons.items()
        ],
    )


def _copies(name: str, counts: RepeatCounts, texts: int) -> Line:
    total = counts.exact + counts.loose + counts.near
    figures = [f"{count:,}" for count in (counts.exact, counts.loose, counts.near)]
    return Line(name, [*figures, share(total, texts, 2)])


def _faults(summary: DataCheckSummary) -> list[Line]:
    conflicts = summary.conflicts
    lines = [
        Line(
            "texts under different labels",
            [f"{conflicts.exact:,}", f"{conflicts.loose:,} more but for case and punctuation"],
        )
    ]
    limits = f"fewer than {summary.min_words} words or {summary.min_letters} letters"
    lines += [
        Line(f"{split}, near-empty", [f"{count:,}", limits]) for split, count in summary.near_empty.items()
    ]
    return lines + [
        Line(f"{split}, signs of damage", [f"{count:,}", sign])
        for split, signs in summary.damaged.items()
        for sign, count in signs.items()
    ]


def _labels(summary: DataCheckSummary) -> LabelTable | None:
    if not summary.labels:
        return None
    splits = list(summary.labels)
    totals = {split: sum(counts.values()) for split, counts in summary.labels.items()}
    names = sorted({label for counts in summary.labels.values() for label in counts})
    lines = [
        Line(name, [_count(summary.labels[split].get(name, 0), totals[split]) for split in splits])
        for name in names
    ]
    shifts = [
        Line(
            split,
            [
                f"{shift.chi_square:.2f}",
                str(shift.degrees_of_freedom),
                f"{shift.p_value:.2g}",
                f"{shift.cramers_v:.3f}, {effect(shift.cramers_v)}",
                str(shift.rare_cells),
            ],
        )
        for split, shift in summary.label_shift.items()
    ]
    return LabelTable(splits, lines, shifts)


def _count(count: int, total: int) -> str:
    return f"{count:,} ({share(count, total)})"
