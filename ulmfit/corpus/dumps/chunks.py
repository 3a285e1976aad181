"""Cuts the bytes of an export into chunks of whole pages, in bounded memory."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

CHUNK_BYTES = 4 << 20
LARGEST_PAGE = 64 << 20
LARGEST_TITLE_BYTES = 4096
TOO_LARGE_TAG = "too-large"
"""The element that replaces the content of a page that was too large."""

PAGE_BOUND = re.compile(rb"<page(?=[\s/>])|</page\s*>")
_EXPORT_END = re.compile(rb"</mediawiki\s*>")
_TITLE = re.compile(rb"<title>[^<]*</title>")
_NUMBER = re.compile(rb"<id>[^<]*</id>")
_LONGEST_TAG = 64


@dataclass(frozen=True, slots=True)
class Chunk:
    """Whole `<page>` elements in UTF-8, about 4 MiB.

    `number` counts the chunks of a file, `start` is the place of the first byte in the decoded file.
    """

    number: int
    start: int
    data: bytes


class ChunkCutter:
    """Takes blocks and gives chunks: each ends where the first page ends, or begins, after CHUNK_BYTES.

    The cuts depend on the content and on the sizes of the blocks alone. A page above LARGEST_PAGE loses its
    earlier revisions, and where that is not enough all but its title and its id.
    """

    def __init__(self, start: int) -> None:
        self._pending = bytearray()
        self._start = start
        self._number = 0
        self._searched = CHUNK_BYTES
        self._dropped = 0
        self._skipped_from = 0  # where the rest of a page begins that is skipped; 0: there is none

    def add(self, block: bytes) -> Iterator[Chunk]:
        """Yield the chunks that `block` completes."""
        self._pending += block
        if self._skipped_from and not self._skip():
            return
        while match := PAGE_BOUND.search(self._pending, self._searched):
            yield self._cut(bound(match))
        self._searched = max(self._searched, len(self._pending) - _LONGEST_TAG)
        if len(self._pending) > CHUNK_BYTES + LARGEST_PAGE:
            self._shorten()

    def last(self) -> Chunk | None:
        """Return what is left when all is read; raises EOFError where the end of the export is missing."""
        match = _EXPORT_END.search(self._pending, self._pending.rfind(b"</page") + 1)
        if not match:
            raise EOFError
        return self._cut(match.start()) if self._pending[: match.start()].strip() else None

    def _cut(self, end: int) -> Chunk:
        chunk = Chunk(self._number, self._start, bytes(memoryview(self._pending)[:end]))
        del self._pending[:end]
        self._number += 1
        self._start += end + self._dropped
        self._searched, self._dropped = CHUNK_BYTES, 0
        return chunk

    def _shorten(self) -> None:
        """Free memory: `_pending` ends with a page that is larger than LARGEST_PAGE."""
        page = self._open_page()
        earlier = self._pending.find(b"<revision", page)
        latest = self._pending.rfind(b"<revision>", page)
        if earlier >= 0:
            self._drop(earlier, max(earlier, latest))
        if len(self._pending) - page > LARGEST_PAGE:
            self._skip_from(page)
        self._searched = CHUNK_BYTES

    def _open_page(self) -> int:
        """Return where the page begins whose end has not been read yet."""
        return max((bound(match) for match in PAGE_BOUND.finditer(self._pending)), default=0)

    def _skip_from(self, page: int) -> None:
        head = bytes(self._pending[page : page + LARGEST_TITLE_BYTES])
        known = b"".join(match.group() for match in (_TITLE.search(head), _NUMBER.search(head)) if match)
        stub = b"<page>" + known + f"<{TOO_LARGE_TAG}/></page>".encode()
        self._dropped -= len(stub)
        self._pending[page:page] = stub
        self._skipped_from = page + len(stub)
        self._drop(self._skipped_from, self._skipped_from + 1)  # so it begins no page
        self._skip()

    def _skip(self) -> bool:
        """Skip the rest of a page; return whether its end, or another page, was found."""
        match = PAGE_BOUND.search(self._pending, self._skipped_from)
        self._drop(self._skipped_from, bound(match) if match else len(self._pending) - _LONGEST_TAG)
        if match:
            self._skipped_from = 0
        return match is not None

    def _drop(self, start: int, end: int) -> None:
        self._dropped += max(0, end - start)
        del self._pending[start:end]


def bound(match: re.Match[bytes]) -> int:
    """Return the position of a match of PAGE_BOUND: the end of a page, or the beginning of one."""
    return match.end() if match[0].startswith(b"</") else match.start()
