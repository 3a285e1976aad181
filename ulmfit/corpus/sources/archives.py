"""Reads text files one after the other from a file, a folder or a tar archive, never unpacking it to disk."""

from __future__ import annotations

import lzma
import tarfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, cast

from ulmfit.errors import InputError
from ulmfit.streams import unpacked

MOST_READS_AT_END = 100
TAR_SUFFIXES = (".tar", ".tar.xz", ".tar.gz", ".tar.bz2", ".tgz", ".txz", ".tar.zst")


def is_tar(path: Path) -> bool:
    """Return whether the name is that of a tar archive."""
    return path.is_file() and path.name.lower().endswith(TAR_SUFFIXES)


def open_files(path: Path, wanted: Callable[[str], bool]) -> Iterator[tuple[str, IO[bytes]]]:
    """Yield name and open binary file of each file whose name is `wanted`, in the archive's or sorted order.

    A single file is always wanted. Raises InputError for what is missing or a damaged archive.
    """
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


class _EndingFile:
    """A file that may be read at its end a few times only: tarfile seeks by reading, however far it is."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self._reads_at_end = 0

    def read(self, size: int) -> bytes:
        """Return up to `size` bytes; raises EOFError where a damaged size leads far past the end."""
        data = self._file.read(size)
        self._reads_at_end += not data
        if self._reads_at_end > MOST_READS_AT_END:
            raise EOFError("a file in it should be longer than the archive")
        return data


def _members(path: Path, wanted: Callable[[str], bool]) -> Iterator[tuple[str, IO[bytes]]]:
    with (
        _damage(path.name),
        path.open("rb") as file,
        # tarfile knows the other kinds of compression.
        unpacked(file, path.name, ".zst" if path.suffix.lower() == ".zst" else "") as content,
        tarfile.open(fileobj=cast(IO[bytes], _EndingFile(content)), mode="r|*") as archive,
    ):
        for member in archive:
            stream = archive.extractfile(member) if member.isfile() and wanted(member.name) else None
            if stream is not None:
                yield _valid(member.name.removeprefix("./")), stream


def _valid(name: str) -> str:
    """Return the name of a file, whose bytes may be no UTF-8, as a string that can be written."""
    return name.encode("utf-8", "replace").decode()


@contextmanager
def _damage(name: str) -> Iterator[None]:
    try:
        yield
    except (tarfile.TarError, EOFError, lzma.LZMAError, zlib.error) as error:
        raise InputError(f"{name} is damaged or no tar archive: {error}") from error
    except OSError as error:
        if error.errno is not None:
            raise
        raise InputError(f"{name} is damaged: {error}") from error
