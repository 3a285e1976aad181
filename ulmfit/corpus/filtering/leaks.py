"""Which texts of a test split stand in a corpus.

A test text is leaked when one document holds a large share of its n-grams of words. Texts too short for an
n-gram are searched as a whole; still shorter ones would be found by chance, and are counted only.

N-grams are found by 64-bit hashes, and every hit is compared word for word: a collision of hashes is no hit.
The corpus is read once; memory is proportional to the test split.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ulmfit.corpus.documents import PAGES_LISTED, Document
from ulmfit.corpus.filtering.shingles import Units, units_of, windows, windows_of_lengths

SLOTS_AN_NGRAM, MOST_SLOT_BITS = 32, 26
"""Size of the table that sorts out most n-grams of the corpus."""


@dataclass(frozen=True, slots=True)
class Overlap:
    """When a text counts as leaked: see the fields of `LeakCheck`."""

    ngram_words: int
    min_share: float
    min_words: int

    def window_length(self, units: Units) -> int:
        """Return how many units make an n-gram of this text; 0 for a text that is too short to be found."""
        if len(units) < units.length_of(self.min_words):
            return 0
        return min(len(units), units.length_of(self.ngram_words))


@dataclass
class _Found:
    """What was found of one test text: its largest share in a document, and the documents that leak it."""

    share: float = 0.0
    documents: list[str] = field(default_factory=list)
    count: int = 0

    def add(self, document: str) -> None:
        """Count a document that leaks the text; the first 1000 ids are kept, as in an account."""
        self.count += 1
        if len(self.documents) < PAGES_LISTED:
            self.documents.append(document)


def find_leaks(
    texts: Sequence[tuple[str, str]],
    documents: Iterable[Document],
    overlap: Overlap,
    advance: Callable[[int], None],
) -> dict[str, Any]:
    """Return the content of `leaks.json` for test texts (id, text) and a corpus; ids, never texts.

    `advance` is told of every document.
    """
    index = _Index(texts, overlap)
    found: dict[int, _Found] = defaultdict(_Found)
    with_leaks = []
    for document in documents:
        leaks = False
        for text, share in index.shares(units_of(document.text)).items():
            entry = found[text]
            entry.share = max(entry.share, share)
            if share >= overlap.min_share:
                entry.add(document.id)
                leaks = True
        if leaks:
            with_leaks.append(document.id)
        advance(1)
    leaked = {text: entry for text, entry in sorted(found.items()) if entry.documents}
    return {
        "ngram_words": overlap.ngram_words,
        "min_share": overlap.min_share,
        "min_words": overlap.min_words,
        "checked": len(index.sizes),
        "too_short": len(texts) - len(index.sizes),
        "below_min_share": len(found) - len(leaked),
        "leaked": [
            {
                "id": texts[text][0],
                "share": round(entry.share, 4),
                "count": entry.count,
                "documents": entry.documents,
            }
            for text, entry in leaked.items()
        ],
        "documents": with_leaks,
    }


class _Index:
    """The n-grams of the test texts that are long enough; `sizes` has how many each of those has."""

    def __init__(self, texts: Sequence[tuple[str, str]], overlap: Overlap) -> None:
        self.sizes: dict[int, int] = {}
        windows_of: dict[int, list[tuple[int, Units]]] = defaultdict(list)
        for number, (_, text) in enumerate(texts):
            units = units_of(text)
            length = overlap.window_length(units)
            if length:
                self.sizes[number] = len(units) - length + 1
                windows_of[length].append((number, units))
        self._lengths = sorted(windows_of)
        self._tables = [_Table(length, windows_of[length]) for length in self._lengths]

    def shares(self, units: Units) -> dict[int, float]:
        """Return which share of their n-grams stands in a document, for the texts that have any there."""
        found: dict[int, int] = defaultdict(int)
        hashes = windows_of_lengths(units.hashes, self._lengths)
        for table, hashes_of_length in zip(self._tables, hashes, strict=True):
            for text in table.hits(units, hashes_of_length):
                found[text] += 1
        return {text: count / self.sizes[text] for text, count in sorted(found.items())}


class _Table:
    """The n-grams of one length: their hashes in order (uint64), and the text and place of each (int32).

    `_same` has the first entry with the same words; entries of one hash may differ in words.
    """

    def __init__(self, length: int, members: Sequence[tuple[int, Units]]) -> None:
        self._length = length
        self._units = dict(members)
        hashes = [windows(units.hashes, length) for _, units in members]
        sizes = [len(part) for part in hashes]
        together = np.concatenate(hashes)
        order = np.argsort(together, kind="stable")
        self._hashes = together[order]
        self._texts = np.repeat(np.array([number for number, _ in members], np.int32), sizes)[order]
        self._places = np.concatenate([np.arange(size, dtype=np.int32) for size in sizes])[order]
        self._same = self._first_of_same_words()
        bits = min(MOST_SLOT_BITS, (SLOTS_AN_NGRAM * len(together)).bit_length())
        self._shift = 64 - bits
        self._slots = np.zeros(1 << bits, bool)
        self._slots[self._slot(self._hashes)] = True

    def hits(self, units: Units, hashes: np.ndarray) -> list[int]:
        """Return the text of every stored n-gram that stands in a document, whose n-grams have `hashes`."""
        candidates = np.flatnonzero(self._slots.take(self._slot(hashes)))
        if not len(candidates):
            return []
        left, right = (np.searchsorted(self._hashes, hashes[candidates], side) for side in ("left", "right"))
        found: dict[int, list[int]] = {}
        for index in np.flatnonzero(left < right).tolist():
            entries = slice(left[index], right[index])
            words = None
            for first in dict.fromkeys(self._same[entries].tolist()):
                if first in found:
                    continue
                words = words or units.spelled(int(candidates[index]), self._length)
                if self._spelled(first) == words:
                    found[first] = self._texts[entries][self._same[entries] == first].tolist()
        return [text for texts in found.values() for text in texts]

    def _first_of_same_words(self) -> np.ndarray:
        same = np.arange(len(self._hashes), dtype=np.int32)
        starts = np.flatnonzero(np.append(True, self._hashes[1:] != self._hashes[:-1]))
        sizes = np.diff(starts, append=len(self._hashes))
        for start, size in zip(starts[sizes > 1].tolist(), sizes[sizes > 1].tolist(), strict=True):
            firsts: dict[tuple[bytes, ...], int] = {}
            for entry in range(start, start + size):
                same[entry] = firsts.setdefault(tuple(self._spelled(entry)), entry)
        return same

    def _spelled(self, entry: int) -> list[bytes]:
        return self._units[int(self._texts[entry])].spelled(int(self._places[entry]), self._length)

    def _slot(self, hashes: np.ndarray) -> np.ndarray:
        return (hashes >> self._shift).astype(np.int64)
