"""Small file helpers: every file appears whole under its name, or not at all."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import re
import shutil
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

TEMPORARY_SUFFIX = ".tmp"
LINE_WIDTH = 110
"""Characters of a line of `compact_json`."""
_NO_TEXT = re.compile(r"[\x00-\x1f\x7f-\x9f\ud800-\udfff]")


def has_textual_name(path: Path) -> bool:
    """Return whether a file's name can stand in records: it is UTF-8 and has no control characters."""
    return not _NO_TEXT.search(path.name)


TABLE_SUFFIXES = (".csv", ".tsv", ".jsonl", ".ndjson", ".json", ".parquet")
"""How the names of tables end, before a suffix of compression; `datasets/table_files.py` reads them."""
PACKED_SUFFIXES = (".bz2", ".gz", ".xz", ".zst")
"""How the names of compressed files end; `streams.py` reads them. Parquet files compress themselves."""


def packed_suffix(name: str) -> str:
    """Return the suffix of compression in a file's name, in small letters; empty: there is none."""
    return next((suffix for suffix in PACKED_SUFFIXES if name.lower().endswith(suffix)), "")


def table_suffix(name: str) -> str:
    """Return the suffix of a table's name, without that of compression; empty: it is no table's."""
    plain = name.lower().removesuffix(packed_suffix(name))
    return next((suffix for suffix in TABLE_SUFFIXES if plain.endswith(suffix)), "")


def is_text(name: str) -> bool:
    """Return whether a path or argument is UTF-8; Python marks bytes that are not by lone surrogates."""
    try:
        name.encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True


def is_whole_number(text: str) -> bool:
    """Return whether a text is digits only and `int` can read it (not so `²`, or 5,000 digits)."""
    return text.isascii() and text.isdecimal() and len(text) <= 300


BEGINNINGS = {
    b"PK\x03\x04": "a zip archive (as .xlsx and .docx are)",
    b"PK\x05\x06": "an empty zip archive",
    b"\x1f\x8b": "compressed with gzip",
    b"BZh91AY&SY": "compressed with bzip2",
    b"\xfd7zXZ\x00": "compressed with xz",
    b"\x28\xb5\x2f\xfd": "compressed with zstd",
    b"7z\xbc\xaf\x27\x1c": "a 7z archive",
    b"%PDF-": "a PDF",
    b"\xff\xfe": "UTF-16",
    b"\xfe\xff": "UTF-16",
}
"""First bytes of files that are no text, though the bytes may be valid UTF-8; and what the file is."""


def no_text(beginning: bytes) -> str | None:
    """Return why a file with these first bytes is no UTF-8 text, and what to do; None: it may be one."""
    kind = next((kind for bytes_, kind in BEGINNINGS.items() if beginning.startswith(bytes_)), None)
    if kind is None:
        return None
    advice = "convert it: iconv -f utf-16 -t utf-8" if kind == "UTF-16" else "unpack or convert it"
    return f"is {kind}, expected UTF-8 text; {advice}"


def other_separator(first_line: str, expected: str) -> str | None:
    """Return the separator that the columns seem to have, if it is not the expected one."""
    if expected in first_line:
        return None
    return next((one for one in ";\t,|" if one in first_line), None)


def check_ends(path: Path) -> None:
    """Raise OSError for a pipe or a device: in a folder that others made, reading it might never end."""
    mode = path.stat().st_mode
    if not (stat.S_ISREG(mode) or stat.S_ISDIR(mode)):
        raise OSError(errno.EINVAL, "it is a pipe or a device, expected a file", str(path))


def read_bytes(path: Path) -> bytes:
    """Return the content of a file; raises OSError for a pipe or a device."""
    check_ends(path)
    return path.read_bytes()


def sha256_of(path: Path) -> str:
    """Return the SHA-256 of a file's bytes, in hexadecimal; raises OSError for a pipe or a device."""
    check_ends(path)
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@contextmanager
def atomic_path(path: Path) -> Iterator[Path]:
    """Yield a temporary name beside `path`; on success it is flushed to disk and renamed to `path`.

    Raises IsADirectoryError, which names `path`, where a folder is in its place.
    """
    if path.is_dir() and not path.is_symlink():
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
    temporary = path.with_name(f".{path.name}.{os.getpid()}{TEMPORARY_SUFFIX}")
    try:
        yield temporary
        flush(temporary)
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


@contextmanager
def atomic_folder(path: Path) -> Iterator[Path]:
    """Yield a temporary folder beside `path`; on success its files are flushed and it becomes `path`."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}{TEMPORARY_SUFFIX}")
    shutil.rmtree(temporary, ignore_errors=True)
    temporary.mkdir(parents=True)
    try:
        yield temporary
        for file in temporary.iterdir():
            flush(file)
        shutil.rmtree(path, ignore_errors=True)
        temporary.replace(path)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def remove_temporaries(folder: Path, name: str = "*") -> None:
    """Remove temporary files that killed writers left in `folder`: of all files, or of one."""
    for leftover in folder.glob(f".{name}.*{TEMPORARY_SUFFIX}"):
        if leftover.is_dir():
            shutil.rmtree(leftover, ignore_errors=True)
        else:
            leftover.unlink(missing_ok=True)


def write_text(path: Path, text: str) -> None:
    """Write UTF-8 text atomically."""
    with atomic_path(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_json(path: Path, content: Any) -> None:
    """Write indented JSON atomically."""
    write_text(path, json.dumps(content, indent=2, ensure_ascii=False) + "\n")


def compact_json(content: Any) -> str:
    """Return the content as JSON; what fits on a line of LINE_WIDTH characters stands on one line.

    A list of numbers always does. Numbers keep all their digits.
    """
    return "".join(_compact(content, 0, 0)) + "\n"


def _compact(content: Any, indent: int, before: int) -> Iterator[str]:
    """Yield the parts of a value whose line has an indent and `before` more characters in front of it."""
    line = json.dumps(content, ensure_ascii=False)
    fits = indent + before + len(line) < LINE_WIDTH  # a comma may follow
    if fits or not isinstance(content, (dict, list, tuple)) or _is_numbers(content):
        yield line
        return
    is_object = isinstance(content, dict)
    names = [f"{json.dumps(name, ensure_ascii=False)}: " if is_object else "" for name in content]
    values = content.values() if isinstance(content, dict) else content
    margin = "\n" + " " * (indent + 2)
    yield "{" if is_object else "["
    for number, (name, value) in enumerate(zip(names, values, strict=True)):
        yield ("," if number else "") + margin + name
        yield from _compact(value, indent + 2, len(name))
    yield margin[:-2] + ("}" if is_object else "]")


def _is_numbers(content: dict | list | tuple) -> bool:
    return not isinstance(content, dict) and all(isinstance(value, (int, float)) for value in content)


def read_json(path: Path) -> Any:
    """Read a JSON file; raises ValueError if it is not JSON, and OSError for a pipe or a device."""
    check_ends(path)
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except RecursionError as error:
        raise ValueError("its lists lie too deep inside each other") from error


def flush(path: Path) -> None:
    """Flush a file, or the names in a folder, to the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
