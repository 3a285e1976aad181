"""Texts as hashes of units and of windows of units: the basis for finding copies of texts.

A unit is a word as `corpus.words.words_of` has it, whatever its case and width: a test holds that both agree.
Here they are cut with whole arrays, for speed. Texts are expected in NFC, as documents and data sets are.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise

import numpy as np

from ulmfit.corpus.words import UNSPACED, characters, is_format, is_mark

SEPARATOR, LETTER, ALONE, DIGIT, MARK, IGNORED, EXPANDED = range(7)
CHARACTERS_A_WORD = 2
"""Units that count as one word, if most units are characters."""
LONGEST_WINDOW = 256
PIECE_CHARACTERS = 1 << 18
UNICODE = 0x110000


@dataclass(frozen=True, slots=True)
class _Tables:
    """By code point: kind (uint8), folded character (uint32), random value (uint64; 0 for separators).

    `multipliers` are odd random numbers (uint64) for the places in a unit or a window.
    """

    kinds: np.ndarray
    folds: np.ndarray
    values: np.ndarray
    multipliers: np.ndarray


@dataclass(frozen=True, slots=True)
class Units:
    """The units of one text, in its characters (`codes`, `kinds`), and their hashes (uint64).

    Unit k lies between `bounds[k]` and `bounds[k + 1]`, with the separators behind it.
    """

    codes: np.ndarray
    kinds: np.ndarray
    bounds: np.ndarray
    hashes: np.ndarray

    def __len__(self) -> int:
        return len(self.hashes)

    @property
    def unspaced(self) -> bool:
        """Whether most units are characters."""
        return 2 * int(np.count_nonzero(self.kinds == ALONE)) > len(self)

    def length_of(self, words: int) -> int:
        """Return how many units of this text count as `words` words."""
        return words * CHARACTERS_A_WORD if self.unspaced else words

    def spelled(self, first: int, count: int) -> list[bytes]:
        """Return the folded characters of `count` units from `first` on, for an exact comparison."""
        bounds = self.bounds[first : first + count + 1].tolist()
        pieces = [slice(start, end) for start, end in pairwise(bounds)]
        folds = _tables().folds
        return [folds[self.codes[piece][self.kinds[piece] != SEPARATOR]].tobytes() for piece in pieces]

    def numbers(self) -> np.ndarray:
        """Return which units are digits only."""
        if not len(self):
            return np.zeros(0, bool)
        return np.logical_and.reduceat((self.kinds == DIGIT) | (self.kinds == SEPARATOR), self.bounds[:-1])


def units_of(text: str) -> Units:
    """Cut a text into units; punctuation, case, width and invisible formatting characters do not count."""
    parts = [_units_of_piece(piece) for piece in _pieces(text)]
    if len(parts) == 1:
        return parts[0]
    shifts = np.cumsum([0, *(len(part.codes) for part in parts)])
    starts = [part.bounds[:-1] + shift for part, shift in zip(parts, shifts[:-1], strict=True)]
    return Units(
        np.concatenate([part.codes for part in parts]),
        np.concatenate([part.kinds for part in parts]),
        np.concatenate([*starts, shifts[-1:]]),
        np.concatenate([part.hashes for part in parts]),
    )


def _pieces(text: str) -> Iterator[str]:
    """Cut a text at ends of lines, so that the arrays for a piece stay small."""
    start = 0
    while len(text) - start > PIECE_CHARACTERS:
        end = text.rfind("\n", start, start + PIECE_CHARACTERS) + 1 or start + PIECE_CHARACTERS
        yield text[start:end]
        start = end
    yield text[start:]


def _units_of_piece(text: str) -> Units:
    tables = _tables()
    codes, kinds = _characters(text, tables)
    bases = kinds
    if (kinds == MARK).any():
        codes, kinds, bases = _with_bases(codes, kinds)
    inside = kinds != SEPARATOR
    begins = inside.copy()
    begins[1:] &= ~inside[:-1]
    alone = kinds == ALONE
    if alone.any():
        begins |= alone
        begins[1:] |= (bases[:-1] == ALONE) & ((kinds[1:] == LETTER) | (kinds[1:] == DIGIT))
    bounds = np.append(np.flatnonzero(begins), len(codes))
    if len(bounds) == 1:
        return Units(codes, kinds, bounds, np.zeros(0, np.uint64))
    starts, head = bounds[:-1], int(bounds[0])
    places = np.arange(head, len(codes)) - np.repeat(starts, bounds[1:] - starts)
    values = tables.values.take(codes[head:]) * tables.multipliers.take(places, mode="clip")
    return Units(codes, kinds, bounds, mixed(np.add.reduceat(values, starts - head)))


def _with_bases(codes: np.ndarray, kinds: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return codes and kinds, with marks without a base as separators, and the kinds of the bases.

    The base of a mark is the last character before it that is none.
    """
    places = np.where(kinds == MARK, 0, np.arange(len(kinds)))
    bases = kinds[np.maximum.accumulate(places)]
    lost = (kinds == MARK) & ((bases == SEPARATOR) | (bases == MARK))  # MARK: at the beginning of the text
    return np.where(lost, ord(" "), codes), np.where(lost, SEPARATOR, kinds), np.where(lost, SEPARATOR, bases)


