"""The one reader of tables in text: CSV, TSV (no quoting) and JSON, as labelled data and as a corpus.

It is strict, so that no text is cut or lost silently: a row with more or fewer fields than the header is
refused with its line, and so are NUL bytes, other encodings, and objects that lack a column.
"""

from __future__ import annotations

import csv
import json
import re
import unicodedata
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import chain, islice
from pathlib import Path
from typing import IO, Any, Literal

from ulmfit.pipeline.errors import InputError
from ulmfit.pipeline.files import other_separator, table_suffix
from ulmfit.pipeline.streams import LARGEST_LINE, decoded_lines

FIRST_OBJECTS = 1_000
"""Objects of a JSON file that tell its fields."""
_HALF_SURROGATES = re.compile("[\ud800-\udfff]")


def table_rows(
    stream: IO[bytes],
    name: str,
    columns: Mapping[str, str],
    optional: Collection[str] = (),
    header: Sequence[str] = (),
    separator: str = "",
) -> Iterator[dict[str, Any]]:
    """Yield the rows of a table as `columns` names them: name of the result -> column of the file.

    The suffix of `name` says what the file is; `stream` is its unpacked content. Columns in `optional` may be
    missing; the others have to be there. `header` names the columns of a CSV or TSV file whose first line
    is data; `separator` stands between the columns of a CSV file, "": the comma. Values are strings, in JSON
    whatever stands there. Raises InputError that names the place.
    """
    lines = _without_nul(decoded_lines(stream, name), name)
    suffix = table_suffix(name)
    if suffix in (".csv", ".tsv"):
        usual = "\t" if suffix == ".tsv" else ","
        # A stray quote is an error in CSV, and a letter like any other in TSV.
        quoting: Literal[0, 3] = csv.QUOTE_NONE if suffix == ".tsv" else csv.QUOTE_MINIMAL
        return _separated(lines, name, separator or usual, quoting, columns, optional, header)
    if header or separator:
        field = "columns" if header else "separator"
        raise InputError(f"{name}: objects name their fields themselves: leave {field} out")
    return (_fields(row, place, columns, optional) for place, row in _objects(lines, name))


def column_names(stream: IO[bytes], name: str, separator: str = "") -> list[str]:
    """Return the columns of a table: the first row of CSV and TSV, the fields of the first objects of JSON.

    Fields that hold objects are left out. Raises InputError as `table_rows` does.
    """
    lines = _without_nul(decoded_lines(stream, name), name)
    suffix = table_suffix(name)
    if suffix not in (".csv", ".tsv"):
        found = dict.fromkeys(
            (field, isinstance(value, dict))
            for _, row in islice(_objects(lines, name), FIRST_OBJECTS)
            for field, value in row.items()
        )
        nested = {field for field, is_object in found if is_object}
        return list(dict.fromkeys(field for field, _ in found if field not in nested))
    usual = "\t" if suffix == ".tsv" else ","
    quoting: Literal[0, 3] = csv.QUOTE_NONE if suffix == ".tsv" else csv.QUOTE_MINIMAL
    try:
        return next(csv.reader(lines, strict=True, quoting=quoting, delimiter=separator or usual), [])
    except csv.Error as error:
        raise InputError(f"{name}, line 1: {error}; check its quotes") from error


def missing_column(name: str, columns: Mapping[str, str], wanted: str, found: Iterable[str]) -> InputError:
    """Return the error for a file that lacks the column for `wanted`, a name of the result."""
    listed = ", ".join(map(str, found)) or "none"
    header = table_suffix(name) in (".csv", ".tsv")
    advice = "; if the first line is no header, put one before it" if header else ""
    lacks = f"{name} has no column {columns[wanted]!r}, only {listed}"
    return InputError(f"{lacks}: name the right one in {wanted.split()[0]}_column{advice}")


def column_places(
    name: str, columns: Mapping[str, str], optional: Collection[str], header: Sequence[str]
) -> dict[str, int]:
    """Return where the columns of the result stand in a header; names are compared in NFC.

    Raises InputError for a column that is missing, or stands there twice.
    """
    known = [unicodedata.normalize("NFC", str(column)) for column in header]
    places = {}
    for wanted, column in columns.items():
        composed = unicodedata.normalize("NFC", column)
        if known.count(composed) > 1:
            raise InputError(
                f"{name} has the column {column!r} twice: expected one; rename or drop the other"
            )
        if composed in known:
            places[wanted] = known.index(composed)
        elif wanted not in optional:
            raise missing_column(name, columns, wanted, header)
    return places


