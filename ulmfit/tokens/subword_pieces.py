"""What the samplers of words' pieces share: characters as arrays, the pieces, unknown characters.

SentencePiece has samplers of its own, but since version 0.2.3 they mix the seed with entropy of the process:
a run could not be repeated, and could not go on where it was killed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from ulmfit.tokens.tokenizer import UNK_ID


class WordSampler(Protocol):
    """Cuts words into pieces at random."""

    def sample(
        self, words: Sequence[str], chosen: np.ndarray, alpha: float, generator: np.random.Generator
    ) -> tuple[np.ndarray, np.ndarray]:
        """Return ids of `words[i]` for each i of `chosen`, one after another (int64), and how many each has.

        Every word is drawn on its own, however often it is chosen. A character without a piece is the number
        of pieces and its code point.
        """


@dataclass(frozen=True)
class Pieces:
    """The pieces that words are made of."""

    ids: Mapping[str, int]
    """Pieces with their ids; without special tokens and bytes."""
    scores: np.ndarray
    """Score of each id, special tokens included; float64."""
    byte_ids: np.ndarray | None
    """Ids of the 256 bytes, where characters without a piece are bytes; else they are xxunk."""

    @property
    def size(self) -> int:
        """The number of ids."""
        return len(self.scores)

    def resolved(self, ids: np.ndarray, lengths: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Replace characters without a piece: by their bytes, or each run of them within a word by xxunk."""
        unknown = ids >= self.size
        if not unknown.any():
            return ids, lengths
        words = np.repeat(np.arange(len(lengths)), lengths)
        if self.byte_ids is None:
            again = unknown[1:] & unknown[:-1] & (words[1:] == words[:-1])
            kept = np.append(True, ~again)
            ids, words = np.where(unknown, UNK_ID, ids)[kept], words[kept]
        else:
            encoded = [list(chr(code).encode()) for code in ids[unknown] - self.size]
            counts = np.ones(len(ids), np.int64)
            counts[unknown] = list(map(len, encoded))
            ids, words = np.repeat(ids, counts), np.repeat(words, counts)
            ids[np.repeat(unknown, counts)] = self.byte_ids[np.concatenate(encoded)]
        return ids, np.bincount(words, minlength=len(lengths))


def characters_of(words: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
    """Return the code points of all words, one after another, and where each begins, and the end; int64."""
    codes = np.frombuffer("".join(words).encode("utf-32-le"), np.uint32).astype(np.int64)
    return codes, np.append(0, np.cumsum([len(word) for word in words], dtype=np.int64))
