"""Plain text, CSV, TSV or Parquet files -> documents."""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

from ulmfit.corpus.cleaning import normalise, text_key
from ulmfit.corpus.documents import Account, Document
from ulmfit.corpus.sources.archives import decoded_lines, is_tar, open_files
from ulmfit.corpus.words import count_words
from ulmfit.errors import InputError
from ulmfit.files import other_separator

EMPTY = "empty text"
TABLE_SUFFIXES = (".csv", ".tsv", ".parquet")
TEXT_SUFFIXES = (".txt", ".text", ".md")


@dataclass(frozen=True, slots=True)
class Form:
    """How files are cut into documents: see the fields of `TextFiles`."""

    document: str = "file"
    max_words: int | None = None
    text_column: str = "text"
    id_column: str | None = None


def text_documents(
    inputs: Sequence[tuple[str, Path]], form: Form, account: Account, warn: Callable[[str], None]
) -> Iterator[Document]:
    """Yield the documents of labelled files; raises InputError for a missing column or another encoding."""
    labels = [label for label, _ in inputs]
    for place, (label, path) in enumerate(inputs):
        prefix = label if labels.count(label) == 1 else f"{place}-{label}"
        empty = 0
        for identifier, title, text in _texts(prefix, path, form):
            pieces = _pieces(text, form.max_words)
            account.pages_read += max(1, len(pieces))
            if not pieces:
                empty += 1
                account.leave_out(EMPTY, identifier)
            for number, piece in enumerate(pieces, start=1):
                name = identifier if len(pieces) == 1 else f"{identifier}#{number}"
                yield Document(name, title, piece, split_key=text_key(piece))
        if empty:
            warn(f"{label}: {empty} empty {'files' if form.document == 'file' else 'rows'} were left out")


def _texts(label: str, path: Path, form: Form) -> Iterator[tuple[str, str, str]]:
    """Yield id, title and raw text of each document of one input."""
    if path.is_file() and path.suffix.lower() == ".parquet":
        yield from _parquet_texts(label, path, form)
        return
    several = path.is_dir() or is_tar(path)
    found = False
    for name, stream in open_files(path, _is_wanted):
        found = True
        identifier = f"{label}/{name}" if several else label
        lines = decoded_lines(stream, f"{path.name}/{name}" if several else name)
        if name.lower().endswith(TABLE_SUFFIXES):
            yield from _csv_texts(identifier, name, lines, form)
        else:
            yield from _plain_texts(identifier, name, lines, form)
    if not found:
        raise InputError(
            f"{path.name} holds no text file; expected *{', *'.join(TEXT_SUFFIXES)}, *.csv or *.tsv"
        )


def _is_wanted(name: str) -> bool:
    last = name.rpartition("/")[2].lower()
    return not last.startswith(".") and last.endswith((*TEXT_SUFFIXES, ".csv", ".tsv"))


def _plain_texts(
    identifier: str, name: str, lines: Iterator[str], form: Form
) -> Iterator[tuple[str, str, str]]:
    title = Path(name).stem
    if form.document == "file":
        yield identifier, title, "".join(lines)
    elif form.document == "line":
        for number, line in enumerate(lines, start=1):
            yield f"{identifier}:{number}", title, line
    else:
        for number, group in enumerate(_paragraph_groups(lines), start=1):
            yield f"{identifier}:{number}", title, group


def _paragraph_groups(lines: Iterator[str]) -> Iterator[str]:
    """Yield the groups of lines between blank lines."""
    group: list[str] = []
    for line in lines:
        if line.strip():
            group.append(line)
        elif group:
            yield "".join(group)
            group = []
    if group:
        yield "".join(group)


def _csv_texts(
    identifier: str, name: str, lines: Iterator[str], form: Form
) -> Iterator[tuple[str, str, str]]:
    csv.field_size_limit(1 << 30)
    delimiter = "\t" if name.lower().endswith(".tsv") else ","
    first = next(lines, "")
    if first.strip("\r\n") != form.text_column and (other := other_separator(first, delimiter)):
        raise InputError(f"{name}: the columns seem to be separated by {other!r}; expected {delimiter!r}")
    lines = chain([first], lines)
    # As in labelled data: a stray quote is an error in CSV, and a letter like any other in TSV.
    if delimiter == "\t":
        rows = csv.reader(lines, delimiter=delimiter, quoting=csv.QUOTE_NONE)
    else:
        rows = csv.reader(lines, strict=True)
    try:
        header = next(rows, [])
        text_at = _column(header, form.text_column, name)
        id_at = _column(header, form.id_column, name) if form.id_column else None
        for number, row in enumerate((row for row in rows if row), start=1):
            key = row[id_at] if id_at is not None and id_at < len(row) else str(number)
            yield f"{identifier}:{key}", "", row[text_at] if text_at < len(row) else ""
    except csv.Error as error:
        raise InputError(f"{name} line {rows.line_num} is no CSV: {error}") from error


def _parquet_texts(identifier: str, path: Path, form: Form) -> Iterator[tuple[str, str, str]]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        with pq.ParquetFile(path) as file:
            names = file.schema_arrow.names
            _column(names, form.text_column, path.name)
            columns = [form.text_column]
            if form.id_column:
                _column(names, form.id_column, path.name)
                columns.append(form.id_column)
            number = 0
            for batch in file.iter_batches(batch_size=4096, columns=columns):
                texts = batch.column(form.text_column).cast(pa.string()).to_pylist()
                keys = batch.column(form.id_column).to_pylist() if form.id_column else None
                for row, text in enumerate(texts):
                    number += 1
                    yield f"{identifier}:{keys[row] if keys else number}", "", text or ""
    except (pa.ArrowException, OSError, ValueError) as error:
        if isinstance(error, OSError) and error.errno is not None:
            raise
        raise InputError(
            f"{path.name} is no readable Parquet file with text in {form.text_column!r}: "
            f"{str(error).splitlines()[0]}"
        ) from error


def _column(header: Sequence[str], wanted: str, name: str) -> int:
    if wanted not in header:
        found = ", ".join(repr(column) for column in header) or "none"
        raise InputError(f"{name} has no column {wanted!r}; its columns are {found}: name one of them")
    return list(header).index(wanted)


def _pieces(text: str, max_words: int | None) -> list[str]:
    """Cut a text at the ends of paragraphs into pieces of at most `max_words`; a paragraph is never cut."""
    text = normalise(text)
    if not text or max_words is None:
        return [text] if text else []
    pieces: list[list[str]] = []
    words = 0
    for paragraph in text.split("\n"):
        count = count_words(paragraph)
        if not pieces or words + count > max_words:
            pieces.append([])
            words = 0
        pieces[-1].append(paragraph)
        words += count
    return ["\n".join(piece) for piece in pieces]
