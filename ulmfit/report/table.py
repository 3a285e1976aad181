"""The one table of this package, and what its three writers share.

`markdown.py`, `text_table.py` and `page.py` write it: for a README, a terminal and an HTML page.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

MOST_NOTES = 5
"""Most lines below a table; if there are more notes, the last line gives their number."""

Style = Literal["", "best", "seed", "total", "group"]
_PARTS = re.compile(r"(?P<mean>–|[+−]?[\d.,e+]+[†*]?)(?P<sd> ± \S+)?(?P<interval> \[.*\])?")


@dataclass(frozen=True)
class Row:
    """Cells as text, or as Markup where a page draws something; `style` is how a page shows the row.

    A `group` is a heading inside the table: its one cell goes over all columns.
    """

    cells: Sequence[str]
    style: Style = ""
    bold: frozenset[int] = frozenset()
    """Columns whose cells are emphasised."""


@dataclass(frozen=True)
class Table:
    """Columns, rows and the notes below; the first `words` columns are text, the others numbers."""

    header: Sequence[str]
    rows: Sequence[Row]
    words: int = 1
    notes: Sequence[str] = ()
    spare: Sequence[int] = ()
    """Columns that a narrow terminal leaves out, in this order; the page shows them."""

    @classmethod
    def of(cls, header: Sequence[str], lines: Iterable[Sequence[str]], *, words: int = 1) -> Table:
        """Make a table of plain lines, without notes."""
        return cls(header, [Row(line) for line in lines], words)

    @property
    def lines(self) -> list[list[str]]:
        """The cells of all rows."""
        return [list(row.cells) for row in self.rows]

    @property
    def shown_notes(self) -> Sequence[str]:
        """The notes that stand below the table."""
        return self.notes if len(self.notes) <= MOST_NOTES else self.notes[: MOST_NOTES - 1]

    @property
    def other_notes(self) -> Sequence[str]:
        """The other notes, which only a page shows."""
        return self.notes[len(self.shown_notes) :]

    @property
    def rest(self) -> str:
        """The line that counts the other notes; "" if there are none."""
        count = len(self.other_notes)
        return f"{count} more notes: on the run's page (report.html), and in the record" if count else ""


def parts_of(cell: str) -> tuple[str, str, str] | None:
    """Return mean, standard deviation and interval of a cell, "" for what it lacks; None if it is no number.

    >>> parts_of("59.11 ± 6.01 [53.8, 63.5]")
    ('59.11', ' ± 6.01', ' [53.8, 63.5]')
    """
    match = _PARTS.fullmatch(cell)
    return (match["mean"], match["sd"] or "", match["interval"] or "") if match else None
