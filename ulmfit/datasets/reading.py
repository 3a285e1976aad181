"""Reads the files of users; an error is one line that names file and place."""

from __future__ import annotations

import unicodedata
from collections.abc import Collection, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from ulmfit.datasets.table_files import column_places, parquet_errors, table_rows
from ulmfit.pipeline.errors import InputError
from ulmfit.pipeline.files import (
    PACKED_SUFFIXES,
    TABLE_SUFFIXES,
    no_text,
    packed_suffix,
    read_bytes,
    table_suffix,
)
from ulmfit.pipeline.streams import opened

ONLY_LABELS = "only labels may be lists, with task=multi_label"
LIST_TYPES = (pa.ListType, pa.LargeListType, pa.FixedSizeListType)


class TextForm(NamedTuple):
    """How a table that is text is written."""

    encoding: str = "utf-8"
    separator: str = ""
    """Stands between the columns of a CSV file; "": a comma."""


PLAIN = TextForm()


def read_text(path: Path) -> str:
    """Return the content of a UTF-8 file, without a byte order mark; InputError names the first bad byte."""
    try:
        content = read_bytes(path)
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
    """Return the lines of a UTF-8 file; only line feeds end a line; an empty last line is left out."""
    lines = [line.removesuffix("\r") for line in read_text(path).split("\n")]
    return lines if lines[-1] else lines[:-1]


def read_label_first(path: Path) -> pd.DataFrame:
    """Read lines of a label's number, a space and the text; InputError names a line without a number."""
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
    header: Sequence[str] = (),
    form: TextForm = PLAIN,
) -> pd.DataFrame:
    """Read a CSV, TSV (no quoting), JSON, JSON Lines or Parquet file, compressed or not.

    `columns` maps the names of the result to the columns of the file; those in `optional` may be missing, and
    those in `lists` may hold lists of strings. Where several columns make up one, their names end in a number
    (text 1, text 2). `header` names the columns of a CSV or TSV file without a header; `form` says
    how a text file is written. Raises InputError naming the file and the place.
    """
    check_table_name(path.name)
    if table_suffix(path.name) == ".parquet":
        table = _parquet(path, _composed(columns.values()), _composed(columns[name] for name in lists))
        places = column_places(str(path), columns, optional, list(table.columns))
        return pd.DataFrame({name: table.iloc[:, place] for name, place in places.items()})
    values: dict[str, list[Any]] = {name: [] for name in columns}
    found = {name for name in columns if name not in optional}
    with opened(path, form.encoding) as stream:
        rows = table_rows(stream, str(path), columns, optional, header, form.separator)
        for number, row in enumerate(rows, start=1):
            found |= row.keys()
            for name, cells in values.items():
                cells.append(row.get(name))
                if isinstance(cells[-1], list) and name not in lists:
                    column = f"column {columns[name]!r}"
                    raise InputError(f"{path}, row {number}: {column} holds lists: {ONLY_LABELS}")
    return pd.DataFrame({name: values[name] for name in columns if name in found}, dtype=object)


def join_tables(names: Sequence[str], tables: Sequence[pd.DataFrame]) -> pd.DataFrame:
    """Return the rows of several files of a split; InputError where some have ids and others none."""
    if len(tables) == 1:
        return tables[0]
    with_ids = [name for name, table in zip(names, tables, strict=True) if "id" in table]
    if with_ids and len(with_ids) < len(tables):
        without = next(name for name in names if name not in with_ids)
        raise InputError(
            f"{with_ids[0]} has ids, {without} has none: give every file of a split ids, or none"
        )
    return pd.concat([table.astype(object) for table in tables], ignore_index=True)


def check_table_name(name: str) -> None:
    """Raise InputError where a file's name is not the name of a table."""
    suffix = table_suffix(name)
    if not suffix:
        raise InputError(
            f"{name} is of no known kind: expected a name that ends in {', '.join(TABLE_SUFFIXES)}, with "
            f"{', '.join(PACKED_SUFFIXES)} behind it where it is compressed"
        )
    if suffix == ".parquet" and packed_suffix(name):
        raise InputError(f"{name}: Parquet files compress themselves: unpack it")


def check_table(
    path: Path,
    columns: Mapping[str, str],
    optional: Collection[str] = (),
    header: Sequence[str] = (),
    form: TextForm = PLAIN,
) -> None:
    """Raise InputError for a file whose kind, columns or first row `read_table` would refuse."""
    check_table_name(path.name)
    if path.is_dir():
        raise InputError(f"{path} is a folder: expected a file; name several files as a list")
    if table_suffix(path.name) == ".parquet":
        with parquet_errors(path):
            names = pq.read_schema(path).names
        column_places(str(path), columns, optional, names)
        return
    with opened(path, form.encoding) as stream:
        next(table_rows(stream, str(path), columns, optional, header, form.separator), None)


def _parquet(path: Path, wanted: Collection[str], lists: Collection[str]) -> pd.DataFrame:
    """Read the columns of the file only: none from the folder's name, none from the notes of pandas."""
    with parquet_errors(path):
        table = pq.read_table(path, partitioning=None).replace_schema_metadata()
        table.validate(full=True)
        table = table.rename_columns(_composed(table.column_names))
        for place, field in enumerate(table.schema):
            if field.name in wanted and not pa.types.is_primitive(field.type):
                is_list = isinstance(field.type, LIST_TYPES)
                if is_list and field.name not in lists:
                    raise ValueError(f"column {field.name!r} holds lists: {ONLY_LABELS}")
                kind = pa.list_(pa.string()) if is_list else pa.string()
                table = table.set_column(place, field.name, table.column(place).cast(kind))
        return table.to_pandas()


def _composed(names: Iterable[str]) -> list[str]:
    return [unicodedata.normalize("NFC", name) for name in names]
