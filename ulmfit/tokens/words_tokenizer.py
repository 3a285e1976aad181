"""A tokenizer of whole words: the frequent ones have an id, every other one is xxunk.

The baseline that papers compare subwords with. A word is a run of letters, marks and numbers of any script;
the vowel signs of Indic scripts are marks, and the joiners U+200C and U+200D count as such. Every other
character is a word of its own, with the marks behind it. So is an apostrophe: `l'eau` is `l`, `'` and `eau`,
because otherwise the nouns of languages with elision would be in the vocabulary several times, and how a word
is cut should not depend on the language; where the apostrophe is a letter (U+02BC), it stays in its word. In
scripts without spaces between words most runs of letters occur only once: use subwords for them.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable, Sequence
from functools import lru_cache
from typing import Self

import numpy as np

from ulmfit.corpus.words import is_mark, listed
from ulmfit.pipeline.errors import InputError
from ulmfit.tokens.marks import MAJ, MARK_NAMES, REP, REPLACEMENT, UP, WORD_BOUNDARY, WREP
from ulmfit.tokens.text_form import Rules, TextForm
from ulmfit.tokens.tokenizer import SPECIALS, Tokenizer

WORDS_FILE = "words.txt"
WORDS_RULE = (
    "a word is a run of letters, marks, numbers and joiners, or one other character with the marks behind "
    "it; U+2581 before it is the space before it"
)
JOINERS = (0x200C, 0x200D)
WORDS_PER_LINE = 128
"""Words that are cut together, for speed."""


class WordsTokenizer(Tokenizer):
    """A tokenizer whose pieces are whole words, each with the space before it if there is one.

    `decode(encode([x])[0]) == form.normal(x)` for every text whose words all are in the vocabulary.
    """

    kind, file, hash_field = "words", WORDS_FILE, "words_sha256"
    own_rules = (WORDS_RULE,)

    def __init__(self, vocabulary: Sequence[str], rules: Rules) -> None:
        """Take all pieces in the order of their ids, `reserved_pieces(rules)` first.

        Raises InputError when other ones are first, or when a piece comes twice.
        """
        self.rules = rules
        self.language = rules.language
        self.form = TextForm(rules)
        self.size = len(vocabulary)
        self._vocabulary = list(vocabulary)
        reserved = reserved_pieces(rules)
        if self._vocabulary[: len(reserved)] != reserved or len(set(vocabulary)) != self.size:
            raise InputError(
                f"the vocabulary does not begin with {', '.join(reserved)}, or has a word twice: "
                f"use one that this program wrote"
            )
        if rules.repeats:
            self.repetition_id = self._vocabulary.index(rules.mark_names()[WREP])
        marks = list(rules.mark_names())
        words = [piece.replace(WORD_BOUNDARY, " ") for piece in self._vocabulary[len(reserved) :]]
        self._contents = [f" {REPLACEMENT}", "", "", "", *marks, *words]
        self._ids = {content: index for index, content in enumerate(self._contents) if index >= len(SPECIALS)}

    @property
    def vocabulary(self) -> list[str]:
        """The pieces in the order of their ids; U+2581 is the space before a word."""
        return list(self._vocabulary)

    def encode_words(self, words: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
        """Return the ids of normalised words, and how many each has."""
        pieces, lengths = cut_words(words, self.form)
        return np.array([self._ids.get(piece, self.unk_id) for piece in pieces], np.int32), lengths

    def sample(self, texts: Sequence[str], alpha: float, seed: int) -> list[np.ndarray]:
        """Raise InputError: a whole word cannot be cut in another way."""
        raise InputError(
            "subword_sampling: a tokenizer of words has no other pieces to choose from; set it to 0, or take "
            "model_type unigram or bpe"
        )

    def decode(self, ids: Iterable[int]) -> str:
        """Return the text of `ids` in normal form; xxunk is a word U+FFFD, other special tokens nothing."""
        return self.form.read("".join(map(self._contents.__getitem__, ids)))

    def content(self) -> bytes:
        """Return `words.txt`, one piece per line; no piece has a line end, which normalised texts lack."""
        return "".join(f"{piece}\n" for piece in self._vocabulary).encode()

    @classmethod
    def from_content(cls, content: bytes, rules: Rules) -> Self:
        """Make the tokenizer from the bytes of `words.txt`; raises InputError or UnicodeDecodeError."""
        return cls(content.decode().removesuffix("\n").split("\n"), rules)


def reserved_pieces(rules: Rules) -> list[str]:
    """Return the pieces that stand first in every vocabulary: special tokens and the marks' names."""
    return [*SPECIALS, *rules.mark_names().values()]


def cut_words(words: Sequence[str], form: TextForm) -> tuple[list[str], np.ndarray]:
    """Return marks and words of what stands between spaces, and how many of them each has (int64).

    The first of each has a space before it, or is a mark and the next one has it.
    """
    pieces: list[str] = []
    for first in range(0, len(words), WORDS_PER_LINE):
        line = form.write_words(f" {' '.join(words[first : first + WORDS_PER_LINE])}")
        pieces += _piece_pattern().findall(line)
    begins = np.array([piece[0] == " " for piece in pieces], bool)
    marks = np.array([piece in MARK_NAMES for piece in pieces], bool)
    moved = marks[:-1] & begins[1:]
    begins[1:] &= ~moved
    begins[:-1] |= moved
    return pieces, np.diff(np.append(np.flatnonzero(begins), len(pieces)))


@lru_cache(maxsize=1)
def _piece_pattern() -> re.Pattern[str]:
    """Return a pattern for a mark, the number behind xxrep, or a word with the space before it."""
    # As ranges: one by one, the characters past U+FFFF make `re` slow.
    extending = listed(lambda one: ord(one) in JOINERS or is_mark(one), sys.maxunicode)
    marks = f"[{MAJ}{UP}{REP}{WREP}]"
    number = f"(?<={REP})[1-9][0-9]{{0,2}}"
    run = rf"(?:[^\W_]+|[{extending}]+)+"
    return re.compile(f"{marks}|{number}| ?(?:{run}|[^ ][{extending}]*)")
