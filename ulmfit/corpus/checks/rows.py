"""The rows of a data set, all splits in one list."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from ulmfit.datasets.tables import SPLITS


@dataclass(frozen=True, slots=True)
class Row:
    """One text; `labels` is what its label is compared by (none for an unlabelled text)."""

    split: str
    id: str
    text: str
    labels: tuple[str, ...] | None = None


def read_rows(folder: Path, with_labels: bool) -> list[Row]:
    """Return the rows of a data set's folder, the splits in the order of SPLITS.

    Without `with_labels`, as for numbers in place of labels, no row has any.
    """
    rows: list[Row] = []
    for split in SPLITS:
        path = folder / f"{split}.parquet"
        if split == "unlabelled" and not path.exists():
            continue
        labelled = with_labels and split != "unlabelled"
        table = pq.read_table(path, columns=["id", "text", *(["label"] if labelled else [])])
        ids, texts = table["id"].to_pylist(), table["text"].to_pylist()
        labels: Sequence[Any] = table["label"].to_pylist() if labelled else [None] * len(ids)
        rows += [
            Row(split, str(name), text, labels_of(label) if labelled else None)
            for name, text, label in zip(ids, texts, labels, strict=True)
        ]
    return rows


def labels_of(value: Any) -> tuple[str, ...]:
    """Return the labels of a text, sorted: one where it has one label, several where it has a list."""
    if isinstance(value, (list, tuple)):
        return tuple(sorted(map(str, value)))
    return (str(value),)


def numbers_of(rows: Sequence[Row], split: str) -> list[int]:
    """Return the positions of a split's rows."""
    return [number for number, row in enumerate(rows) if row.split == split]
