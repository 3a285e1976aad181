"""Subword regularisation of a unigram model (Kudo 2018, arXiv 1804.10959).

All segmentations of a word are paths in a lattice, whose nodes are the places between its characters and
whose edges are pieces. The probability of a path is proportional to (the product of its pieces'
probabilities) ** alpha. Paths are drawn from the end of the word, one edge at a time (forward filtering,
backward sampling). Everything is done for many words at once.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from ulmfit.tokens.sentencepiece_model import UNKNOWN_PENALTY
from ulmfit.tokens.subword_pieces import Pieces, characters_of

CODE_BITS = 21
"""Number of Unicode code points."""


@dataclass(frozen=True)
class Lattices:
    """The lattices of some words.

    Nodes have numbers from 0 over all words; edges are sorted by their end node.
    """

    first: np.ndarray
    """First node of each word."""
    last: np.ndarray
    """Last node of each word."""
    origins: np.ndarray
    """The node that each edge begins in."""
    ids: np.ndarray
    """The piece of each edge."""
    thresholds: np.ndarray
    """Of each edge: its end node, and the probability of the edges into that node up to this one."""


class UnigramSampler:
    """Draws segmentations by the scores of a unigram model's pieces."""

    def __init__(self, pieces: Pieces) -> None:
        self._size = pieces.size
        self._unknown_score = min(pieces.scores[list(pieces.ids.values())]) - UNKNOWN_PENALTY
        self._scores = pieces.scores
        self._build_trie(pieces)

    def sample(
        self, words: Sequence[str], chosen: np.ndarray, alpha: float, generator: np.random.Generator
    ) -> tuple[np.ndarray, np.ndarray]:
        """Return ids of the chosen words, and how many each has, as `WordSampler.sample` says."""
        if not len(chosen):
            return np.zeros(0, np.int64), np.zeros(0, np.int64)
        lattices = self._lattices(words, alpha)
        nodes, first = lattices.last[chosen], lattices.first[chosen]
        steps: list[tuple[np.ndarray, np.ndarray]] = []
        active = np.arange(len(chosen))
        while len(active):
            ends = nodes[active]
            # The sum may be rounded up to the next node.
            drawn = np.minimum(ends + generator.random(len(active)), np.nextafter(ends + 1.0, 0.0))
            edges = np.searchsorted(lattices.thresholds, drawn, side="right")
            steps.append((active, lattices.ids[edges]))
            nodes[active] = lattices.origins[edges]
            active = active[nodes[active] > first[active]]
        lengths = np.bincount(np.concatenate([active for active, _ in steps]), minlength=len(chosen))
        last = np.cumsum(lengths) - 1
        ids = np.empty(lengths.sum(), np.int64)
        for step, (active, drawn_ids) in enumerate(steps):
            ids[last[active] - step] = drawn_ids
        return ids, lengths

    def _build_trie(self, pieces: Pieces) -> None:
        children: dict[int, int] = {}
        ids = [-1]
        for piece, index in pieces.ids.items():
            node = 0
            for character in piece:
                node = children.setdefault(node << CODE_BITS | ord(character), len(ids))
                if node == len(ids):
                    ids.append(-1)
            ids[node] = index
        keys = np.fromiter(children, np.int64, len(children))
        order = np.argsort(keys)
        # The last key equals no other: a failed search ends there.
        self._keys = np.append(keys[order], np.iinfo(np.int64).max)
        self._children = np.append(np.fromiter(children.values(), np.int64, len(children))[order], 0)
        self._ids = np.array(ids)

    def _lattices(self, words: Sequence[str], alpha: float) -> Lattices:
        codes, begins = characters_of(words)
        word_of = np.repeat(np.arange(len(words)), np.diff(begins))
        first, last = begins[:-1] + np.arange(len(words)), begins[1:] + np.arange(len(words))
        begin, end, ids = self._edges(codes, begins[1:][word_of])
        origins, ends = begin + word_of[begin], end + word_of[begin]
        known = ids < self._size
        weights = alpha * np.where(known, self._scores[np.where(known, ids, 0)], self._unknown_score)
        totals = _forward(origins, ends, weights, ends - first[word_of[begin]], len(codes) + len(words))
        order = np.argsort(ends, kind="stable")
        origins, ends, weights = origins[order], ends[order], weights[order]
        shares = np.cumsum(np.exp(totals[origins] + weights - totals[ends]))
        is_last = np.append(ends[1:] != ends[:-1], True)
        before = np.repeat(
            np.append(0, shares[is_last][:-1]), np.diff(np.append(-1, np.flatnonzero(is_last)))
        )
        within = np.where(is_last, 1.0, np.minimum(shares - before, 1.0))
        return Lattices(first, last, origins, ids[order], ends + within)

    def _edges(self, codes: np.ndarray, limits: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return where pieces begin and end among the characters, and their ids.

        `limits` are the ends of the characters' words. A character without a piece counts as a piece.
        """
        begin = place = np.arange(len(codes))
        nodes = np.zeros(len(codes), np.int64)
        found = []
        while len(begin):
            keys = nodes << CODE_BITS | codes[place]
            hits = np.searchsorted(self._keys, keys)
            exists = self._keys[hits] == keys
            begin, place, nodes = begin[exists], place[exists] + 1, self._children[hits[exists]]
            ids = self._ids[nodes]
            found.append((begin[ids >= 0], place[ids >= 0], ids[ids >= 0]))
            inside = place < limits[begin]
            begin, place, nodes = begin[inside], place[inside], nodes[inside]
        is_unknown = np.ones(len(codes), bool)
        is_unknown[found[0][0]] = False
        unknown = np.flatnonzero(is_unknown)
        found.append((unknown, unknown + 1, self._size + codes[unknown]))
        begins, ends, ids_found = (np.concatenate(parts) for parts in zip(*found, strict=True))
        return begins, ends, ids_found


def _forward(
    origins: np.ndarray, ends: np.ndarray, weights: np.ndarray, places: np.ndarray, nodes: int
) -> np.ndarray:
    """Return the logarithm of the summed weights of all paths to each node.

    `places` are the distances of the ends from their words' first nodes.
    """
    order = np.lexsort((ends, places))
    origins, ends, weights = origins[order], ends[order], weights[order]
    totals = np.zeros(nodes)
    bounds = np.append(np.flatnonzero(np.diff(places[order], prepend=0)), len(order))
    for first, last in pairwise(bounds):
        into = ends[first:last]
        begins = np.flatnonzero(np.diff(into, prepend=-1))
        values = totals[origins[first:last]] + weights[first:last]
        totals[into[begins]] = np.logaddexp.reduceat(values, begins)
    return totals
