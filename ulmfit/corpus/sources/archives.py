"""Reads text files one after the other from a file, a folder or a tar archive, never unpacking it to disk."""

from __future__ import annotations

import tarfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, Self, cast

from ulmfit.pipeline.errors import InputError
from ulmfit.pipeline.streams import damage_named, unpacked

MOST_READS_AT_END = 100
LARGEST_GROWTH, FREE_BYTES = 200, 256_000_000
"""Times its own size that an archive may unpack to, and bytes that every archive may unpack to. Text shrinks
to a tenth or less, hardly ever to a hundredth."""
LARGEST_HEADER = 1_000_000
"""Bytes of a long name or other remarks before a file in an archive, which tarfile keeps in memory."""
TAR_SUFFIXES = (".tar", ".tar.xz", ".tar.gz", ".tar.bz2", ".tgz", ".txz", ".tar.zst")


def is_tar(path: Path) -> bool:
    """Return whether the name is that of a tar archive."""
    return path.is_file() and path.name.lower().endswith(TAR_SUFFIXES)


def open_files(path: Path, wanted: Callable[[str], bool]) -> Iterator[tuple[str, IO[bytes]]]:
    """Yield name and open binary file of each file whose name is `wanted`, in the archive's or sorted order.

    A single file is always wanted. Raises InputError for what is missing, a damaged archive, one that unpacks
    to far more than text does, and for two files of one name, whose documents would have the same ids.
    """
    seen: set[str] = set()
    for name, stream in _opened(path, wanted):
        if name in seen:
            raise InputError(f"{path} has two files called {name}: rename one of them, or leave it out")
        seen.add(name)
        yield name, stream


def _opened(path: Path, wanted: Callable[[str], bool]) -> Iterator[tuple[str, IO[bytes]]]:
    if is_tar(path):
        yield from _members(path, wanted)
    elif path.is_dir():
        for file in sorted(path.rglob("*")):
            name = _valid(file.relative_to(path).as_posix())
            if file.is_file() and wanted(name):
                with file.open("rb") as stream:
                    yield name, stream
    elif path.is_file():
        with path.open("rb") as stream:
            yield _valid(path.name), stream
    else:
        raise InputError(f"{path} does not exist; expected a text file, a folder or a tar archive")


class _Unpacked:
    """The bytes of a tar archive: no more than text may unpack to.

    Only a few reads at the end are allowed: tarfile seeks by reading, over any distance.
    """

    def __init__(self, file: IO[bytes], path: Path) -> None:
        self._file, self._path = file, path
        self._limit = self._left = max(FREE_BYTES, LARGEST_GROWTH * path.stat().st_size)
        self._reads_at_end = 0

    def read(self, size: int) -> bytes:
        """Return up to `size` bytes; raises EOFError where a damaged size leads far past the end."""
        data = self._file.read(size)
        self._left -= len(data)
        if self._left < 0:
            raise InputError(
                f"{self._path} unpacks to more than {self._limit:,} bytes, {LARGEST_GROWTH} times its own: "
                "no text does; unpack it yourself and give the folder if it is what you want"
            )
        self._reads_at_end += not data
        if self._reads_at_end > MOST_READS_AT_END:
            raise EOFError("a file in it should be longer than the archive")
        return data


class _Header(tarfile.TarInfo):
    """The header of a file in an archive."""

    @classmethod
    def frombuf(cls, buf: bytes | bytearray, encoding: str, errors: str) -> Self:
        """Return the header in a block; raises ReadError where it announces remarks of any length."""
        header = super().frombuf(buf, encoding, errors)
        if header.size > LARGEST_HEADER and header.type in REMARKS:
            raise tarfile.ReadError(f"the remarks before a file in it have {header.size:,} bytes")
        return header


REMARKS = (
    tarfile.XHDTYPE,
    tarfile.XGLTYPE,
    tarfile.SOLARIS_XHDTYPE,
    tarfile.GNUTYPE_LONGNAME,
    tarfile.GNUTYPE_LONGLINK,
)


def _members(path: Path, wanted: Callable[[str], bool]) -> Iterator[tuple[str, IO[bytes]]]:
    with (
        damage_named(path.name, "no tar archive"),
        path.open("rb") as packed,
        _decompressed(packed, path.name) as file,
        tarfile.open(fileobj=cast(IO[bytes], _Unpacked(file, path)), mode="r|", tarinfo=_Header) as archive,
    ):
        for member in archive:
            stream = archive.extractfile(member) if member.isfile() and wanted(member.name) else None
            if stream is not None:
                yield _valid(member.name.removeprefix("./")), stream


def _decompressed(packed: IO[bytes], name: str) -> IO[bytes]:
    """Return a reader of the unpacked bytes; the first bytes say how they are packed."""
    beginning = packed.read(6)
    packed.seek(0)
    suffix = next((suffix for magic, suffix in _MAGIC.items() if beginning.startswith(magic)), "")
    return unpacked(packed, name, suffix)


_MAGIC = {
    b"\x1f\x8b\x08": ".gz",
    b"BZh": ".bz2",
    b"\xfd7zXZ": ".xz",
    b"\x5d\x00\x00\x80": ".xz",
    b"\x28\xb5\x2f\xfd": ".zst",
}


def _valid(name: str) -> str:
    """Return the name of a file, whose bytes may be no UTF-8, as a string that can be written."""
    return name.encode("utf-8", "replace").decode()
