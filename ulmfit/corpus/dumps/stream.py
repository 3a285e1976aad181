"""The decoded bytes of an export, checked to be complete.

`indexed_bzip2` decodes in parallel by looking for the marks at which blocks begin. It passes over a block
whose mark is damaged, takes a damaged stream header for the end of the file, and does not look at the
checksums of whole streams. `DumpStream` therefore checks, when everything is read, that the blocks follow
each other and that their checksums give those of the streams.
"""

from __future__ import annotations

import codecs
import mmap
import os
from collections.abc import Callable, Generator
from pathlib import Path
from typing import TypeVar

import indexed_bzip2

from ulmfit.pipeline.errors import InputError
from ulmfit.pipeline.streams import unpacked

BLOCK_BYTES = 1 << 20
HEADER_BITS, MARK_BITS = 32, 48
END_OF_STREAM = 0x177245385090
"""The mark before the checksum that ends a bz2 stream."""
BYTE_ORDER_MARKS = {b"\xff\xfe": "utf-16-le", b"\xfe\xff": "utf-16-be"}
UTF8_MARK = b"\xef\xbb\xbf"
OTHER_COMPRESSION = {b"\xfd7zXZ\x00": ".xz", b"\x1f\x8b": ".gz", b"\x28\xb5\x2f\xfd": ".zst"}
"""First bytes of a file -> suffix of a compression that is read as a stream; its decoder finds damage."""
DECODER_ERRORS = (RuntimeError, ValueError, LookupError, ArithmeticError)
"""Errors of indexed_bzip2 for damaged data: C++ exceptions, translated to Python's."""

Result = TypeVar("Result")


