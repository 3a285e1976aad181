"""The page's section on confusion: matrices, and which labels are confused most often."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ulmfit.evaluation.record import Record, RowResult
from ulmfit.report.bars import share
from ulmfit.report.section import Section
from ulmfit.report.table import Table
from ulmfit.report.verdict import best_row

FEW_LABELS = 6
"""With more labels, columns have numbers in place of names, and the largest confusions are listed."""
MOST_CONFUSIONS = 10
MOST_NAMED = 10
"""Labels that a note names."""


@dataclass(frozen=True)
class Cell:
    """One cell of a confusion matrix; `share` is that of its gold label's texts, 0 to 1."""

    count: int
    share: float
    title: str


@dataclass(frozen=True)
class Confusion:
    """One row's confusion matrix, summed over its seeds."""

    name: str
    seeds: int
    lines: list[tuple[str, list[Cell], str]]
    """Gold label, cells, recall."""
    precisions: list[str]
    largest: Table
    """The most frequent confusions; empty if there are few labels."""


@dataclass(frozen=True)
class Confusions:
    """The section: the matrix of the best row that has one, those of the other rows, and notes on all."""

    labels: list[tuple[str, str]]
    """Name, and the heading of its column."""
    has_numbers: bool
    main: Confusion
    others: list[Confusion]
    notes: list[str]

    @property
    def has_sums(self) -> bool:
        """Whether some matrix is the sum of several seeds'."""
        return any(one.seeds > 1 for one in (self.main, *self.others))


def describe_confusions(record: Record) -> Confusions | None:
    """Prepare the matrices of a record for the page; None if no row has one."""
    rows = [row for row in record.rows if row.confusion]
    if record.dataset is None or not rows:
        return None
    labels = record.dataset.labels
    best = best_row(record)
    main = best if best in rows and best is not None else rows[0]
    has_numbers = len(labels) > FEW_LABELS
    return Confusions(
        labels=[
            (label, str(number) if has_numbers else label) for number, label in enumerate(labels, start=1)
        ],
        has_numbers=has_numbers,
        main=_confusion(main, labels),
        others=[_confusion(row, labels) for row in rows if row is not main],
        notes=_notes(rows, labels),
    )


def _confusion(row: RowResult, labels: Sequence[str]) -> Confusion:
    matrix = row.total_confusion
    lines = []
    for index, (label, counts) in enumerate(zip(labels, matrix, strict=True)):
        total = sum(counts)
        cells = [
            Cell(count, count / total if total else 0.0, f"{label} as {other}: {share(count, total)}")
            for other, count in zip(labels, counts, strict=True)
        ]
        lines.append((label, cells, _percent(counts[index], total)))
    columns = [sum(line) for line in zip(*matrix, strict=True)]
    precisions = [_percent(matrix[index][index], total) for index, total in enumerate(columns)]
    largest = _largest(matrix, labels) if len(labels) > FEW_LABELS else []
    table = Table.of(["gold", "predicted", "texts", "of gold"], largest, words=2)
    return Confusion(row.name, row.runs, lines, precisions, table)


def _largest(matrix: Sequence[Sequence[int]], labels: Sequence[str]) -> list[list[str]]:
    counts = [
        (count, gold, predicted)
        for gold, line in enumerate(matrix)
        for predicted, count in enumerate(line)
        if gold != predicted and count
    ]
    return [
        [labels[gold], labels[predicted], f"{count:,}", share(count, sum(matrix[gold]))]
        for count, gold, predicted in sorted(counts, key=lambda one: (-one[0], one[1:]))[:MOST_CONFUSIONS]
    ]


def _notes(rows: Sequence[RowResult], labels: Sequence[str]) -> list[str]:
    """Name labels that no row predicts, and those of no test text."""
    matrices = [row.total_confusion for row in rows]
    unpredicted = [
        label
        for index, label in enumerate(labels)
        if not any(line[index] for matrix in matrices for line in matrix)
    ]
    absent = [label for label, line in zip(labels, matrices[0], strict=True) if not any(line)]
    predicted = _note("no row predicts", "for any text", unpredicted)
    return predicted + _note("no text of the test split has", "", absent)


def _note(beginning: str, end: str, labels: Sequence[str]) -> list[str]:
    """Return one note that names the first of some labels; none if there are no labels."""
    if not labels:
        return []
    which = "this label" if len(labels) == 1 else f"these {len(labels)} labels"
    more = f" and {len(labels) - MOST_NAMED} more" if len(labels) > MOST_NAMED else ""
    return [f"{beginning} {which}{end and f' {end}'}: {', '.join(labels[:MOST_NAMED])}{more}"]


def _percent(part: float, whole: float) -> str:
    return f"{100 * part / whole:.1f}" if whole else "–"


SECTION = Section(
    "confusion", "Confusion", "confusion.html.j2", lambda material: describe_confusions(material.record)
)
