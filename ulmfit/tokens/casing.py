"""The casing rule: capitals become marks and small letters, and come back exactly.

A word with a capital first letter becomes a mark and the word in small letters, and so does a word in
capitals; `Berlin`, `BERLIN` and `berlin` then share their pieces. A word that could not be restored exactly
(`McDonald`, `STRAßE`, titlecase digraphs) keeps its letters and gets no mark. A word consists of letters
here, with the combining marks and joiners that belong to it (`corpus.words`). The mark stands before the
space, so that the piece with the space in front is shared too: `in Berlin` -> `in⟨maj⟩ berlin`.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Callable
from functools import lru_cache

from ulmfit.corpus.words import is_format, is_mark, listed
from ulmfit.tokens.marks import MAJ, UP

DOTLESS_I_LANGUAGES = frozenset({"tr", "az", "crh", "gag", "tt"})
"""Languages in which the capital of ı is I, and the capital of i is İ."""
OTHER_CODES = {"tur": "tr", "aze": "az", "azj": "az", "tat": "tt"}
"""Codes of three letters for some of them, under which their I would be read as elsewhere."""

_LETTER = r"[^\W\d_]"
_ONE_LETTER = re.compile(_LETTER)
_EMOJI_MARKS = frozenset(map(chr, [*range(0xFE00, 0xFE10), *range(0x20DD, 0x20F0), *range(0xE0100, 0xE01F0)]))
"""Marks that make an emoji of the character before them: a word may begin behind one (`❤️Danke`)."""
_ASTRAL = re.compile("[\U00010000-\U0010ffff]")


class Marker:
    """Marks capitals in normalised texts of one language, and restores them."""

    def __init__(self, language: str) -> None:
        """`language` is a code such as `de` or `tr-TR`; only the dotless i depends on it."""
        self.dotless_i = re.split("[-_]", language.lower())[0] in DOTLESS_I_LANGUAGES
        self._lower: Callable[[str], str] = _lower_dotless if self.dotless_i else str.lower
        self._upper: Callable[[str], str] = _upper_dotless if self.dotless_i else str.upper

    def mark(self, text: str) -> str:
        """Return the normalised `text` with marks in place of capitals."""
        parts = _capitalised_words(bool(_ASTRAL.search(text))).split(text)
        if len(parts) == 1:
            return text
        # The small form of a letter may depend on its neighbours, but never across a line end.
        words = parts[1::2]
        parts[1::2] = map(self._mark_word, words, self._lower("\n".join(words)).split("\n"))
        return "".join(parts).replace(f" {MAJ}", f"{MAJ} ").replace(f" {UP}", f"{UP} ")

    def unmark(self, text: str) -> str:
        """Return `text` with the marks turned into capitals; a mark before no word is dropped."""
        return _marked().sub(self._restore, text)

    def _mark_word(self, word: str, small: str) -> str:
        """Return the marked form of a word that begins with a capital, or the word itself."""
        if small == word or not (small.isalpha() or _word().fullmatch(small)):
            return word
        if self._upper(small[0]) + small[1:] == word:
            return MAJ + small
        if len(word) > 1 and self._upper(small) == word:
            return UP + small
        return word

    def _restore(self, match: re.Match[str]) -> str:
        mark, space, word = match.groups()
        return space + (self._capitalise(word) if mark == MAJ else self._upper(word))

    def _capitalise(self, word: str) -> str:
        return self._upper(word[:1]) + word[1:]


def _lower_dotless(text: str) -> str:
    return text.replace("I", "ı").replace("İ", "i").lower()


def _upper_dotless(text: str) -> str:
    return text.replace("i", "İ").replace("ı", "I").upper()


def _belongs_to_word(character: str) -> bool:
    return is_mark(character) or is_format(character)


@lru_cache(maxsize=1)
def _inside() -> str:
    """Return a pattern for the rest of a word behind its first letter."""
    joined = listed(_belongs_to_word, sys.maxunicode)
    return f"{_LETTER}*(?:[{joined}]+{_LETTER}*)*"


@lru_cache(maxsize=1)
def _word() -> re.Pattern[str]:
    return re.compile(f"{_LETTER}{_inside()}")


@lru_cache(maxsize=1)
def _marked() -> re.Pattern[str]:
    return re.compile(f"([{MAJ}{UP}])( ?)((?:{_LETTER}{_inside()})?)")


@lru_cache(maxsize=2)
def _capitalised_words(astral: bool) -> re.Pattern[str]:
    """Return a pattern for the words that begin with a capital, in texts with or without astral characters.

    `re` has no name for capitals, so they are listed, and so are letters, to be found faster. Lists that go
    past U+FFFF are several times slower, hence two patterns.
    """
    last = sys.maxunicode if astral else 0xFFFF
    capitals = listed(str.isupper, last)
    before = listed(lambda one: is_mark(one) and one not in _EMOJI_MARKS, last)
    if astral:
        return re.compile(f"([{capitals}](?<!{_LETTER}.)(?<![{before}].){_inside()})")
    letters = listed(_ONE_LETTER.match, last)
    joined = listed(_belongs_to_word, last)
    return re.compile(f"([{capitals}](?<![{letters}{before}].)[{letters}{joined}]*)")
