"""Shards: files with the extracted pages of one chunk of a dump, used while the dump is being extracted.

Worker processes write them, the process that writes the corpus maps them into its memory as Arrow tables. The
workers do without Arrow, whose import takes longer than that of everything else they need. A file holds
little-endian numbers of 8 bytes (the number of rows, the bytes of each column of strings), the columns of
numbers (8 bytes each), the ends of the strings (4 bytes each, after a 0), and the strings in UTF-8. Columns
stand in the order of NUMBERS and STRINGS. Nobody but the program that wrote them reads these files.
"""

from __future__ import annotations

from array import array
from pathlib import Path
from typing import TYPE_CHECKING

from ulmfit.corpus.sampling import SAMPLE_SALT, SPLIT_SALT, CountedIn, counter, salted_hash
from ulmfit.pipeline.files import atomic_path

if TYPE_CHECKING:
    import pyarrow as pa

DAMAGED_PAGE = "damaged page"
EXTRACTION_FAILED, EMPTY_AFTER = "extraction failed", "empty after extraction"
NUMBERS = ("hash", "title_hash", "split_hash", "words")
STRINGS = ("id", "title", "text", "left_out")


class ShardWriter:
    """Collects the rows of one shard: documents and pages that were left out, in the order of the dump."""

    def __init__(self, counted_in: CountedIn = "words") -> None:
        self._count = counter(counted_in)
        self._numbers = [array("Q") for _ in NUMBERS]
        self._strings = [bytearray() for _ in STRINGS]
        self._ends = [array("i", [0]) for _ in STRINGS]

    def add_document(self, identifier: str, title: str, text: str, sample_hash: int) -> None:
        """Add a document; raises UnicodeEncodeError, and adds nothing, where UTF-8 has no form for it."""
        strings = [identifier.encode(), title.encode(), text.encode(), b""]
        title_hash = salted_hash(SAMPLE_SALT, title or text)
        split_hash = salted_hash(SPLIT_SALT, identifier)
        self._add((sample_hash, title_hash, split_hash, self._count(text)), strings)

    def leave_out(self, identifier: str, reason: str, sample_hash: int = 0) -> None:
        """Add a page that is no document; `sample_hash` is given for whatever a sample could choose."""
        name = identifier.encode("utf-8", "replace")
        self._add((sample_hash, 0, 0, 0), [name, b"", b"", reason.encode()])

    def _add(self, numbers: tuple[int, ...], strings: list[bytes]) -> None:
        rows = len(self._numbers[0])
        try:
            for column, number in zip(self._numbers, numbers, strict=True):
                column.append(number)
            for data, ends, string in zip(self._strings, self._ends, strings, strict=True):
                data += string
                ends.append(len(data))
        except MemoryError:
            self._cut(rows)
            raise

    def _cut(self, rows: int) -> None:
        """Remove a row that was added in part."""
        for column in self._numbers:
            del column[rows:]
        for data, ends in zip(self._strings, self._ends, strict=True):
            del ends[rows + 1 :]
            del data[ends[-1] :]

    def write(self, path: Path) -> None:
        """Write the file, which appears whole or not at all."""
        sizes = array("Q", [len(self._numbers[0]), *map(len, self._strings)])
        with atomic_path(path) as temporary, temporary.open("wb") as file:
            for numbers in (sizes, *self._numbers, *self._ends):
                numbers.tofile(file)
            for strings in self._strings:
                file.write(strings)


def read_shard(path: Path) -> pa.Table:
    """Return the rows of a shard, mapped into memory: NUMBERS as uint64, STRINGS as strings."""
    import numpy as np
    import pyarrow as pa

    with pa.memory_map(str(path)) as file:
        buffer = file.read_buffer()
    rows, *sizes = np.frombuffer(buffer, "<u8", 1 + len(STRINGS)).tolist()
    at = 8 * (1 + len(STRINGS))

    def part(size: int) -> pa.Buffer:
        nonlocal at
        at += size
        return buffer.slice(at - size, size)

    numbers = [part(8 * rows) for _ in NUMBERS]
    ends = [part(4 * (rows + 1)) for _ in STRINGS]
    strings = [part(size) for size in sizes]
    columns = [pa.Array.from_buffers(pa.uint64(), rows, [None, values]) for values in numbers]
    columns += [
        pa.StringArray.from_buffers(rows, offsets, data) for offsets, data in zip(ends, strings, strict=True)
    ]
    return pa.table(columns, names=[*NUMBERS, *STRINGS])
