"""Texts to predict, row by row and never all in memory: lines, CSV, TSV, JSON Lines, Parquet."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from ulmfit.datasets.table_files import column_places, parquet_errors, table_rows
from ulmfit.datasets.text_rules import joined_fields
from ulmfit.pipeline.errors import InputError
from ulmfit.pipeline.files import TABLE_SUFFIXES, table_suffix
from ulmfit.pipeline.streams import decoded_lines, opened

PARQUET_ROWS = 1_024
"""Rows that are read at once."""
STANDARD_INPUT = "standard input"


@dataclass(frozen=True)
class Row:
    """One text: number from 1, id (the number where the file has none), and the label if asked for."""

    number: int
    id: str
    text: str
    label: Any = None

    @property
    def is_empty(self) -> bool:
        """Whether there is nothing to predict."""
        return not self.text.strip()


def lines_of(stream: IO[bytes]) -> Iterator[Row]:
    """Yield the lines of a UTF-8 stream; raises InputError for other encodings."""
    for number, line in enumerate(decoded_lines(stream, STANDARD_INPUT), start=1):
        yield Row(number, str(number), line.rstrip("\r\n"))


def rows_of(
    path: Path,
    text_columns: Sequence[str],
    *,
    field_marks: bool = False,
    id_column: str = "id",
    label_column: str | None = None,
) -> Iterator[Row]:
    """Yield the rows of a table, compressed or not; a file of another name is read as lines.

    A text is made of its columns as in training. Raises InputError that names the file and the place.
    """
    columns = {f"text {number}": column for number, column in enumerate(text_columns, start=1)}
    columns |= {"id": id_column} if label_column is None else {"id": id_column, "label": label_column}
    texts = [name for name in columns if name.startswith("text")]
    for number, row in enumerate(_cells(path, columns), start=1):
        fields = [_text(row.get(name), path, number) for name in texts]
        text = fields[0] if len(fields) == 1 and not field_marks else joined_fields(fields, field_marks)
        name = row.get("id")
        yield Row(number, str(number) if name is None else str(name), text, row.get("label"))


def is_table(path: Path) -> bool:
    """Return whether a file's name is that of a table."""
    return bool(table_suffix(path.name))


def check_is_table(path: Path) -> None:
    """Raise InputError for a file that is none, by its name."""
    if not is_table(path):
        raise InputError(
            f"{path} is no table: expected a name that ends in {', '.join(TABLE_SUFFIXES)}; "
            f"give lines of text on standard input"
        )


def _text(cell: Any, path: Path, number: int) -> str:
    if isinstance(cell, (list, dict)):
        raise InputError(f"{path}, row {number}: the text is a list: expected a string")
    # NaN, the only value that differs from itself, is what Parquet has where a number is missing.
    return "" if cell is None or cell != cell else str(cell)


def _cells(path: Path, columns: dict[str, str]) -> Iterator[dict[str, Any]]:
    check_is_table(path)
    if table_suffix(path.name) == ".parquet":
        yield from _parquet(path, columns)
        return
    with opened(path) as stream:
        yield from table_rows(stream, str(path), columns, ("id",))


def _parquet(path: Path, columns: dict[str, str]) -> Iterator[dict[str, Any]]:
    import pyarrow.parquet

    with parquet_errors(path), pyarrow.parquet.ParquetFile(path) as file:
        names = file.schema_arrow.names
        places = column_places(str(path), columns, ("id",), names)
        chosen = {name: names[place] for name, place in places.items()}
        for batch in file.iter_batches(PARQUET_ROWS, columns=list(dict.fromkeys(chosen.values()))):
            batch.validate(full=True)
            cells = {name: _decoded(batch.column(column).to_pylist()) for name, column in chosen.items()}
            for number in range(batch.num_rows):
                yield {name: values[number] for name, values in cells.items()}


def _decoded(cells: list[Any]) -> list[Any]:
    """Return the values of a column, bytes as the text that they are in UTF-8; ValueError for others."""
    return [cell.decode() if isinstance(cell, bytes) else cell for cell in cells]
