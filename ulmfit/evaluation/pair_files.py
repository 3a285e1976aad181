"""Reads minimal pairs of published forms. Nothing of an archive is unpacked onto the disk."""

from __future__ import annotations

import csv
import io
import tarfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from ulmfit.evaluation.minimal_pairs import PairForm
from ulmfit.pipeline.errors import InputError
from ulmfit.pipeline.files import atomic_path
from ulmfit.pipeline.printing import printable
from ulmfit.pipeline.streams import DAMAGE

PAIRS = "pairs.parquet"
COLUMNS: dict[str, tuple[str, str, str]] = {
    "table": ("right", "wrong", "construction"),
    "multiblimp": ("sen", "wrong_sen", "phenomenon"),
    "turblimp": ("good_sentence", "bad_sentence", "phenomenon"),
}
"""Names of the columns of right sentence, wrong sentence and construction."""
LARGEST_FILE = 100_000_000
"""Bytes of one file of pairs."""
MOST_CONSTRUCTIONS = 1_000
LONGEST_NAME = 100
DELIMITERS = ("\t", ",", ";")


@dataclass(frozen=True)
class Pair:
    """Two sentences that differ in one thing."""

    construction: str
    right: str
    wrong: str


def read_pairs(path: Path, form: PairForm) -> list[Pair]:
    """Return the pairs of a file; InputError, one line, where it has another form or no pair."""
    pairs = list(_clams(path) if form == "clams" else _table(path, COLUMNS[form]))
    if not pairs:
        raise InputError(f"{path} holds no pair of sentences: expected the form {form}")
    if (count := len({pair.construction for pair in pairs})) > MOST_CONSTRUCTIONS:
        raise InputError(
            f"{path} names {count:,} constructions, more than {MOST_CONSTRUCTIONS:,}: expected a few"
        )
    for number, pair in enumerate(pairs, 1):
        if not pair.right.strip() or not pair.wrong.strip() or pair.right == pair.wrong:
            raise InputError(
                f"{path}, pair {number}: expected two different sentences, neither of them empty"
            )
    return pairs


def write_pairs(folder: Path, pairs: Sequence[Pair]) -> None:
    """Write `pairs.parquet`."""
    import pandas

    columns = {name: [getattr(pair, name) for pair in pairs] for name in ("construction", "right", "wrong")}
    with atomic_path(folder / PAIRS) as temporary:
        pandas.DataFrame(columns, dtype=str).to_parquet(temporary, index=False, compression="zstd")


def stored_pairs(folder: Path) -> list[Pair]:
    """Return the pairs of a finished stage."""
    import pandas

    table = pandas.read_parquet(folder / PAIRS, columns=["construction", "right", "wrong"])
    return [Pair(*row) for row in table.itertuples(index=False, name=None)]


def _table(path: Path, columns: tuple[str, str, str]) -> Iterator[Pair]:
    text = _decoded(_bytes(path), path.name)
    head = text.partition("\n")[0]
    try:
        delimiter = next((mark for mark in DELIMITERS if columns[0] in _cells(head, mark)), None)
        header = _cells(head, delimiter) if delimiter else []
    except csv.Error as error:
        raise InputError(f"{path} is no table ({error}): expected CSV or tab-separated lines") from error
    missing = [name for name in columns[:2] if name not in header]
    if missing or delimiter is None:
        raise InputError(
            f"{path}: its first line has no column {(missing or columns)[0]!r}: expected "
            f"{' and '.join(columns[:2])}, and {columns[2]} where there are several constructions"
        )
    # Tab-separated files have no quotes: those in them are of the sentences.
    options: dict[str, Any] = {"quoting": csv.QUOTE_NONE} if delimiter == "\t" else {}
    places = [header.index(name) if name in header else None for name in columns]
    try:
        for number, row in enumerate(csv.reader(io.StringIO(text), delimiter=delimiter, **options)):
            if not number or not row:
                continue
            if len(row) != len(header):
                raise InputError(f"{path}, line {number + 1}: {len(row)} cells, expected {len(header)}")
            right, wrong, construction = (None if place is None else row[place] for place in places)
            name = construction or path.name.partition(".")[0]
            yield Pair(printable(name)[:LONGEST_NAME], right or "", wrong or "")
    except csv.Error as error:
        raise InputError(f"{path} is no table ({error}): expected CSV or tab-separated lines") from error


def _cells(line: str, delimiter: str) -> list[str]:
    return next(csv.reader([line.removeprefix("\ufeff").rstrip("\r")], delimiter=delimiter), [])


def _clams(path: Path) -> Iterator[Pair]:
    """Yield the pairs of CLAMS: each False line belongs to the True line before it."""
    for name, content in sorted(_members(path)):
        right = ""
        for number, line in enumerate(_decoded(content, name).splitlines(), 1):
            if not line.strip():
                continue
            mark, separator, sentence = line.partition("\t")
            if not separator or mark not in ("True", "False") or (mark == "False" and not right):
                raise InputError(
                    f"{path}, {name}, line {number}: expected True or False, a tab and a sentence, the True "
                    f"one first"
                )
            if mark == "True":
                right = sentence
            else:
                yield Pair(printable(PurePosixPath(name).stem)[:LONGEST_NAME], right, sentence)


def _members(path: Path) -> Iterator[tuple[str, bytes]]:
    """Yield name and content of the text files of a folder or a tar archive."""
    if path.is_dir():
        for member in path.glob("*.txt"):
            yield member.name, _bytes(member)
        return
    try:
        with tarfile.open(path) as archive:
            for entry in archive:
                if not entry.isfile() or not entry.name.endswith(".txt"):
                    continue
                if entry.size > LARGEST_FILE:
                    raise InputError(f"{path}: {entry.name} has more than {LARGEST_FILE:,} bytes")
                stream = archive.extractfile(entry)
                yield PurePosixPath(entry.name).name, stream.read() if stream else b""
    except (*DAMAGE, OSError) as error:
        raise InputError(
            f"{path} is no tar archive ({error}): expected one, or a folder, of CLAMS' text files"
        ) from error


def _bytes(path: Path) -> bytes:
    try:
        if path.stat().st_size > LARGEST_FILE:
            raise InputError(f"{path} has more than {LARGEST_FILE:,} bytes: expected a file of pairs")
        return path.read_bytes()
    except OSError as error:
        raise InputError(f"{path} cannot be read ({error.strerror}): expected a file of pairs") from error


def _decoded(content: bytes, name: str) -> str:
    try:
        return content.decode("utf-8")
    except UnicodeDecodeError as error:
        raise InputError(f"{name} is not UTF-8 (byte {error.start}): save it as UTF-8") from error
