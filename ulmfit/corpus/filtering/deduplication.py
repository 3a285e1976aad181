"""Which documents of a corpus repeat an earlier one, word for word or nearly.

Two documents are near-duplicates when the Jaccard similarity of their shingles reaches a threshold. It is
estimated from MinHash signatures (Broder 1997, "On the resemblance and containment of documents"), of which
8 bits a permutation are kept (Li and König 2010, "b-Bit minwise hashing"). Documents that agree in one band
of their signatures are compared (locality-sensitive hashing).

A document goes when it is similar to an earlier one *that stays*. Similarity is not passed on through
documents that go: among texts written by one template, where each resembles the next, that would leave one
of thousands of different texts. Because the similarity is an estimate, and a document is compared with many,
some go whose similarity is a little below the threshold.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from datasketch import MinHash

from ulmfit.corpus.documents import Document
from ulmfit.corpus.filtering.shingles import Units, mixed, units_of, windows

DUPLICATE, NEAR_DUPLICATE = "duplicate text", "near-duplicate of an earlier text"
SEED = 1
FOUND_SHARE = 0.98
"""Share of the pairs at the threshold that have to agree in at least one band."""
MOST_COMPARED = 256
"""Documents per band value that later ones are compared with; with more the time would be quadratic.

Documents beyond this number are counted in the account, as `entries_refused`.
"""
SHINGLES_AT_A_TIME = 4096
PLACEHOLDER = np.uint64(0x9E3779B97F4A7C15)
"""Takes the place of titles and numbers."""


@dataclass(frozen=True, slots=True)
class Nearness:
    """When documents are near-duplicates: see the fields of `Deduplicated`."""

    similarity: float
    shingle_words: int
    permutations: int
    ignore_title_and_numbers: bool


@dataclass
class Duplicates:
    """What was found: `original` has the row of the document that stays (-1: it stays itself), a row each."""

    original: np.ndarray
    near: np.ndarray
    description: dict[str, Any]

    def reason(self, row: int) -> str:
        """Return why a document is left out; empty: it stays."""
        if self.original[row] < 0:
            return ""
        return NEAR_DUPLICATE if self.near[row] else DUPLICATE


def find_duplicates(
    documents: Iterable[Document], count: int, nearness: Nearness | None, advance: Callable[[int], None]
) -> Duplicates:
    """Read `count` documents once and return which of them repeat an earlier one.

    Without `nearness` only texts whose words are all the same count. `advance` is told of every document.
    Memory: 16 bytes per document, and that of `Signatures`.
    """
    digests = np.zeros((count, 2), np.uint64)
    signatures = Signatures(count, nearness) if nearness else None
    for row, document in enumerate(documents):
        units = units_of(document.text)
        digests[row] = np.frombuffer(digest(units, document.text), np.uint64)
        if signatures is not None and nearness is not None:
            signatures.add(row, shingles(units, document.title, nearness))
        advance(1)
    original = _first_of_equal(digests)
    near = np.zeros(count, bool)
    held = digests.nbytes + original.nbytes + near.nbytes
    description: dict[str, Any] = {"method": "minhash" if nearness else "exact"}
    if signatures is not None:
        near, refused = signatures.resolve(original)
        held += signatures.nbytes
        description |= {"bands": signatures.bands, "rows_a_band": signatures.rows, "entries_refused": refused}
    description["bytes_a_document"] = round(held / max(count, 1), 1)
    return Duplicates(original, near, description)


def shingles(units: Units, title: str, nearness: Nearness) -> np.ndarray:
    """Return the hashes (uint32) of a text's shingles; a shorter text is one shingle."""
    hashes = units.hashes
    if nearness.ignore_title_and_numbers:
        hashes = _without_particulars(units, title)
    length = min(units.length_of(nearness.shingle_words), len(hashes))
    if not length:
        return np.zeros(0, np.uint32)
    return (windows(hashes, length) >> 32).astype(np.uint32)


def _without_particulars(units: Units, title: str) -> np.ndarray:
    """Return the hashes of the units, a placeholder for each run of numbers and words of the title.

    The part of a title in brackets, which tells pages of one name apart, counts as text.
    """
    named = np.isin(units.hashes, units_of(title.split(" (")[0]).hashes)
    if units.unspaced:
        # One character of a title occurs in many words, so only two in a row count as the title.
        beside = np.zeros(len(named) + 2, bool)
        beside[1:-1] = named
        named &= beside[:-2] | beside[2:]
    particular = named | units.numbers()
    repeated = np.zeros(len(particular), bool)
    repeated[1:] = particular[1:] & particular[:-1]
    return np.where(particular, PLACEHOLDER, units.hashes)[~repeated]


def digest(units: Units, text: str) -> bytes:
    """Return 128 bits of the words of a text; of its characters where it has no words."""
    content = units.hashes.tobytes() if len(units) else text.encode("utf-8", "surrogatepass")
    return hashlib.blake2b(content, digest_size=16).digest()


def _first_of_equal(digests: np.ndarray) -> np.ndarray:
    """Return for each row the first one with the same digest (int32), -1 for the first ones."""
    order = np.lexsort((digests[:, 0], digests[:, 1]))
    ordered = digests[order]
    starts = np.ones(len(order), bool)
    starts[1:] = (ordered[1:] != ordered[:-1]).any(axis=1)
    first = order[np.flatnonzero(starts)[np.cumsum(starts) - 1]]
    original = np.full(len(order), -1, np.int32)
    original[order[~starts]] = first[~starts]
    return original


