"""Texts that stand in several columns of a table, such as a title and a body."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from ulmfit.datasets.targets import is_missing
from ulmfit.pipeline.errors import InputError

FIELD_MARK = "xxfld"
"""fastai's; it is a word of the text, and released vocabularies have a piece for it."""


def joined_text(columns: Sequence[pd.Series], marks: bool) -> list[str]:
    """Return a text per row: its columns with a space between them, empty if all of them are.

    With `marks` each begins with xxfld and its number from 1, as in fastai: `xxfld 1 title xxfld 2 body`.
    """
    return [_joined(row, marks) for row in zip(*columns, strict=True)]


def _joined(row: Sequence[object], marks: bool) -> str:
    fields = ["" if is_missing(value) else str(value) for value in row]
    if not any(field.strip() for field in fields):
        return ""
    if marks:
        fields = [f"{FIELD_MARK} {number} {field}" for number, field in enumerate(fields, 1)]
    return " ".join(field for field in fields if field)


def with_text(
    table: pd.DataFrame, text_column: str | tuple[str, ...], marks: bool, source: str
) -> pd.DataFrame:
    """Return a table whose column `text` is made from `text_column`; InputError names a missing column."""
    columns = (text_column,) if isinstance(text_column, str) else text_column
    if columns == ("text",) and not marks:
        return table
    for column in columns:
        if column not in table.columns:
            listed = ", ".join(map(str, table.columns)) or "none"
            raise InputError(f"{source} has no column {column!r}, only {listed}: name others in text_column")
    text = joined_text([table[column] for column in columns], marks)
    return table.drop(columns=[column for column in columns if column != "text"]).assign(text=text)
