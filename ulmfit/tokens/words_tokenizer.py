"""A tokenizer of whole words: the frequent ones have an id, every other one is xxunk.

The baseline that papers compare subwords with. A word is a run of letters, marks and numbers of any script;
the vowel signs of Indic scripts are marks, and the joiners U+200C and U+200D count as such. Every other
character is a word of its own, with the marks behind it. So is an apostrophe: `l'eau` is `l`, `'` and `eau`,
because languages that elide would have their nouns several times otherwise, and how a word is cut should not
depend on the language; where the apostrophe is a letter (U+02BC), it stays in its word. In languages that
set no spaces (`corpus.words.sets_no_spaces`), each character of their scripts with its marks is a word, as in
`corpus.words`: whole runs hardly ever come back. In other languages such runs are rare, and stay whole.
"""

from __future__ import annotations

import hashlib
import re
import sys
import unicodedata
from collections.abc import Iterable, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any, Self

import numpy as np

from ulmfit.corpus.words import WITHOUT_SPACES
from ulmfit.pipeline.errors import InputError
from ulmfit.pipeline.files import read_bytes, write_json, write_text
from ulmfit.tokens.marks import MAJ, MARK_NAMES, REP, REPLACEMENT, UP, WORD_BOUNDARY, WREP
from ulmfit.tokens.text_form import Rules, TextForm, read_rules
from ulmfit.tokens.tokenizer import FORMAT_VERSION, RULES_FILE, SPECIALS, Tokenizer

WORDS_FILE = "words.txt"
WORDS_RULE = (
    "a word is a run of letters, marks, numbers and joiners, or one other character with the marks behind "
    "it; U+2581 before it is the space before it"
)
CHARACTERS_RULE = "a character of a script without spaces is a word of its own, with the marks behind it"
JOINERS = (0x200C, 0x200D)
WORDS_PER_LINE = 128
"""Words that are cut together, which is faster."""


class WordsTokenizer(Tokenizer):
    """A tokenizer whose pieces are whole words, each with the space before it if there is one.

    `decode(encode([x])[0]) == form.normal(x)` for every text whose words all are in the vocabulary.
    """

    kind = "words"

    def __init__(self, vocabulary: Sequence[str], rules: Rules, *, characters: bool = False) -> None:
        """Take all pieces in the order of their ids, `reserved_pieces(rules)` first.

        `characters`: each character of a script without spaces is a word.
        Raises InputError when other ones are first, or when a piece comes twice.
        """
        self.rules = rules
        self.language = rules.language
        self.form = TextForm(rules)
        self.characters = characters
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
        pieces, lengths = cut_words(words, self.form, characters=self.characters)
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

    def save(self, folder: Path) -> None:
        """Write `words.txt`, one piece a line, and `tokenizer.json` into an existing folder."""
        write_text(folder / WORDS_FILE, self._lines())
        write_json(folder / RULES_FILE, self._description())

    @classmethod
    def read(cls, folder: Path, rules: dict[str, Any]) -> Self:
        """Read what `save` wrote; raises InputError when it is missing, or altered."""
        path = folder / WORDS_FILE
        try:
            content = read_bytes(path)
        except OSError as error:
            raise InputError(
                f"{folder} is no tokenizer folder ({error.strerror or error}): expected {WORDS_FILE} in it"
            ) from error
        if rules.get("words_sha256") != hashlib.sha256(content).hexdigest():
            raise InputError(f"{path} is not the file that {RULES_FILE} names: copy the folder again")
        form = read_rules(rules, folder / RULES_FILE)
        written = rules.get("rules")
        characters = isinstance(written, list) and CHARACTERS_RULE in written
        try:
            vocabulary = content.decode().removesuffix("\n").split("\n")
            tokenizer = cls(vocabulary, form, characters=characters)
        except (InputError, UnicodeDecodeError) as error:
            raise InputError(f"{path}: {error}") from error
        if tokenizer._description() != rules:
            raise InputError(
                f"{folder / RULES_FILE} does not describe {WORDS_FILE} beside it: copy the folder again"
            )
        return tokenizer

    def _lines(self) -> str:
        """No piece has a line end in it: normalised texts have spaces for all white space."""
        return "".join(f"{piece}\n" for piece in self._vocabulary)

    def _description(self) -> dict[str, Any]:
        return {
            "version": FORMAT_VERSION,
            "kind": self.kind,
            **self.rules.description(),
            "size": self.size,
            "specials": SPECIALS,
            "mark_characters": {name: f"U+{ord(mark):04X}" for mark, name in self.rules.mark_names().items()},
            "dotless_i": self.form.marker.dotless_i if self.form.marker else False,
            "rules": [*self.rules.in_words(), WORDS_RULE, *[CHARACTERS_RULE] * self.characters],
            "words_sha256": hashlib.sha256(self._lines().encode()).hexdigest(),
        }


def reserved_pieces(rules: Rules) -> list[str]:
    """Return the pieces that stand first in every vocabulary: special tokens and the marks' names."""
    return [*SPECIALS, *rules.mark_names().values()]


def cut_words(
    words: Sequence[str], form: TextForm, *, characters: bool = False
) -> tuple[list[str], np.ndarray]:
    """Return marks and words of what stands between spaces, and how many of them each has (int64).

    The first of each has a space before it, or is a mark and the next one has it. `characters`: those of
    scripts without spaces are words of their own.
    """
    pattern = _piece_pattern(characters)
    pieces: list[str] = []
    for first in range(0, len(words), WORDS_PER_LINE):
        line = form.write_words(f" {' '.join(words[first : first + WORDS_PER_LINE])}")
        pieces += pattern.findall(line)
    begins = np.array([piece[0] == " " for piece in pieces], bool)
    marks = np.array([piece in MARK_NAMES for piece in pieces], bool)
    moved = marks[:-1] & begins[1:]
    begins[1:] &= ~moved
    begins[:-1] |= moved
    return pieces, np.diff(np.append(np.flatnonzero(begins), len(pieces)))


@lru_cache(maxsize=2)
def _piece_pattern(characters: bool) -> re.Pattern[str]:
    """Return a pattern for a mark, the number behind xxrep, or a word with the space before it."""
    extending = _extending_characters()
    marks = f"[{MAJ}{UP}{REP}{WREP}]"
    number = f"(?<={REP})[1-9][0-9]{{0,2}}"
    alone, others = (f"[{WITHOUT_SPACES}][{extending}]*|", WITHOUT_SPACES) if characters else ("", "")
    run = rf"(?:[^\W_{others}]+|[{extending}]+)+"
    return re.compile(f"{marks}|{number}| ?(?:{alone}{run}|[^ ][{extending}]*)")


def _extending_characters() -> str:
    """Return marks and joiners as ranges for a pattern; one by one, those past U+FFFF make `re` slow."""
    runs: list[list[int]] = []
    for code in range(sys.maxunicode + 1):
        if code in JOINERS or unicodedata.category(chr(code)).startswith("M"):
            if runs and runs[-1][1] == code - 1:
                runs[-1][1] = code
            else:
                runs.append([code, code])
    return "".join(f"{chr(first)}-{chr(end)}" for first, end in runs)
