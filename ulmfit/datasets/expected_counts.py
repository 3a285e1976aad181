"""Data scripts compare what they read with the published counts of rows and labels."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

import pandas as pd

from ulmfit.pipeline.errors import InputError

PUBLISHED, ANY = "published", "any"
Counts = int | Mapping[str, int]
"""Rows of a split, or rows of each label; of texts with several labels, texts with each label."""


def check_counts(tables: Mapping[str, pd.DataFrame], expected: Mapping[str, Counts], counts: str) -> None:
    """Raise InputError with all differences between `tables` and the published counts.

    `counts` is the script's option of that name: "published" checks the counts; "any" accepts other ones,
    such as those of a part of the data set.
    """
    if counts not in (PUBLISHED, ANY):
        raise InputError(f"counts has to be {PUBLISHED} or {ANY}, not {counts!r}")
    if counts == ANY:
        return
    differences = [
        text for split, count in expected.items() for text in _differences(split, tables[split], count)
    ]
    if differences:
        raise InputError(
            f"not the published data set: {'; '.join(differences)}; get the files again, or take them as "
            f"they are with the option counts={ANY}"
        )


def _differences(split: str, table: pd.DataFrame, expected: Counts) -> list[str]:
    if isinstance(expected, int):
        return [] if len(table) == expected else [f"{split} has {len(table):,} rows, published: {expected:,}"]
    found = Counter(label for cell in table["label"] for label in ([cell] if isinstance(cell, str) else cell))
    return [
        f"{split} has {found[label]:,} times {label}, published: {expected.get(label, 0):,}"
        for label in sorted({*found, *expected})
        if found[label] != expected.get(label, 0)
    ]
