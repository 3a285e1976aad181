"""A file of labelled texts as a table of all its columns; encoding and separator are found out."""

from __future__ import annotations

import contextlib
import csv
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Final, Literal

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from ulmfit.datasets.reading import (
    LIST_TYPES,
    TextForm,
    check_table_name,
    read_lines,
    read_table,
)
from ulmfit.datasets.table_files import column_names, parquet_errors
from ulmfit.pipeline.errors import InputError
from ulmfit.pipeline.files import TABLE_SUFFIXES, no_text, packed_suffix, table_suffix
from ulmfit.pipeline.streams import READ_BYTES, decoded_lines, opened

if TYPE_CHECKING:
    from ulmfit.experiments.new_recipe.languages import Language

Lines = Literal["tabs", "labels first"]
"""How lines of a .txt file are written: columns with tabs between them, or `__label__NAME text`."""

SPREADSHEET: Final = "save the sheet as CSV (UTF-8) and give that file"
OTHER_KINDS: Final = {
    **dict.fromkeys((".xlsx", ".xls", ".xlsm", ".ods", ".numbers"), f"is a spreadsheet: {SPREADSHEET}"),
    **dict.fromkeys(
        (".pdf", ".docx", ".doc", ".odt", ".rtf", ".html"),
        "is a document, no table: put its texts into a CSV file with the columns text and label",
    ),
    **dict.fromkeys(
        (".zip", ".tar", ".tgz", ".rar", ".7z"), "is an archive: unpack it and give the file inside"
    ),
    **dict.fromkeys((".pkl", ".pickle", ".pt", ".npy"), "may run code when it is loaded: save it as Parquet"),
    **dict.fromkeys((".xml", ".yaml", ".yml", ".sqlite", ".db"), "is no table: save it as CSV or JSON Lines"),
}
SEPARATORS: Final = ",;\t|"
SEPARATOR_LINES: Final = 200
TEXT_SUFFIXES: Final = (".txt", ".text", ".data", ".dat", "")
LABEL_MARK: Final = "__label__"
LONGEST_NAME, MOST_WORDS = 40, 4
"""Letters and words of a column's name; more is a text, and its line no header."""


@dataclass(frozen=True)
class RawTable:
    """All columns of a file, as they stand there."""

    path: Path
    table: pd.DataFrame
    form: TextForm
    header: tuple[str, ...] = ()
    """Names that the columns were given where the file has none."""
    lines: Lines | None = None
    """Set where the file is none of the tables that `LabelledFiles` reads."""

    @property
    def kind(self) -> str:
        """What the file is, in words."""
        if self.lines:
            return "lines with tabs" if self.lines == "tabs" else f"lines that begin with {LABEL_MARK}"
        kind = {".jsonl": "JSON Lines", ".ndjson": "JSON Lines", ".parquet": "Parquet"}
        suffix = table_suffix(self.path.name)
        return kind.get(suffix, suffix.removeprefix(".").upper())


def raw_table(path: Path, language: Language, given: TextForm | None = None) -> RawTable:
    """Return the content of a file; `given` is what the user says of encoding and separator.

    Raises InputError, which says what to do, for everything that is no table of texts.
    """
    _check_kind(path)
    suffix = table_suffix(path.name)
    if suffix == ".parquet":
        return RawTable(path, _parquet(path), TextForm())
    encoding = (given and given.encoding) or _encoding(path, language)
    if not suffix:
        return _text_lines(path, encoding)
    if given and given.separator and not re.fullmatch(r'[^"\r\n]', given.separator):
        raise InputError(f"--separator {given.separator!r}: expected one character, such as ;")
    separator = (given and given.separator) or (_separator(path, encoding) if suffix == ".csv" else "")
    form = TextForm(encoding, "" if separator == "," else separator)
    with opened(path, encoding) as stream:
        names = column_names(stream, str(path), form.separator)
    header: tuple[str, ...] = ()
    if suffix in (".csv", ".tsv"):
        numbered = tuple(f"column {number}" for number in range(1, len(names) + 1))
        if repeated := [name for name in names if names.count(name) > 1]:
            table = _read(path, numbered, form, numbered)
            is_header = _is_header(names, [table[name].iloc[1:] for name in numbered])
            if is_header:
                raise InputError(f"{path} has the column {repeated[0]!r} twice: rename or drop one of them")
        else:
            table = _read(path, names, form)
            is_header = _is_header(names, [table[name] for name in names])
        if not is_header:
            header = numbered
            table = _read(path, header, form, header)
    else:
        table = _read(path, names, form)
    return RawTable(path, table, form, header)


def _check_kind(path: Path) -> None:
    """Raise InputError for what is no file, or a file of another kind, by its name and its first bytes."""
    tables = ", ".join(TABLE_SUFFIXES)
    if path.is_dir():
        raise InputError(f"{path} is a folder: give one file in it, {tables}")
    if not path.exists():
        raise InputError(f"{path} does not exist: expected a file of labelled texts, {tables}")
    plain = path.name.lower().removesuffix(packed_suffix(path.name))
    ending = Path(plain).suffix
    if advice := OTHER_KINDS.get(ending):
        raise InputError(f"{path} {advice}")
    if path.stat().st_size == 0:
        raise InputError(f"{path} is empty: expected labelled texts")
    if not table_suffix(path.name) and ending not in TEXT_SUFFIXES:
        check_table_name(path.name)
    if table_suffix(path.name) == ".parquet":
        check_table_name(path.name)
        return
    with opened(path) as stream:
        beginning = stream.read(READ_BYTES)
    is_utf16 = beginning.startswith((b"\xff\xfe", b"\xfe\xff"))
    if not is_utf16 and (reason := no_text(beginning)):
        advice = f": {SPREADSHEET}" if beginning.startswith(b"PK") else ""
        raise InputError(f"{path} {reason}{advice}")
    if not is_utf16 and b"\0" in beginning:
        raise InputError(f"{path} is no text: expected a table, {tables}")
    if not beginning.strip():
        raise InputError(f"{path} is empty: expected labelled texts")


