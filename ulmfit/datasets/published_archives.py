"""Reading members of published tar and zip archives, which are never unpacked onto the disk."""

from __future__ import annotations

import tarfile
import zipfile
from collections.abc import Iterator
from pathlib import Path

from ulmfit.pipeline.errors import InputError

LARGEST_MEMBER = 4_000_000_000
"""Most bytes of one member; the largest member of a published set has a tenth of that."""


def tar_members(path: Path, prefix: str = "") -> Iterator[tuple[str, bytes]]:
    """Yield name and content of the files of a tar archive, compressed or not, in their order.

    `prefix` is what the names of the wanted files begin with. Raises InputError where it is no archive.
    """
    try:
        with tarfile.open(path, "r|*") as archive:
            for member in archive:
                name = member.name.removeprefix("./")
                if member.isfile() and name.startswith(prefix):
                    _check_size(path, name, member.size)
                    file = archive.extractfile(member)
                    assert file is not None
                    yield name, file.read()
    except (tarfile.TarError, EOFError, OSError) as error:
        raise InputError(f"{path} cannot be read as a tar archive: {error}; download it again") from error


def zip_members(path: Path) -> Iterator[tuple[str, bytes]]:
    """Yield name and content of the files of a zip archive; raises InputError where it is none."""
    try:
        with zipfile.ZipFile(path) as archive:
            for member in archive.infolist():
                if not member.is_dir():
                    _check_size(path, member.filename, member.file_size)
                    yield member.filename, archive.read(member)
    except (zipfile.BadZipFile, NotImplementedError, RuntimeError, OSError) as error:
        raise InputError(f"{path} cannot be read as a zip archive: {error}; download it again") from error


def _check_size(path: Path, name: str, size: int) -> None:
    if size > LARGEST_MEMBER:
        raise InputError(f"{path}: {name} has {size:,} bytes, expected {LARGEST_MEMBER:,} at most")
