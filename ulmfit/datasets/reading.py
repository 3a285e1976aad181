"""Reading the files of users: what is wrong with one is said in a line that names the place."""

from __future__ import annotations

import csv
import io
import sys
from collections.abc import Collection, Mapping
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from ulmfit.errors import InputError
from ulmfit.files import no_text, other_separator

SUFFIXES = (".csv", ".tsv", ".parquet")
LIST_TYPES = (pa.ListType, pa.LargeListType, pa.FixedSizeListType)


def read_text(path: Path) -> str:
    """Return the content of a UTF-8 file, without a byte order mark; InputError names the first bad byte."""
    try:
        content = path.read_bytes()
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror or error}") from error
    if reason := no_text(content):
        raise InputError(f"{path} {reason}")
    try:
        return content.decode("utf-8").removeprefix("\ufeff")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise InputError(
            f"{path}: byte 0x{content[error.start]:02x} at offset {error.start} (line {line}) is not UTF-8; "
            f"if the file is in Latin-1, convert it: iconv -f latin1 -t utf-8"
        ) from error


def read_lines(path: Path) -> list[str]:
    """Return the lines of a UTF-8 file; only line feeds end a line, and an empty last line is none."""
    lines = [line.removesuffix("\r") for line in read_text(path).split("\n")]
    return lines if lines[-1] else lines[:-1]


def read_label_first(path: Path) -> pd.DataFrame:
    """Read lines of a label's number, a space, and the text; InputError names a line without a number."""
    rows = [line.partition(" ") for line in read_lines(path)]
    for number, (label, _, _) in enumerate(rows, 1):
        if not label.isdecimal():
            raise InputError(f"{path}, line {number}: begins with {label[:20]!r}, expected a number")
    return pd.DataFrame({"text": [text for _, _, text in rows], "label": [label for label, _, _ in rows]})


def read_table(
    path: Path,
    columns: Mapping[str, str],
    optional: Collection[str] = (),
    lists: Collection[str] = (),
) -> pd.DataFrame:
    """Read a CSV, TSV (no quoting) or Parquet file.

    `columns` maps the names of the result to the columns of the file; those in `optional` may be missing, and
    those in `lists` may hold lists of strings in Parquet. Of several columns of a kind each has a number
    behind its name (text 1, text 2). Raises InputError naming the file and the place.
    """
    if path.suffix not in SUFFIXES:
        raise InputError(f"{path} is of no known kind: expected a name that ends in {', '.join(SUFFIXES)}")
    if path.suffix == ".parquet":
        table = _parquet(path, columns.values(), [columns[name] for name in lists if name in columns])
    else:
        table = _separated(path, columns.values())
    found = {name: column for name, column in columns.items() if column in table.columns}
    for name, column in columns.items():
        if name not in found and name not in optional:
            listed = ", ".join(map(str, table.columns))
            raise InputError(
                f"{path} has no column {column!r}, only {listed}: "
                f"name the right one in {name.split()[0]}_column"
            )
    return pd.DataFrame({name: table[column] for name, column in found.items()})


def _parquet(path: Path, wanted: Collection[str], lists: Collection[str]) -> pd.DataFrame:
    """Read the columns as they are: neither the folder's name nor what pandas has noted adds to them."""
    try:
        table = pq.read_table(path, partitioning=None).replace_schema_metadata()
        table.validate(full=True)
        for place, field in enumerate(table.schema):
            if field.name in wanted and not pa.types.is_primitive(field.type):
                is_list = isinstance(field.type, LIST_TYPES)
                if is_list and field.name not in lists:
                    raise ValueError(
                        f"column {field.name!r} holds lists: only labels may be lists, with task=multi_label"
                    )
                kind = pa.list_(pa.string()) if is_list else pa.string()
                table = table.set_column(place, field.name, table.column(place).cast(kind))
        return table.to_pandas()
    except (pa.ArrowException, OSError, ValueError) as error:
        reason = " ".join(str(error).split())
        raise InputError(f"{path} cannot be read as Parquet: {reason}") from error


def _separated(path: Path, wanted: Collection[str]) -> pd.DataFrame:
    content = read_text(path)
    first = content.partition("\n")[0].strip("\r")
    separator = "\t" if path.suffix == ".tsv" else ","
    if first not in wanted and (other := other_separator(first, separator)):
        raise InputError(
            f"{path}: the columns seem to be separated by {other!r}; expected {separator!r}: {first[:60]}"
        )
    text = io.StringIO(content, newline="")
    if path.suffix == ".tsv":
        reader = csv.reader(text, strict=True, quoting=csv.QUOTE_NONE, delimiter="\t")
    else:
        reader = csv.reader(text, strict=True)
    limit = csv.field_size_limit(sys.maxsize)
    try:
        header = next(reader, [])
        rows = []
        for row in reader:
            if row and len(row) != len(header):
                raise InputError(
                    f"{path}, line {reader.line_num}: {len(row)} fields, but the header has {len(header)}; "
                    f"quote fields that contain the separator"
                )
            if row:
                rows.append(row)
    except csv.Error as error:
        raise InputError(
            f"{path}, line {reader.line_num}: {error}; check the quotes of this line and the ones before it"
        ) from error
    finally:
        csv.field_size_limit(limit)
    if len(set(header)) < len(header) or not header:
        raise InputError(f"{path}: the first line has to name the columns, each once; it is {header}")
    return pd.DataFrame(rows, columns=header, dtype=object)
