"""Which rows of a data set are left out, and a data set without them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from ulmfit.corpus.checks.found import Thresholds
from ulmfit.corpus.checks.labels import conflicting
from ulmfit.corpus.checks.likeness import KINDS, Kind, likeness_of
from ulmfit.corpus.checks.rows import SPLITS, Row, labels_of, numbers_of
from ulmfit.corpus.checks.texts import is_damaged
from ulmfit.pipeline.errors import InputError
from ulmfit.pipeline.files import atomic_path, read_json, sha256_of, write_json

CHANGED = ("train", "unlabelled")
"""Splits that lose texts from which nothing can be learnt; valid and test are for measuring."""


class Cleaning:
    """Drops rows for one reason after another; each row is counted under its first reason."""

    def __init__(
        self, rows: Sequence[Row], thresholds: Thresholds, match: Kind, advance: Callable[[int], None]
    ) -> None:
        self._rows = rows
        self._thresholds = thresholds
        self._kinds = KINDS[: KINDS.index(match) + 1]
        self._likeness = likeness_of(rows, thresholds.nearness, advance)
        self._left = {split: numbers_of(rows, split) for split in SPLITS}
        self.dropped: dict[str, dict[str, list[str]]] = {}

    @property
    def kept(self) -> dict[str, list[int]]:
        """Return, per split, the positions of the rows that are left."""
        first = {split: numbers[0] for split in SPLITS if (numbers := numbers_of(self._rows, split))}
        return {split: [number - first[split] for number in self._left[split]] for split in first}

    def drop(self, reason: str) -> None:
        """Drop the rows that one of the reasons of `CleanedDataset` names."""
        if reason == "near_empty":
            for split in CHANGED:
                self._drop(
                    reason, split, self._where(split, lambda row: self._thresholds.is_near_empty(row.text))
                )
        elif reason == "damaged":
            for split in CHANGED:
                self._drop(reason, split, self._where(split, lambda row: is_damaged(row.text)))
        elif reason == "conflicts":
            groups = self._likeness.same_text if self._kinds == ("exact",) else self._likeness.same_words
            found = conflicting(self._rows, groups, self._left["train"])
            self._drop(reason, "train", {number for group in found for number in group})
        elif reason.endswith("_duplicates"):
            split = reason.removesuffix("_duplicates")
            repeats = self._likeness.inside(self._left[split])
            self._drop(reason, split, {one.row for one in repeats if one.kind in self._kinds})
        else:
            split, _, other = reason.partition("_in_")
            repeats = self._likeness.across(self._left[split], self._left[other])
            self._drop(reason, split, {one.row for one in repeats if one.kind in self._kinds})

    def _where(self, split: str, holds: Callable[[Row], bool]) -> set[int]:
        return {number for number in self._left[split] if holds(self._rows[number])}

    def _drop(self, reason: str, split: str, numbers: set[int]) -> None:
        if numbers:
            ids = [self._rows[number].id for number in sorted(numbers)]
            self.dropped.setdefault(split, {})[reason] = ids
            self._left[split] = [number for number in self._left[split] if number not in numbers]


def write_kept(source: Path, folder: Path, kept: dict[str, list[int]], warnings: Sequence[str]) -> None:
    """Write the data set in `source` into `folder`: of each split the rows `kept`, all else unchanged.

    Raises InputError when a split is left without texts, or train without a label that it had.
    """
    description = read_json(source / "dataset.json")
    for split, places in kept.items():
        table = pq.read_table(source / f"{split}.parquet")
        _check(split, table, places, description["labels"])
        with atomic_path(folder / f"{split}.parquet") as path:
            pq.write_table(table.take(pa.array(places, pa.int64())), path, compression="zstd")
        description["files"][f"{split}.parquet"] = sha256_of(folder / f"{split}.parquet")
    description["rows"] = {split: len(places) for split, places in kept.items()}
    description["warnings"] = [*description["warnings"], *warnings]
    write_json(folder / "dataset.json", description)


def _check(split: str, table: pa.Table, places: Sequence[int], labels: Sequence[str]) -> None:
    if not places and split != "unlabelled":
        raise InputError(f"dropping leaves no text in {split}: name fewer reasons in `drop`")
    if split == "train":
        values = table["label"].to_pylist()
        left = {label for place in places for label in labels_of(values[place])}
        if gone := sorted(set(labels) - left):
            raise InputError(
                f"dropping leaves no text of label {gone[0]!r} in train: name fewer reasons in `drop`"
            )
