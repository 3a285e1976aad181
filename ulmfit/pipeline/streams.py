"""Files, compressed or not, as streams of bytes and of lines: in bounded memory, with a limit of size."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import re
import tarfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, cast

from ulmfit.pipeline.errors import InputError
from ulmfit.pipeline.files import no_text, packed_suffix

READ_BYTES = 1 << 20
ALWAYS_ALLOWED = 1 << 28
"""Bytes that every file may unpack to, whatever its own size."""
LARGEST_RATIO = 500
"""Times its own size that a larger file may unpack to; compression shrinks text to about a tenth."""
LARGEST_LINE = 1 << 30
"""Bytes of a line, or of a field of a table, that are read into memory."""
DAMAGE = (EOFError, lzma.LZMAError, zlib.error, tarfile.TarError)
"""Errors of the decoders for data that is damaged or cut off; OSError without a number is another."""
_WITH_END = re.compile(r"[^\r\n]*(?:\r\n|\r|\n)|[^\r\n]+")


@contextmanager
def damage_named(name: str, otherwise: str = "cut off") -> Iterator[None]:
    """Turn errors of the decoders into an InputError: the file called `name` is damaged, or `otherwise`."""
    try:
        yield
    except (*DAMAGE, OSError) as error:
        if isinstance(error, OSError) and error.errno is not None:
            raise
        raise InputError(f"{name} is damaged or {otherwise}: {error}; get it again") from error


def unpacked(file: IO[bytes], name: str, suffix: str | None = None) -> IO[bytes]:
    """Return the content of `file` as a stream; a name without a suffix of compression is read as it is.

    `suffix` replaces that of the name. Reading raises InputError for damaged data, and for data that unpacks
    to more than LARGEST_RATIO times its size.
    """
    suffix = packed_suffix(name) if suffix is None else suffix
    if not suffix:
        return file
    counted = _Counted(file)
    return io.BufferedReader(_Bounded(_decoder(cast(IO[bytes], counted), suffix), counted, name), READ_BYTES)


@contextmanager
def opened(path: Path, encoding: str = "utf-8") -> Iterator[IO[bytes]]:
    """Lend the content of a file, unpacked, in UTF-8; raises InputError where it cannot be read."""
    try:
        with path.open("rb") as file:
            stream = unpacked(file, path.name)
            yield stream if encoding == "utf-8" else in_utf8(stream, str(path), encoding)
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror or error}") from error


def _decoder(file: IO[bytes], suffix: str) -> IO[bytes]:
    if suffix == ".bz2":
        return bz2.open(file, "rb")
    if suffix == ".gz":
        return cast(IO[bytes], gzip.open(file, "rb"))
    if suffix == ".xz":
        return lzma.open(file, "rb")
    import pyarrow as pa

    return cast(IO[bytes], pa.CompressedInputStream(pa.PythonFile(file, "r"), "zstd"))


class _Counted(io.RawIOBase):
    """A file that is read once from its beginning, and how many bytes were read of it."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self.count = 0

    def readable(self) -> bool:
        return True

    def read(self, size: int = -1) -> bytes:
        data = self._file.read(READ_BYTES if size is None or size < 0 else min(size, READ_BYTES))
        self.count += len(data)
        return data


class _Bounded(io.RawIOBase):
    """The decoded bytes; raises InputError for damaged data and for too much data."""

    def __init__(self, file: IO[bytes], packed: _Counted, name: str) -> None:
        self._file = file
        self._packed = packed
        self._name = name
        self._count = 0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer) -> int:  # type: ignore[no-untyped-def]
        with damage_named(self._name):
            data = self._file.read(min(len(buffer), READ_BYTES))
        self._count += len(data)
        if self._count > max(ALWAYS_ALLOWED, LARGEST_RATIO * self._packed.count):
            raise InputError(
                f"{self._name} unpacks to more than {LARGEST_RATIO} times its size: expected text; unpack it "
                f"yourself if that is right"
            )
        buffer[: len(data)] = data
        return len(data)


def check_is_text(path: Path) -> None:
    """Raise InputError where a file, compressed or not, begins as no text does; nothing else is read."""
    with path.open("rb") as file:
        beginning = unpacked(file, path.name).read(READ_BYTES)
    if reason := no_text(beginning):
        raise InputError(f"{path} {reason}")


def in_utf8(stream: IO[bytes], name: str, encoding: str) -> IO[bytes]:
    """Return a text of another encoding as UTF-8; InputError for an unknown one, and for a byte it lacks."""
    try:
        reader = io.TextIOWrapper(stream, encoding, newline="")
    except LookupError as error:
        raise InputError(
            f"encoding {encoding!r} is not known: expected one such as cp1250 or utf-16"
        ) from error
    return io.BufferedReader(_Recoded(reader, name, encoding), READ_BYTES)


class _Recoded(io.RawIOBase):
    """The UTF-8 bytes of a text in another encoding."""

    def __init__(self, reader: io.TextIOWrapper, name: str, encoding: str) -> None:
        self._reader, self._name, self._encoding = reader, name, encoding
        self._left = b""

    def readable(self) -> bool:
        return True

    def readinto(self, buffer) -> int:  # type: ignore[no-untyped-def]
        if not self._left:
            try:
                self._left = self._reader.read(READ_BYTES).encode("utf-8", "surrogatepass")
            except (UnicodeError, ValueError) as error:
                raise InputError(
                    f"{self._name} is not {self._encoding}: {error}; name another encoding"
                ) from error
        count = min(len(buffer), len(self._left))
        buffer[:count], self._left = self._left[:count], self._left[count:]
        return count


def decoded_lines(stream: IO[bytes], name: str) -> Iterator[str]:
    """Yield the lines of a UTF-8 file with their ends, which are LF, CR LF or CR; no byte order mark.

    Raises InputError with file and offset for other encodings and for files that are no text.
    """
    offset, number = 0, 0
    while line := _next_line(stream, name):
        if offset == 0 and (reason := no_text(line)):
            raise InputError(f"{name} {reason}")
        try:
            text = line.decode("utf-8")
        except UnicodeDecodeError as error:
            place = f"offset {offset + error.start} (line {number + 1})"
            raise InputError(
                f"{name}: byte 0x{line[error.start]:02x} at {place} is not UTF-8; "
                f"if the file is in Latin-1, convert it: iconv -f latin1 -t utf-8"
            ) from error
        text = text.removeprefix("\ufeff") if offset == 0 else text
        offset += len(line)
        lines = _WITH_END.findall(text) if "\r" in text else [text]
        number += len(lines)
        yield from lines


def _next_line(stream: IO[bytes], name: str) -> bytes:
    with damage_named(name):
        line = stream.readline(LARGEST_LINE)
    if len(line) == LARGEST_LINE and not line.endswith(b"\n"):
        raise InputError(f"{name} has a line of more than {LARGEST_LINE >> 20} MiB: expected text")
    return line