class DumpStream:
    """One export as blocks of UTF-8: .xml, .xml.bz2, .xml.xz, .xml.gz or .xml.zst, which its content tells.

    `position` counts the bytes of the file read so far. `threads` decompress bz2 (0: one per core). The
    blocks have the same bounds for any number of threads.
    """

    def __init__(self, path: Path, threads: int = 0) -> None:
        self.path = path
        self.position = 0
        self._threads = threads or os.cpu_count() or 1
        self._packed = False
        self._streams_end = 0

    def blocks(self) -> Generator[bytes]:
        """Yield the content without a byte order mark; raises InputError for unusable data."""
        head = self._head()
        self._packed = head.startswith(b"BZh")
        return _utf8(self._unpacked() if self._packed else self._plain(_other_compression(head)))

    def broken_off(self) -> InputError:
        """Return the error for content that ends too early."""
        if self._packed and self._streams_end != self.path.stat().st_size and _ends_with_a_stream(self.path):
            return self._damaged("a stream in the middle cannot be read")
        return InputError(f"{self.path.name} is truncated: it breaks off before its end; download it again")

    def _head(self) -> bytes:
        if not self.path.is_file():
            raise InputError(f"dump {self.path} is not a file; expected a .xml or .xml.bz2 export")
        with self.path.open("rb") as file:
            head = file.read(512)
        utf16 = head[:2] in BYTE_ORDER_MARKS
        if (
            head.startswith(b"BZh")
            or _other_compression(head)
            or utf16
            or head.removeprefix(UTF8_MARK).lstrip().startswith(b"<")
        ):
            return head
        what = "is empty" if not head else "is neither XML nor XML in bz2, xz, gz or zst"
        raise InputError(
            f"{self.path.name} {what}; expected a MediaWiki export such as *-pages-articles.xml.bz2"
        )

    def _plain(self, compression: str) -> Generator[bytes]:
        with self.path.open("rb") as file:
            content = unpacked(file, self.path.name, compression)
            while block := content.read(BLOCK_BYTES):
                self.position = file.tell()
                yield block

    def _unpacked(self) -> Generator[bytes]:
        file = self._guarded(lambda: indexed_bzip2.open(str(self.path), parallelization=self._threads))
        try:
            while block := self._guarded(lambda: file.read(BLOCK_BYTES)):
                self.position = max(self.position, file.tell_compressed() // 8)
                yield block
            blocks = self._guarded(file.block_offsets)
        finally:
            file.close()
        self._check_blocks(sorted(blocks))

    def _guarded(self, action: Callable[[], Result]) -> Result:
        """Return the result of `action`; errors of indexed_bzip2 become an InputError."""
        try:
            return action()
        except DECODER_ERRORS as error:
            raise self._unreadable(error) from error
        except OSError as error:
            if error.errno is None:
                raise self._unreadable(error) from error
            raise

    def _unreadable(self, error: Exception) -> InputError:
        with self.path.open("rb") as file:  # a disk that cannot be read raises OSError here, as it should
            while file.read(BLOCK_BYTES):
                pass
        if not _ends_with_a_stream(self.path):
            return InputError(f"{self.path.name} is truncated: the bz2 stream breaks off; download it again")
        return self._damaged(" ".join(str(error).split()))

    def _damaged(self, why: str) -> InputError:
        return InputError(
            f"{self.path.name} is damaged: its bz2 data cannot be read ({why}); download it again"
        )

    def _check_blocks(self, offsets: list[int]) -> None:
        """Raise InputError unless the blocks at these bits follow each other and give the streams' checksums.

        The decoder lists the ends of streams and of the file as well; of empty streams it may list nothing.
        """
        with self.path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
            checksum, expected = 0, HEADER_BITS  # where the first block of a stream is; 0 inside of one
            for offset in offsets:
                if offset == expected - HEADER_BITS:
                    continue
                if expected and offset != (expected := _after_empty_streams(data, expected, offset)):
                    raise self._damaged("a block is missing")
                mark, stored = _bits(data, offset, MARK_BITS), _bits(data, offset + MARK_BITS, 32)
                if mark != END_OF_STREAM:
                    checksum = ((checksum << 1 | checksum >> 31) & 0xFFFFFFFF) ^ stored
                    expected = 0
                elif stored != checksum:
                    raise self._damaged("the checksum of a stream is wrong")
                else:
                    checksum, expected = 0, _next_stream(offset)
            self._streams_end = (_after_empty_streams(data, expected, 8 * len(data)) - HEADER_BITS) // 8


def _other_compression(head: bytes) -> str:
    """Return the suffix of the compression that a file begins with, other than bz2; empty: none."""
    return next((suffix for mark, suffix in OTHER_COMPRESSION.items() if head.startswith(mark)), "")


def _next_stream(end: int) -> int:
    """Return where the first block of a stream is, from the end mark before it: both are counted in bits."""
    return (end + MARK_BITS + 32 + 7) // 8 * 8 + HEADER_BITS


def _after_empty_streams(data: mmap.mmap, expected: int, offset: int) -> int:
    """Return where a first block is expected once the empty streams before `offset` are passed."""
    while expected < offset and _bits(data, expected, MARK_BITS + 32) == END_OF_STREAM << 32:
        expected = _next_stream(expected)
    return expected


def _bits(data: mmap.mmap, offset: int, count: int) -> int:
    """Return `count` bits from bit `offset` on."""
    last = offset + count
    window = int.from_bytes(data[offset // 8 : (last + 7) // 8], "big")
    return window >> (-last % 8) & ((1 << count) - 1)


def _ends_with_a_stream(path: Path) -> bool:
    """Whether the file's last bits are the end of a bz2 stream: mark, checksum, up to seven bits to fill."""
    with path.open("rb") as file:
        file.seek(max(0, path.stat().st_size - 11))
        tail = int.from_bytes(file.read(), "big")
    return any(tail >> (32 + fill) & ((1 << MARK_BITS) - 1) == END_OF_STREAM for fill in range(8))


def _utf8(blocks: Generator[bytes]) -> Generator[bytes]:
    """Yield blocks without a byte order mark, UTF-16 as UTF-8; half of a pair stays so, which is no UTF-8."""
    first = next(blocks, b"")
    encoding = BYTE_ORDER_MARKS.get(first[:2])
    if encoding is None:
        yield first.removeprefix(UTF8_MARK)
        yield from blocks
        return
    decoder = codecs.getincrementaldecoder(encoding)("surrogatepass")
    yield decoder.decode(first[2:]).encode("utf-8", "surrogatepass")
    for block in blocks:
        yield decoder.decode(block).encode("utf-8", "surrogatepass")