def _without_nul(lines: Iterator[str], name: str) -> Iterator[str]:
    for number, line in enumerate(lines, start=1):
        if "\0" in line:
            raise InputError(
                f"{name}, line {number}: holds a NUL character, expected UTF-8 text; if the file is UTF-16, "
                f"convert it: iconv -f utf-16 -t utf-8"
            )
        yield line


def _separated(
    lines: Iterator[str],
    name: str,
    separator: str,
    quoting: Literal[0, 3],
    columns: Mapping[str, str],
    optional: Collection[str],
    header: Sequence[str],
) -> Iterator[dict[str, Any]]:
    first = next(lines, "")
    plain = first.rstrip("\r\n")
    if plain not in columns.values() and (other := other_separator(plain, separator)):
        raise InputError(
            f"{name}: the columns seem to be separated by {other!r}; expected {separator!r}: {plain[:60]}"
        )
    reader = csv.reader(chain([first], lines), strict=True, quoting=quoting, delimiter=separator)
    limit = csv.field_size_limit(LARGEST_LINE)
    try:
        names = list(header) or next(reader, [])
        if len(set(names)) < len(names) or not names:
            raise InputError(f"{name}: the first line has to name the columns, each once; it is {names}")
        places = column_places(name, columns, optional, names)
        for row in reader:
            if not row:
                continue
            if len(row) != len(names):
                told = "columns names" if header else "the header has"
                raise InputError(
                    f"{name}, line {reader.line_num}: {len(row)} fields, but {told} {len(names)}; "
                    f"quote fields that contain the separator"
                )
            if header and reader.line_num == 1 and row == names:
                raise InputError(f"{name}: its first line names the columns itself: leave columns out")
            yield {wanted: row[place] for wanted, place in places.items()}
    except csv.Error as error:
        raise InputError(
            f"{name}, line {reader.line_num}: {error}; check the quotes of this line and the ones before it"
        ) from error
    finally:
        csv.field_size_limit(limit)


def _objects(lines: Iterator[str], name: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield place and content of the objects: one per line, or one list, which is read as a whole."""
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        if line.lstrip().startswith("["):
            yield from _listed(line + "".join(lines), name)
            return
        place = f"{name}, line {number}"
        content = _json(line, place)
        if not isinstance(content, dict):
            raise InputError(f"{place}: {_shown(content)} is no object; {_EXPECTED}")
        yield place, content


_EXPECTED = 'expected an object a line, such as {"text": "…", "label": "…"}, or a list of them'


def _listed(text: str, name: str) -> Iterator[tuple[str, dict[str, Any]]]:
    for number, content in enumerate(_json(text, name), start=1):
        if not isinstance(content, dict):
            raise InputError(f"{name}, item {number}: {_shown(content)} is no object; {_EXPECTED}")
        yield f"{name}, item {number}", content


def _json(text: str, place: str) -> Any:
    try:
        return json.loads(text, object_pairs_hook=_once_each)
    except (ValueError, RecursionError) as error:
        raise InputError(f"{place}: is no JSON ({error}); {_EXPECTED}") from error


def _once_each(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    content = dict(pairs)
    if len(content) < len(pairs):
        raise ValueError("a field stands twice in an object")
    return content


def _fields(
    row: dict[str, Any], place: str, columns: Mapping[str, str], optional: Collection[str]
) -> dict[str, Any]:
    names = list(row)
    places = column_places(place, columns, optional, names)
    values = {wanted: _value(row[names[at]]) for wanted, at in places.items()}
    for wanted, value in values.items():
        if isinstance(value, dict):
            raise InputError(f"{place}: {columns[wanted]!r} is an object; expected a text or a number")
    return values


def _value(value: Any) -> Any:
    """Return a value of JSON; halves of surrogate pairs, which no file can hold, are U+FFFD."""
    if isinstance(value, str):
        return _HALF_SURROGATES.sub("\ufffd", value)
    return [_value(item) for item in value] if isinstance(value, list) else value


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 50 else f"{text[:50]}…"


@contextmanager
def parquet_errors(path: Path) -> Iterator[None]:
    """Turn what pyarrow raises for a bad Parquet file into an InputError, one line."""
    import pyarrow

    try:
        yield
    except (pyarrow.ArrowException, OSError, ValueError) as error:
        reason = " ".join(str(error).split())
        raise InputError(f"{path} cannot be read as Parquet: {reason}") from error
