"""Subword regularisation of a byte-pair model: BPE-dropout (Provilkov et al. 2020, arXiv 1910.13267).

A word is merged as usual, except that each merge that becomes possible is left out with a probability. All
words are merged together, in rounds: one merge per word and round.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ulmfit.tokens.subword_pieces import Pieces, characters_of

NEVER = np.iinfo(np.int64).max
"""Rank that stands for "no merge here"."""
WORDS_TOGETHER = 50_000


class BPESampler:
    """Merges characters to the pieces of a byte-pair model, best scores first."""

    def __init__(self, pieces: Pieces) -> None:
        self._size = pieces.size
        characters = {ord(piece): index for piece, index in pieces.ids.items() if len(piece) == 1}
        codes = sorted(characters)
        # The last code belongs to no character: a failed search ends there.
        self._codes = np.array([*codes, -1], np.int64)
        self._code_ids = np.array([*(characters[code] for code in codes), 0], np.int64)
        by_score = sorted(pieces.ids.items(), key=lambda item: (-pieces.scores[item[1]], item[1]))
        self._ids_by_rank = np.array([index for _, index in by_score], np.int64)
        self._build_merges(pieces, [piece for piece, _ in by_score])

    def sample(
        self, words: Sequence[str], chosen: np.ndarray, alpha: float, generator: np.random.Generator
    ) -> tuple[np.ndarray, np.ndarray]:
        """Return ids of the chosen words, and how many each has, as `WordSampler.sample` says.

        `alpha` is the probability that a merge is left out.
        """
        codes, begins = characters_of(words)
        symbols = self._symbols(codes)
        ids, lengths = [np.zeros(0, np.int64)], [np.zeros(0, np.int64)]
        for start in range(0, len(chosen), WORDS_TOGETHER):
            some = chosen[start : start + WORDS_TOGETHER]
            counts = begins[some + 1] - begins[some]
            shifts = begins[some] - np.append(0, np.cumsum(counts)[:-1])
            places = np.arange(counts.sum()) + np.repeat(shifts, counts)
            merged, owners = self._merged(
                symbols[places], np.repeat(np.arange(len(some)), counts), alpha, generator
            )
            ids.append(merged)
            lengths.append(np.bincount(owners, minlength=len(some)))
        return np.concatenate(ids), np.concatenate(lengths)

    def _build_merges(self, pieces: Pieces, by_score: list[str]) -> None:
        merges: dict[int, int] = {}
        for rank, piece in enumerate(by_score):
            for cut in range(1, len(piece)):
                left, right = pieces.ids.get(piece[:cut]), pieces.ids.get(piece[cut:])
                if left is not None and right is not None:
                    merges[left * self._size + right] = rank
        keys = np.fromiter(merges, np.int64, len(merges))
        order = np.argsort(keys)
        self._keys = np.append(keys[order], -1)
        self._ranks = np.append(np.fromiter(merges.values(), np.int64, len(merges))[order], NEVER)

    def _symbols(self, codes: np.ndarray) -> np.ndarray:
        places = np.searchsorted(self._codes[:-1], codes)
        return np.where(self._codes[places] == codes, self._code_ids[places], self._size + codes)

    def _merged(
        self, symbols: np.ndarray, owners: np.ndarray, alpha: float, generator: np.random.Generator
    ) -> tuple[np.ndarray, np.ndarray]:
        """Return symbols after all merges, and the words they belong to; `owners` are those of `symbols`."""
        finished: list[tuple[np.ndarray, np.ndarray]] = []
        ranks = self._ranks_after(symbols, owners, np.arange(len(symbols)), alpha, generator)
        while len(symbols):
            begins = np.flatnonzero(np.diff(owners, prepend=-1))
            counts = np.diff(np.append(begins, len(symbols)))
            best = np.minimum.reduceat(ranks, begins)
            active = np.repeat(best < NEVER, counts)
            finished.append((symbols[~active], owners[~active]))
            best_here = np.repeat(best, counts)[active]
            symbols, owners, ranks = symbols[active], owners[active], ranks[active]
            # Of several places in a word the first one.
            places = np.flatnonzero(ranks == best_here)
            places = places[np.diff(owners[places], prepend=-1) > 0]
            symbols[places] = self._ids_by_rank[ranks[places]]
            kept = np.ones(len(symbols), bool)
            kept[places + 1] = False
            symbols, owners, ranks = symbols[kept], owners[kept], ranks[kept]
            places -= np.arange(len(places))
            ranks[places] = self._ranks_after(symbols, owners, places, alpha, generator)
            before = places[places > 0] - 1
            before = before[owners[before] == owners[before + 1]]
            ranks[before] = self._ranks_after(symbols, owners, before, alpha, generator)
        if not finished:
            return symbols, owners
        symbols, owners = (np.concatenate(parts) for parts in zip(*finished, strict=True))
        order = np.argsort(owners, kind="stable")
        return symbols[order], owners[order]

    def _ranks_after(
        self,
        symbols: np.ndarray,
        owners: np.ndarray,
        places: np.ndarray,
        alpha: float,
        generator: np.random.Generator,
    ) -> np.ndarray:
        """Return the ranks of merging the symbols at `places` with the next ones, if that is not left out."""
        ranks = np.full(len(places), NEVER)
        inside = np.flatnonzero(places + 1 < len(symbols))
        inside = inside[owners[places[inside]] == owners[places[inside] + 1]]
        left, right = symbols[places[inside]], symbols[places[inside] + 1]
        keys = np.where((left < self._size) & (right < self._size), left * self._size + right, NEVER)
        hits = np.searchsorted(self._keys[:-1], keys)
        found = self._keys[hits] == keys
        inside, hits = inside[found], hits[found]
        taken = generator.random(len(inside)) >= alpha
        ranks[inside[taken]] = self._ranks[hits[taken]]
        return ranks
