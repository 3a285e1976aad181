"""`SHA256SUMS` of a folder: what `sha256sum -c SHA256SUMS` checks, and what loading a bundle checks."""

from __future__ import annotations

import re
from collections.abc import Collection
from pathlib import Path

from ulmfit.pipeline.errors import InputError
from ulmfit.pipeline.files import check_ends, sha256_of, write_text

SUMS = "SHA256SUMS"
LARGEST = 1_000_000
"""Bytes of such a file; a bundle's has about a hundred bytes per file."""
_LINE = re.compile(r"([0-9a-f]{64})  ([^\s/][^\n]*)")


def write_sums(folder: Path) -> None:
    """Write the sums of all files in a folder and below it."""
    paths = sorted(path for path in folder.rglob("*") if path.is_file() and path.name != SUMS)
    lines = [f"{sha256_of(path)}  {path.relative_to(folder).as_posix()}\n" for path in paths]
    write_text(folder / SUMS, "".join(lines))


def read_sums(folder: Path) -> dict[str, str]:
    """Return file -> SHA-256; raises InputError where the list is missing or damaged."""
    path = folder / SUMS
    try:
        check_ends(path)
        if path.stat().st_size > LARGEST:
            raise ValueError("it is too large")
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, ValueError) as error:
        raise InputError(f"{path} cannot be read ({error}): copy the folder again") from error
    found = [_LINE.fullmatch(line) for line in lines]
    if not all(found) or not found:
        raise InputError(f"{path} is damaged: expected a sum and a file per line; copy the folder again")
    return {match[2]: match[1] for match in found if match}


def check_sums(folder: Path, names: Collection[str], sums: dict[str, str]) -> None:
    """Raise InputError for a file that is missing, is not in the list, or has another content."""
    for name in names:
        if name not in sums:
            raise InputError(f"{folder / SUMS} does not name {name}: copy the folder again")
        try:
            content = sha256_of(folder / name)
        except OSError as error:
            reason = error.strerror or error
            raise InputError(f"{folder / name} cannot be read ({reason}): copy the folder again") from error
        if content != sums[name]:
            raise InputError(f"{folder / name} is not the file that {SUMS} names: copy the folder again")
