"""All checks of a data set, as `checks.json`: counts, and ids per kind of fault; no texts."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from ulmfit.corpus.checks.labels import conflicting, label_counts, label_shift
from ulmfit.corpus.checks.likeness import KINDS, Likeness, Repeat, likeness_of
from ulmfit.corpus.checks.rows import SPLITS, Row, numbers_of
from ulmfit.corpus.checks.texts import is_near_empty, signs_of
from ulmfit.corpus.filtering.deduplication import Nearness

COMPARED = (
    ("valid", "train"),
    ("test", "train"),
    ("test", "valid"),
    ("test", "unlabelled"),
    ("train", "valid"),
    ("train", "test"),
    ("valid", "test"),
    ("unlabelled", "test"),
)
"""Pairs of splits: texts of the first that are also in the second were seen in training, or count twice."""


@dataclass(frozen=True, slots=True)
class Thresholds:
    """See the fields of `CheckSettings`."""

    similarity: float
    shingle_words: int
    permutations: int
    min_words: int
    min_letters: int

    @property
    def nearness(self) -> Nearness:
        """When two texts count as nearly the same; numbers count like words."""
        return Nearness(self.similarity, self.shingle_words, self.permutations, False)

    def is_near_empty(self, text: str) -> bool:
        """Return whether a text has too few words or letters."""
        return is_near_empty(text, self.min_words, self.min_letters)


def all_checks(rows: Sequence[Row], thresholds: Thresholds, advance: Callable[[int], None]) -> dict[str, Any]:
    """Return the content of `checks.json`; `advance` is told of every text."""
    likeness = likeness_of(rows, thresholds.nearness, advance)
    numbers = {split: found for split in SPLITS if (found := numbers_of(rows, split))}
    counts = {split: label_counts(rows, split) for split in numbers if split != "unlabelled"}
    content: dict[str, Any] = {
        "similarity": thresholds.similarity,
        "shingle_words": thresholds.shingle_words,
        "min_words": thresholds.min_words,
        "min_letters": thresholds.min_letters,
        "texts": {split: len(found) for split, found in numbers.items()},
        "inside": {split: _listed(rows, likeness.inside(found)) for split, found in numbers.items()},
        "across": {
            f"{split} in {other}": _listed(rows, likeness.across(numbers[split], numbers[other]))
            for split, other in COMPARED
            if split in numbers and other in numbers
        },
        "conflicts": _conflicts(rows, likeness),
        "labels": {split: found for split, found in counts.items() if found},
        "label_shift": {},
        "near_empty": {
            split: [rows[n].id for n in found if thresholds.is_near_empty(rows[n].text)]
            for split, found in numbers.items()
        },
        "damaged": {split: _damaged([rows[n] for n in found]) for split, found in numbers.items()},
    }
    for split in ("valid", "test"):
        if shift := label_shift(counts.get("train", {}), counts.get(split, {})):
            content["label_shift"][split] = shift.model_dump()
    return content


def _listed(rows: Sequence[Row], repeats: Sequence[Repeat]) -> dict[str, list[dict[str, Any]]]:
    """Return the repeats by kind: the id of each, and the id of the text that it repeats."""
    listed: dict[str, list[dict[str, Any]]] = {kind: [] for kind in KINDS}
    for repeat in repeats:
        entry: dict[str, Any] = {"id": rows[repeat.row].id, "of": rows[repeat.of].id}
        if repeat.kind == "near":
            entry["similarity"] = round(repeat.similarity, 3)
        listed[repeat.kind].append(entry)
    return listed


def _conflicts(rows: Sequence[Row], likeness: Likeness) -> list[dict[str, Any]]:
    """Return the texts that have different labels, in any split, with the rows of each."""
    found = []
    for group in conflicting(rows, likeness.same_words, range(len(rows))):
        exact = conflicting(rows, likeness.same_text, group)
        members = [rows[number] for number in group]
        listed = [{"split": row.split, "id": row.id, "labels": list(row.labels or ())} for row in members]
        found.append({"kind": "exact" if exact else "loose", "rows": listed})
    return found


def _damaged(rows: Sequence[Row]) -> dict[str, list[str]]:
    found: dict[str, list[str]] = defaultdict(list)
    for row in rows:
        for sign in signs_of(row.text):
            found[sign].append(row.id)
    return dict(sorted(found.items()))
