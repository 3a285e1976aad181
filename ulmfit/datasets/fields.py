"""Texts that stand in several columns of a table, such as a title and a body."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from ulmfit.datasets.targets import is_missing
from ulmfit.datasets.text_rules import joined_fields
from ulmfit.pipeline.errors import InputError


def joined_text(columns: Sequence[pd.Series], marks: bool) -> list[str]:
    """Return a text per row: its columns as `joined_fields` joins them."""
    return [
        joined_fields(["" if is_missing(value) else str(value) for value in row], marks)
        for row in zip(*columns, strict=True)
    ]


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
