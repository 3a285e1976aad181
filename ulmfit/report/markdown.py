"""Tables and records as Markdown, for READMEs and for `report.md`."""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence

from ulmfit.evaluation.record import Record
from ulmfit.pipeline.printing import printable
from ulmfit.report.record_tables import label_lines, record_blocks
from ulmfit.report.table import Table

GUIDE = "docs/numbers.md"
"""The page that explains numbers and notes."""


def escape(text: str) -> str:
    """Show `text` as it is: no markup, no HTML, no new line, no control character."""
    return re.sub(r"([\\`*_\[\]<>|&#~])", r"\\\1", printable(" ".join(text.split())))


def markdown_table(record: Record, guide: str = "") -> str:
    """Return the tables of a record, each below its caption and above its notes.

    `guide` is the address of GUIDE in the page; empty: no link.
    """
    blocks = []
    if record.labels:
        blocks.append("\n".join(f"**{escape(line)}**  " for line in label_lines(record)).rstrip())
    named = f"[{GUIDE}]({guide})" if guide else GUIDE
    for number, block in enumerate(record_blocks(record)):
        caption = escape(block.caption)
        if number == 0:
            caption += f" What the numbers and notes mean: {named}."
        blocks += [caption] if caption else []
        blocks += [as_markdown(block.table)] if block.table else []
    return "\n\n".join(blocks) + "\n"


def as_markdown(table: Table) -> str:
    """Return a table and the notes below it; every cell is shown as it is."""
    marked = [
        [
            f"**{escape(cell)}**" if column in row.bold else escape(cell)
            for column, cell in enumerate(row.cells)
        ]
        for row in table.rows
    ]
    header = [escape(title) for title in table.header]
    lines = pipe_table(header, marked, numbers=range(table.words, len(header)))
    notes = [f"- {escape(note)}" for note in table.shown_notes]
    notes += [f"- {table.rest}"] if table.rest else []
    return "\n".join([*lines, *(["", *notes] if notes else [])])


def pipe_table(header: Sequence[str], lines: Sequence[Sequence[str]], numbers: Collection[int]) -> list[str]:
    """Return the lines of a table whose cells are Markdown already; `numbers` stand to the right."""
    rule = ["--:" if column in numbers else ":--" for column in range(len(header))]
    return [f"| {' | '.join(cells)} |" for cells in (header, rule, *lines)]
