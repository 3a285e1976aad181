"""Finds, among some thousands of texts, those with the same text, the same words, or nearly the same words.

Where `filtering.deduplication` thins out a corpus by estimates, every copy in a data set matters: texts whose
MinHash signatures share a band are compared shingle by shingle. What no band finds is missed: 2 in 100 of the
pairs just at the threshold, and fewer above it.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np

from ulmfit.corpus.checks.rows import Row
from ulmfit.corpus.filtering.deduplication import Nearness, Signatures, digest, shingles
from ulmfit.corpus.filtering.shingles import units_of

Kind = Literal["exact", "loose", "near"]
KINDS: tuple[Kind, ...] = ("exact", "loose", "near")
ESTIMATE_MARGIN = 0.2
"""Pairs whose estimated similarity is this far below the threshold are not compared: five standard errors
of 128 permutations."""


@dataclass(frozen=True, slots=True)
class Repeat:
    """A text that another one is a copy of; rows by their positions."""

    row: int
    of: int
    kind: Kind
    similarity: float = 1.0
    """Jaccard similarity of the shingles; 1 for exact and loose copies."""


@dataclass
class Likeness:
    """Which texts are alike: positions of rows, and for each the first row with the same text, or words.

    `near` has, for a first row of some words, the first rows of other words that are similar, the most
    similar first.
    """

    same_text: list[int]
    same_words: list[int]
    near: dict[int, list[tuple[int, float]]] = field(default_factory=dict)

    def inside(self, rows: Iterable[int]) -> list[Repeat]:
        """Return which rows repeat an earlier one of `rows` that stays; of each kind of copy the closest.

        As in a deduplicated corpus, a text stays if it is similar only to texts that are left out.
        """
        texts: dict[int, int] = {}
        words: dict[int, int] = {}
        staying: dict[int, int] = {}
        found = []
        for row in rows:
            repeat = self._repeat(row, texts, words, staying)
            texts.setdefault(self.same_text[row], row)
            words.setdefault(self.same_words[row], row)
            if repeat is None:
                staying[self.same_words[row]] = row
            else:
                found.append(repeat)
        return found

    def across(self, rows: Iterable[int], others: Iterable[int]) -> list[Repeat]:
        """Return which of `rows` stand in `others`, with the first row there that is most like each."""
        texts: dict[int, int] = {}
        words: dict[int, int] = {}
        for other in others:
            texts.setdefault(self.same_text[other], other)
            words.setdefault(self.same_words[other], other)
        found = (self._repeat(row, texts, words, words) for row in rows)
        return [repeat for repeat in found if repeat is not None]

    def _repeat(
        self, row: int, texts: dict[int, int], words: dict[int, int], similar: dict[int, int]
    ) -> Repeat | None:
        if (of := texts.get(self.same_text[row])) is not None:
            return Repeat(row, of, "exact")
        if (of := words.get(self.same_words[row])) is not None:
            return Repeat(row, of, "loose")
        for neighbour, similarity in self.near.get(self.same_words[row], ()):
            if (of := similar.get(neighbour)) is not None:
                return Repeat(row, of, "near", similarity)
        return None


def likeness_of(rows: Sequence[Row], nearness: Nearness, advance: Callable[[int], None]) -> Likeness:
    """Compare all texts with each other; `advance` is told of every text."""
    same_text: list[int] = []
    same_words: list[int] = []
    texts: dict[str, int] = {}
    words: dict[bytes, int] = {}
    shingled: list[tuple[int, np.ndarray]] = []
    for number, row in enumerate(rows):
        first = texts.setdefault(row.text, number)
        same_text.append(first)
        if first < number:
            same_words.append(same_words[first])
        else:
            units = units_of(row.text)
            same_words.append(words.setdefault(digest(units, row.text), number))
            if same_words[number] == number:
                shingled.append((number, np.unique(shingles(units, "", nearness))))
        advance(1)
    return Likeness(same_text, same_words, _near(shingled, nearness))


def _near(
    shingled: Sequence[tuple[int, np.ndarray]], nearness: Nearness
) -> dict[int, list[tuple[int, float]]]:
    """Return for each text the similar ones, the most similar first."""
    signatures = Signatures(len(shingled), nearness)
    for place, (_, hashes) in enumerate(shingled):
        signatures.add(place, hashes)
    neighbours: dict[int, list[tuple[int, float]]] = defaultdict(list)
    for first, others in signatures.candidates():
        estimates = signatures.similarities(first, others)
        for second in others[estimates >= nearness.similarity - ESTIMATE_MARGIN].tolist():
            (row, one), (other, two) = shingled[first], shingled[second]
            similarity = jaccard(one, two)
            if similarity >= nearness.similarity:
                neighbours[row].append((other, similarity))
                neighbours[other].append((row, similarity))
    return {row: sorted(found, key=lambda pair: (-pair[1], pair[0])) for row, found in neighbours.items()}


def jaccard(one: np.ndarray, two: np.ndarray) -> float:
    """Return the share of two sets, each sorted and without repeats, that they have in common."""
    common = len(np.intersect1d(one, two, assume_unique=True))
    whole = len(one) + len(two) - common
    return common / whole if whole else 0.0