class Signatures:
    """MinHash signatures of documents, in arrays.

    A document takes a byte for each permutation and 4 for each band, and 4 more for each band that it shares
    with another document.
    """

    def __init__(self, count: int, nearness: Nearness) -> None:
        self.similarity = nearness.similarity
        self.bands, self.rows = banding(nearness.similarity, nearness.permutations)
        self._minhash = MinHash(num_perm=nearness.permutations, seed=SEED, hashfunc=int, scheme="affine32")
        self._signatures = np.zeros((count, nearness.permutations), np.uint8)
        # 0 in place of a key says that the document shares the band with no other one.
        self._keys = np.zeros((count, self.bands), np.uint32)
        self.nbytes = self._signatures.nbytes + self._keys.nbytes

    def add(self, row: int, hashes: np.ndarray) -> None:
        """Take in the shingles of a document; one without shingles is similar to none."""
        if not len(hashes):
            return
        self._minhash.clear()
        for start in range(0, len(hashes), SHINGLES_AT_A_TIME):
            self._minhash.update_batch(hashes[start : start + SHINGLES_AT_A_TIME].tolist())
        values = mixed(self._minhash.digest().astype(np.uint64))
        self._signatures[row] = values.astype(np.uint8)
        banded = values[: self.bands * self.rows].reshape(self.bands, self.rows)
        self._keys[row] = np.maximum(banded.sum(axis=1) >> 32, 1)

    def resolve(self, original: np.ndarray) -> tuple[np.ndarray, int]:
        """Fill in `original` for near-duplicates; return which these are, and how many found a value full.

        Documents that have an original already are passed over.
        """
        self._keys[original >= 0] = 0
        members = [_Members(self._keys[:, band]) for band in range(self.bands)]
        self.nbytes += sum(group.nbytes for group in members)
        near = np.zeros(len(original), bool)
        for row in np.flatnonzero(self._keys.any(axis=1)).tolist():
            numbers = [
                (members[band], number) for band, number in enumerate(self._keys[row].tolist()) if number
            ]
            found = self._most_similar(row, [group.kept(number) for group, number in numbers])
            if found >= 0:
                original[row], near[row] = found, True
                continue
            for group, number in numbers:
                group.keep(number, row)
        return near, sum(group.refused for group in members)

    def _most_similar(self, row: int, candidates: list[np.ndarray]) -> int:
        """Return the first of the most similar candidates, -1 when none reaches the threshold."""
        rows = np.unique(np.concatenate(candidates))
        if not len(rows):
            return -1
        estimates = self.similarities(row, rows)
        best = int(estimates.argmax())
        return int(rows[best]) if estimates[best] >= self.similarity else -1

    def candidates(self) -> Iterator[tuple[int, np.ndarray]]:
        """Yield documents with the later ones that agree with them in some band: every such pair once.

        Where more than MOST_COMPARED documents agree in a band, later ones are paired with the first of them
        alone.
        """
        found: dict[int, set[int]] = {}
        for band in range(self.bands):
            keys = self._keys[:, band]
            order = np.argsort(keys, kind="stable")
            starts = np.flatnonzero(keys[order][1:] != keys[order][:-1]) + 1
            for members in np.split(order, starts):
                if len(members) < 2 or not keys[members[0]]:
                    continue
                rows = members.tolist()
                for place, row in enumerate(rows[:MOST_COMPARED]):
                    found.setdefault(row, set()).update(rows[place + 1 :])
        for row in sorted(found):
            yield row, np.array(sorted(found[row]), np.int64)

    def similarities(self, row: int, others: np.ndarray) -> np.ndarray:
        """Return the estimated similarity of one document to each of others, given by their rows."""
        equal = np.count_nonzero(self._signatures[others] == self._signatures[row], axis=1)
        # One in 256 differing values has the same 8 bits.
        return (equal / self._signatures.shape[1] - 1 / 256) / (1 - 1 / 256)


class _Members:
    """The documents that stay, by the value of their signatures in one band: at most MOST_COMPARED per value.

    Replaces the values in `keys` by numbers from 1, those of one document alone by 0.
    """

    def __init__(self, keys: np.ndarray) -> None:
        values, inverse, sizes = np.unique(keys, return_inverse=True, return_counts=True)
        shared = (sizes > 1) & (values != 0)
        keys[:] = (np.cumsum(shared) * shared)[inverse]
        self._room = np.minimum(sizes[shared], MOST_COMPARED).astype(np.int32)
        self._starts = np.cumsum(self._room, dtype=np.int64) - self._room
        self._filled = np.zeros(len(self._room), np.int32)
        self._rows = np.zeros(int(self._room.sum()), np.int32)
        self.nbytes = sum(part.nbytes for part in (self._room, self._starts, self._filled, self._rows))
        self.refused = 0

    def kept(self, number: int) -> np.ndarray:
        """Return the rows that were kept under a number, in their order."""
        start = self._starts[number - 1]
        return self._rows[start : start + self._filled[number - 1]]

    def keep(self, number: int, row: int) -> None:
        """Add a row under a number, or count it as refused where there is no room."""
        filled = self._filled[number - 1]
        if filled == self._room[number - 1]:
            self.refused += 1
            return
        self._rows[self._starts[number - 1] + filled] = row
        self._filled[number - 1] += 1


def banding(similarity: float, permutations: int) -> tuple[int, int]:
    """Return number and rows of the widest bands in which FOUND_SHARE of the pairs at the threshold agree.

    Two signatures agree in one of b bands of r rows with probability 1 - (1 - similarity^r)^b.
    """
    candidates = [(permutations // rows, rows) for rows in range(1, permutations + 1)]
    return max(
        ((bands, rows) for bands, rows in candidates if 1 - (1 - similarity**rows) ** bands >= FOUND_SHARE),
        key=lambda banded: banded[1],
    )