def _encoding(path: Path, language: Language) -> str:
    """Return UTF-8 where the file is, else the usual encoding of old files in the language."""
    with opened(path) as stream:
        if stream.read(2) in (b"\xff\xfe", b"\xfe\xff"):
            return "utf-16"
    try:
        _read_all(path, "utf-8")
    except InputError as error:
        if not language.code_page:
            raise InputError(f"{error}; name its encoding with --encoding") from error
        try:
            _read_all(path, language.code_page)
        except InputError:
            raise InputError(f"{error}; nor is it {language.code_page}: name its --encoding") from error
        return language.code_page
    return "utf-8"


def _read_all(path: Path, encoding: str) -> None:
    with opened(path, encoding) as stream:
        for _ in decoded_lines(stream, str(path)):
            pass


def _separator(path: Path, encoding: str) -> str:
    """Return the separator that cuts most of the first rows into as many columns, two or more."""
    with opened(path, encoding) as stream:
        lines = list(islice(decoded_lines(stream, str(path)), SEPARATOR_LINES))

    def goodness(separator: str) -> tuple[float, int]:
        counts = Counter(_widths(lines, separator))
        columns, times = max(counts.items(), key=lambda one: (one[1], one[0]), default=(0, 0))
        return (times / counts.total(), columns) if columns > 1 else (0.0, 0)

    return max(SEPARATORS, key=goodness)


def _widths(lines: Sequence[str], separator: str) -> list[int]:
    """Return the columns of each row but the last, which may be cut off; of one row alone its own."""
    widths: list[int] = []
    with contextlib.suppress(csv.Error):
        widths.extend(len(row) for row in csv.reader(lines, delimiter=separator) if row)
    return widths[:-1] if len(widths) > 1 else widths


def _is_header(names: Sequence[str], columns: Sequence[pd.Series]) -> bool:
    """Return whether a first row names the columns: no name is a text, a number or one of the values."""
    for name, values in zip(names, columns, strict=True):
        if len(name) > LONGEST_NAME or len(name.split()) > MOST_WORDS or _is_number(name):
            return False
        if name and (values == name).any():
            return False
    return True


def _is_number(text: str) -> bool:
    return text.strip().lstrip("+-").replace(".", "", 1).isdecimal()


def _read(path: Path, names: Iterable[str], form: TextForm, header: Sequence[str] = ()) -> pd.DataFrame:
    """Return all columns; in JSON a field may be missing in some objects."""
    names = list(names)
    result = {f"column {number}": name for number, name in enumerate(names)}
    optional = () if table_suffix(path.name) in (".csv", ".tsv") else tuple(result)
    table = read_table(path, result, optional, tuple(result), header, form)
    return table.rename(columns=result)


def _parquet(path: Path) -> pd.DataFrame:
    with parquet_errors(path):
        schema = pq.read_schema(path)
    readable = [
        field.name
        for field in schema
        if pa.types.is_primitive(field.type)
        or pa.types.is_string(field.type)
        or pa.types.is_large_string(field.type)
        or pa.types.is_dictionary(field.type)
        or isinstance(field.type, LIST_TYPES)
    ]
    return _read(path, readable, TextForm())


def _text_lines(path: Path, encoding: str) -> RawTable:
    """Read a .txt file whose lines begin with labels, or have tabs between their columns."""
    if packed_suffix(path.name):
        raise InputError(f"{path}: compressed text files are read as tables only: unpack it")
    if encoding != "utf-8":
        raise InputError(f"{path} is not UTF-8: convert it: iconv -f {encoding} -t utf-8")
    lines = [line for line in read_lines(path) if line.strip()]
    if all(line.startswith(LABEL_MARK) for line in lines):
        rows = [_labels_first(line) for line in lines]
        table = pd.DataFrame(rows, columns=["label", "text"])
        return RawTable(path, table, TextForm(), lines="labels first")
    widths = Counter(line.count("\t") + 1 for line in lines)
    (width, times), *_ = widths.most_common(1)
    if width == 1 or times < len(lines):
        raise InputError(
            f"{path}: expected lines with tabs between text and label, as many in each, or lines such as "
            f"{LABEL_MARK}good A text; else name it .csv, .tsv or .jsonl"
        )
    names = [f"column {number}" for number in range(1, width + 1)]
    table = pd.DataFrame([line.split("\t") for line in lines], columns=names)
    return RawTable(path, table, TextForm(), lines="tabs")


def _labels_first(line: str) -> tuple[str, str]:
    """Return the labels of a line, with | between them, and its text."""
    labels, words = [], line.split(" ")
    while words and words[0].startswith(LABEL_MARK):
        labels.append(words.pop(0).removeprefix(LABEL_MARK))
    return "|".join(labels), " ".join(words)