def windows(hashes: np.ndarray, length: int) -> np.ndarray:
    """Return a 64-bit hash of every `length` (at most 256) successive entries; none when there are fewer."""
    return windows_of_lengths(hashes, [length])[0]


def windows_of_lengths(hashes: np.ndarray, lengths: Sequence[int]) -> list[np.ndarray]:
    """Return what `windows` returns for each of several rising lengths, in the time of the longest."""
    multipliers = _tables().multipliers
    found: list[np.ndarray] = []
    total = np.zeros(len(hashes), np.uint64)
    for place in range(lengths[-1] if lengths else 0):
        count = max(0, len(hashes) - place)
        total = total[:count] + hashes[place:] * multipliers[place]
        if place + 1 == lengths[len(found)]:
            found.append(total)
    return found


def mixed(values: np.ndarray) -> np.ndarray:
    """Return a bijection of uint64 in which every bit depends on every bit (the finalizer of SplitMix64)."""
    values = (values ^ (values >> 30)) * 0xBF58476D1CE4E5B9
    values = (values ^ (values >> 27)) * 0x94D049BB133111EB
    return values ^ (values >> 31)


def _characters(text: str, tables: _Tables) -> tuple[np.ndarray, np.ndarray]:
    """Return the code points of a text and their kinds, none of them EXPANDED or IGNORED."""
    codes = _codes(text)
    kinds = tables.kinds.take(codes)
    special = kinds >= IGNORED
    if not special.any():
        return codes, kinds
    for character in sorted(set(map(chr, codes[kinds == EXPANDED]))):
        text = text.replace(character, _folded(character))
    codes = _codes(text)
    kinds = tables.kinds.take(codes)
    kept = kinds != IGNORED
    return codes[kept], kinds[kept]


def _codes(text: str) -> np.ndarray:
    return np.frombuffer(text.encode("utf-32-le", "surrogatepass"), np.uint32)


def _folded(characters: str) -> str:
    return unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", characters).casefold())


@lru_cache(maxsize=1)
def _tables() -> _Tables:
    kinds, folds = np.full(UNICODE, SEPARATOR, np.uint8), np.arange(UNICODE, dtype=np.uint32)
    for code in characters(UNICODE - 1):
        folded = _folded(chr(code))
        kinds[code] = _kind(folded) if len(folded) == 1 else EXPANDED
        folds[code] = ord(folded) if len(folded) == 1 else code
    numbers = mixed(np.arange(1, UNICODE + LONGEST_WINDOW + 1, dtype=np.uint64))
    values = np.where(kinds == SEPARATOR, 0, numbers[:UNICODE][folds])
    return _Tables(kinds, folds, values, numbers[UNICODE:] | 1)


def _kind(character: str) -> int:
    category = unicodedata.category(character)
    if category == "Nd":
        return DIGIT
    if is_format(character):
        return IGNORED
    if is_mark(character):
        return MARK
    if category[0] not in "LN" and character != "_":
        return SEPARATOR
    return ALONE if UNSPACED.match(character) else LETTER
