"""Plain text, CSV, TSV, JSON or Parquet files, compressed or not -> documents."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from ulmfit.corpus.cleaning import normalise, text_key
from ulmfit.corpus.documents import Account, Document
from ulmfit.corpus.sources.archives import is_tar, open_files
from ulmfit.corpus.words import count_words
from ulmfit.datasets.table_files import column_places, table_rows
from ulmfit.pipeline.errors import InputError
from ulmfit.pipeline.files import PACKED_SUFFIXES, TABLE_SUFFIXES, packed_suffix, table_suffix
from ulmfit.pipeline.streams import decoded_lines, unpacked

EMPTY = "empty text"
TEXT_SUFFIXES = (".txt", ".text", ".md")


@dataclass(frozen=True, slots=True)
class Form:
    """How files are cut into documents: see the fields of `TextFiles`."""

    document: str = "file"
    max_words: int | None = None
    text_column: str = "text"
    id_column: str | None = None

    @property
    def columns(self) -> dict[str, str]:
        """The columns of a table that are read, under the names that the code has for them."""
        return {"text": self.text_column, **({"id": self.id_column} if self.id_column else {})}


def text_documents(
    inputs: Sequence[tuple[str, Path]], form: Form, account: Account, warn: Callable[[str], None]
) -> Iterator[Document]:
    """Yield the documents of labelled files; raises InputError for a missing column or another encoding."""
    labels = [label for label, _ in inputs]
    for place, (label, path) in enumerate(inputs):
        prefix = label if labels.count(label) == 1 else f"{place}-{label}"
        empty = 0
        for identifier, title, text in _texts(prefix, path, form, warn):
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


def check_text_file(path: Path, form: Form) -> None:
    """Raise InputError for a table whose columns or first row would be refused."""
    from ulmfit.datasets.reading import check_table

    if path.is_file() and table_suffix(path.name):
        check_table(path, form.columns)


def _texts(label: str, path: Path, form: Form, warn: Callable[[str], None]) -> Iterator[tuple[str, str, str]]:
    """Yield id, title and raw text of each document of one input."""
    if path.is_file() and table_suffix(path.name) == ".parquet":
        yield from _parquet_texts(label, path, form)
        return
    several = path.is_dir() or is_tar(path)
    found = False
    passed_over: list[str] = []
    for name, file in open_files(path, lambda name: _is_wanted(name, passed_over)):
        found = True
        identifier = f"{label}/{name}" if several else label
        shown = f"{path.name}/{name}" if several else name
        if table_suffix(name) == ".parquet":
            if is_tar(path):
                raise InputError(f"{shown}: Parquet files cannot be read inside of an archive: unpack it")
            yield from _parquet_texts(identifier, path / name, form)
            continue
        stream = unpacked(file, shown)
        if table_suffix(name):
            yield from _table_texts(identifier, shown, stream, form)
        else:
            yield from _plain_texts(identifier, name, _lines(stream, shown, form), form)
    if not found:
        raise InputError(f"{path.name} holds no text file; expected {_EXPECTED}")
    if passed_over:
        # Names in an archive may have characters that a log cannot hold.
        names = ["".join(c if c.isprintable() else "?" for c in name[:80]) for name in passed_over[:5]]
        listed = ", ".join(names) + (", …" if len(passed_over) > 5 else "")
        warn(f"{label}: files that are no text by their names were not read ({len(passed_over):,}): {listed}")


_SUFFIXES = ", *".join([*TEXT_SUFFIXES, *TABLE_SUFFIXES])
_EXPECTED = f"*{_SUFFIXES}, or such a file with {', '.join(PACKED_SUFFIXES)} behind it"


def _is_wanted(name: str, passed_over: list[str]) -> bool:
    last = name.rpartition("/")[2].lower()
    if last.startswith("."):
        return False
    if table_suffix(last) or last.removesuffix(packed_suffix(last)).endswith(TEXT_SUFFIXES):
        return True
    passed_over.append(name)
    return False


def _lines(stream: IO[bytes], name: str, form: Form) -> Iterator[str]:
    """Yield the lines of a plain text; raises InputError where the first one is an object with the text."""
    for number, line in enumerate(decoded_lines(stream, name), start=1):
        if number == 1 and _is_object_with(form.text_column, line):
            raise InputError(f"{name} holds JSON, one object per line: give it a name that ends in .jsonl")
        yield line


def _is_object_with(column: str, line: str) -> bool:
    if not line.lstrip().startswith("{"):
        return False
    try:
        return column in json.loads(line)
    except (ValueError, RecursionError):
        return False


def _plain_texts(
    identifier: str, name: str, lines: Iterator[str], form: Form
) -> Iterator[tuple[str, str, str]]:
    title = Path(name[: len(name) - len(packed_suffix(name))]).stem
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


def _table_texts(identifier: str, name: str, stream: IO[bytes], form: Form) -> Iterator[tuple[str, str, str]]:
    for number, row in enumerate(table_rows(stream, name, form.columns), start=1):
        if isinstance(row["text"], list):
            raise InputError(f"{name}, row {number}: {form.text_column!r} is a list; expected a text")
        text = "" if row["text"] is None else str(row["text"])
        yield f"{identifier}:{row.get('id', number)}", "", text


def _parquet_texts(identifier: str, path: Path, form: Form) -> Iterator[tuple[str, str, str]]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        with pq.ParquetFile(path) as file:
            names = file.schema_arrow.names
            columns = {
                wanted: names[place]
                for wanted, place in column_places(path.name, form.columns, (), names).items()
            }
            number = 0
            for batch in file.iter_batches(batch_size=4096, columns=list(columns.values())):
                texts = batch.column(columns["text"]).cast(pa.string()).to_pylist()
                keys = batch.column(columns["id"]).to_pylist() if "id" in columns else None
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
