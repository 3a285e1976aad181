"""Hashes that decide about samples and splits, and which documents a sample may still need.

A sample is taken in the order of the documents' hashes: so it is unbiased, the same whatever the order of
the documents, and a smaller sample is a part of every larger one.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    import numpy as np

SAMPLE_SALT, SPLIT_SALT = "ulmfit sample", "ulmfit split"
OUTSIDE_SAMPLE = "outside the sample"
TOO_SHORT = "shorter than min_words"
CountedIn = Literal["words", "runs"]
"""Unit of a document's size: `words.count_words`, or `runs.count_runs` as MultiFiT did."""
FEWEST_MERGED = 1024


@dataclass(frozen=True, slots=True)
class Selection:
    """How much of a corpus is kept, and the shares of valid and test.

    Documents are taken in the order of their hashes until there are `max_documents` of them or their words
    have reached `max_tokens`, which the last one may exceed; None: no such limit. Documents of less than
    `min_words` are never taken; 0: all may be. `counted_in` says what counts as a word here.
    """

    max_documents: int | None = None
    valid_fraction: float = 0.01
    test_fraction: float = 0.01
    max_tokens: int | None = None
    min_words: int = 0
    counted_in: CountedIn = "words"

    def count(self, text: str) -> int:
        """Return the size of a text."""
        return counter(self.counted_in)(text)

    @property
    def samples(self) -> bool:
        """Whether there is a limit."""
        return self.max_documents is not None or self.max_tokens is not None

    def is_reached_by(self, documents: int, words: int) -> bool:
        """Return whether so many documents with so many words in all have reached a limit."""
        enough_documents = self.max_documents is not None and documents >= self.max_documents
        return enough_documents or (self.max_tokens is not None and words >= self.max_tokens)

    def reached(self, words: np.ndarray) -> int | None:
        """Return after how many documents a limit is reached, given the words of each in order; else None."""
        import numpy as np

        reached = []
        if self.max_documents is not None and len(words) >= self.max_documents:
            reached.append(self.max_documents)
        if self.max_tokens is not None and len(words):
            sums = np.cumsum(words, dtype=np.int64)
            if sums[-1] >= self.max_tokens:
                reached.append(int(np.searchsorted(sums, self.max_tokens)) + 1)
        return min(reached, default=None)


def counter(counted_in: CountedIn) -> Callable[[str], int]:
    """Return what counts the words of a text, or its runs."""
    from ulmfit.corpus.runs import count_runs
    from ulmfit.corpus.words import count_words

    return count_runs if counted_in == "runs" else count_words


def salted_hash(salt: str, key: str) -> int:
    """Return 64 bits that depend on nothing but `salt` and `key`."""
    digest = hashlib.blake2b(key.encode("utf-8", "surrogatepass"), digest_size=8, key=salt.encode())
    return int.from_bytes(digest.digest(), "big")


class SampleBound:
    """While documents arrive: the largest hash that a document of the sample may still have.

    Memory: 12 bytes per document that is in the sample so far. `threshold` is None until a limit of the
    selection is reached, and never rises afterwards. Documents with the same hash count once, as repeats do;
    if they are no repeats, the threshold is a little too high, which is safe.
    """

    def __init__(self, selection: Selection) -> None:
        import numpy as np

        self.threshold: int | None = None
        self._selection = selection
        self._kept = np.empty(0, np.uint64), np.empty(0, np.uint32)
        self._new: list[tuple[np.ndarray, np.ndarray]] = []
        self._number_of_new = 0

    def add(self, hashes: np.ndarray, words: np.ndarray) -> None:
        """Add the hashes (uint64) and numbers of words (uint32) of the next documents, in their order."""
        if not self._selection.samples:
            return
        if self._selection.min_words:
            long_enough = words >= self._selection.min_words
            hashes, words = hashes[long_enough], words[long_enough]
        if self.threshold is not None:
            within = hashes <= self.threshold
            hashes, words = hashes[within], words[within]
        self._new.append((hashes, words))
        self._number_of_new += len(hashes)
        # Each merge sorts everything that is kept, so merges are rare. A threshold that comes late is safe.
        if self._number_of_new >= max(FEWEST_MERGED, len(self._kept[0]) // 8):
            self._merge()

    def _merge(self) -> None:
        import numpy as np

        pairs = [self._kept, *self._new]
        self._new, self._number_of_new = [], 0
        hashes, first = np.unique(np.concatenate([pair[0] for pair in pairs]), return_index=True)
        words = np.concatenate([pair[1] for pair in pairs])[first]
        count = self._selection.reached(words)
        if count is not None:
            hashes, words = hashes[:count], words[:count]
            self.threshold = int(hashes[-1])
        self._kept = hashes, words
