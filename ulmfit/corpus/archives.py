"""Reads text files one after the other from a file, a folder or a tar archive, never unpacking it to disk."""

from __future__ import annotations

import lzma
import tarfile
import zlib
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from ulmfit.errors import InputError

TAR_SUFFIXES = (".tar", ".tar.xz", ".tar.gz", ".tar.bz2", ".tgz", ".txz")


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
            name = file.relative_to(path).as_posix()
            if file.is_file() and wanted(name):
                with file.open("rb") as stream:
                    yield name, stream
    elif path.is_file():
        with path.open("rb") as stream:
            yield path.name, stream
    else:
        raise InputError(f"{path} does not exist; expected a text file, a folder or a tar archive")


def _members(path: Path, wanted: Callable[[str], bool]) -> Iterator[tuple[str, IO[bytes]]]:
    with _damage(path.name), tarfile.open(path, "r|*") as archive:
        for member in archive:
            stream = archive.extractfile(member) if member.isfile() and wanted(member.name) else None
            if stream is not None:
                yield member.name.removeprefix("./"), stream


def _undamaged(stream: Iterable[bytes], name: str) -> Iterator[bytes]:
    with _damage(name):
        yield from stream


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


def decoded_lines(stream: Iterable[bytes], name: str) -> Iterator[str]:
    """Yield the lines of a UTF-8 file with their ends; raises InputError with file and offset otherwise."""
    offset = 0
    for line in _undamaged(stream, name):
        try:
            text = line.decode("utf-8")
        except UnicodeDecodeError as error:
            raise InputError(
                f"{name} is not UTF-8: byte 0x{line[error.start]:02x} at offset {offset + error.start}; "
                f"convert it, for instance with iconv -f latin1 -t utf-8"
            ) from error
        yield text.removeprefix("\ufeff") if offset == 0 else text
        offset += len(line)
