"""The tables of a record for a terminal: aligned columns, no markup, no control characters.

A table that is too wide is made narrower in three steps: headers and words are wrapped, intervals stand below
their values, and columns that the report has as well are left out.
"""

from __future__ import annotations

import re
import shutil
import textwrap
from collections.abc import Callable, Sequence
from itertools import zip_longest

from ulmfit.evaluation.record import Record
from ulmfit.pipeline.printing import printable, printable_lines
from ulmfit.report.record_tables import label_lines, record_blocks
from ulmfit.report.table import Table, parts_of

WIDTH, LEAST_WIDTH = 100, 60
"""Characters per line where the terminal's width is unknown, and the smallest width."""
NARROWEST = 12
"""Smallest width of a column of words."""
BETWEEN = "  "


def terminal_width() -> int:
    """Return the characters of a line of this terminal, or WIDTH where there is none."""
    return max(shutil.get_terminal_size((WIDTH, 24)).columns, LEAST_WIDTH)


def text_table(record: Record, width: int | None = None) -> str:
    """Return the tables with their captions and notes, lines of at most `width`; None: of any length."""
    blocks = []
    if record.labels:
        blocks.append("\n".join(_wrapped(f"[{line}]", width) for line in label_lines(record)))
    for block in record_blocks(record):
        blocks += [_wrapped(block.caption, width)] if block.caption else []
        blocks += [as_text(block.table, width)] if block.table else []
    return printable_lines("\n\n".join(blocks)) + "\n"


def as_text(table: Table, width: int | None = None) -> str:
    """Return a table and the notes below it, lines of at most `width`; None: of any length."""
    notes = [*table.shown_notes, *([table.rest] if table.rest else [])]
    below = "\n".join(_wrapped(note, width) for note in notes)
    return fitted(table, width) + (f"\n\n{below}" if below else "")


def _wrapped(text: str, width: int | None) -> str:
    if width is None:
        return text
    return textwrap.fill(text, width, subsequent_indent=BETWEEN, break_on_hyphens=False)


def fitted(table: Table, width: int | None) -> str:
    """Return a table with lines of at most `width`; spare columns are left out where that helps."""
    header, lines, spare = _flat(table.header), [_flat(line) for line in table.lines], table.spare
    whole = _laid_out(header, _aligned(lines), table.words)
    if width is None or _widest(whole) <= width:
        return whole
    for count in range(len(spare) + 1):
        kept = [column for column in range(len(header)) if column not in spare[:count]]
        rows = [[line[column] for column in kept] for line in lines]
        narrow = _narrowed([header[column] for column in kept], rows, table.words, width)
        if _widest(narrow) <= width:
            break
    if not count:
        return narrow
    names = ", ".join(header[column] for column in sorted(spare[:count]))
    return narrow + "\n" + _wrapped(f"not shown here, but in the report: {names}", width)


def _widest(text: str) -> int:
    return max(map(len, text.split("\n")))


def _narrowed(header: Sequence[str], rows: Sequence[Sequence[str]], words: int, width: int) -> str:
    """Lay a table out with its headers and first `words` columns wrapped, and intervals below values."""
    columns = [list(column) for column in zip(*rows, strict=True)] or [[] for _ in header]
    numbers = [_stacked(column) for column in columns[words:]]
    widths = [
        max(_widest("\n".join(column)), *map(len, name.split()))
        for name, column in zip(header[words:], numbers, strict=True)
    ]
    room = width - sum(widths) - len(BETWEEN) * (len(header) - 1)
    shares = [
        _widest("\n".join([name, *column])) for name, column in zip(header, columns[:words], strict=False)
    ]
    while sum(shares) > room and max(shares) > NARROWEST:
        shares[shares.index(max(shares))] -= 1
    texts = [
        [_wrapped(cell, share) for cell in column] for column, share in zip(columns, shares, strict=False)
    ]
    names = [textwrap.fill(name, size) for name, size in zip(header, [*shares, *widths], strict=True)]
    return _laid_out(names, [*zip(*texts, *numbers, strict=True)], words)


def _stacked(column: Sequence[str]) -> list[str]:
    """Break cells before an interval or a word; first lines are aligned at the decimal points."""
    parts = [re.split(r"(?<=,) | (?=\[)", cell, maxsplit=1) for cell in column]
    first = _decimals_aligned([part[0] for part in parts])
    return ["\n".join([line, *part[1:]]) for line, part in zip(first, parts, strict=True)]


def _laid_out(header: Sequence[str], rows: Sequence[Sequence[str]], words: int) -> str:
    """Return cells, which may have several lines, in columns: `words` of them to the left, numbers right."""
    cells = [[cell.split("\n") for cell in row] for row in (header, *rows)]
    widths = [max(len(line) for row in cells for line in row[column]) for column in range(len(header))]

    def line(parts: Sequence[str]) -> str:
        sides: list[Callable[[str, int], str]] = [str.ljust] * words
        sides += [str.rjust] * (len(parts) - words)
        return BETWEEN.join(
            side(part, width) for side, part, width in zip(sides, parts, widths, strict=True)
        ).rstrip()

    def lines(row: Sequence[Sequence[str]]) -> list[str]:
        return [line(parts) for parts in zip_longest(*row, fillvalue="")]

    rule = BETWEEN.join("-" * width for width in widths)
    return "\n".join([*lines(cells[0]), rule, *(one for row in cells[1:] for one in lines(row))])


def _aligned(rows: Sequence[Sequence[str]]) -> list[tuple[str, ...]]:
    columns = [_decimals_aligned(column) for column in zip(*rows, strict=True)]
    return list(zip(*columns, strict=True))


def _decimals_aligned(column: Sequence[str]) -> list[str]:
    """Pad cells so that all means, standard deviations and intervals stand below each other."""
    parts = [parts_of(cell) for cell in column]
    mean, sd, interval = (max((len(part[place]) for part in parts if part), default=0) for place in range(3))
    if not sd and not interval:
        return list(column)
    return [
        f"{part[0]:>{mean}}{part[1]:{sd}}{part[2]:>{interval}}" if part else cell
        for part, cell in zip(parts, column, strict=True)
    ]


def _flat(row: Sequence[str]) -> list[str]:
    return [printable(cell) for cell in row]
