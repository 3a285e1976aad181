"""The normal form of a text, and the characters that mark capitals (`casing`) and repetitions (`repeats`).

The marks are private-use characters that `normalize` removes from texts, so a text can never contain one; a
literal `xxmaj` is text like any other.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence

MAJ = "\ue0f1"
"""Stands before a word whose first letter is a capital and whose other letters are small."""
UP = "\ue0f2"
"""Stands before a word of two letters or more that is written in capitals."""
REP = "\ue0f3"
"""Stands before the number of times that a character is repeated, and the character."""
WREP = "\ue0f4"
"""Stands before the number of times that a word is repeated, and the word."""
MARK_NAMES = {MAJ: "xxmaj", UP: "xxup"}
REPEAT_MARK_NAMES = {REP: "xxrep", WREP: "xxwrep"}
"""The marks with the names under which people see them; fastai's."""
WORD_BOUNDARY = "\u2581"
"""SentencePiece's sign for a space."""
REPLACEMENT = "\ufffd"
"""Replaces what no text may hold: the marks, and halves of surrogate pairs."""

_FOREIGN = re.compile(r"[\x00-\x08\x0e-\x1b\x7f-\x84\x86-\x9f\u2581\ue0f1-\ue0f4\ud800-\udfff]")
_FOREIGN_IN_WORD = re.compile(rf"{_FOREIGN.pattern}|[^\S ]")
_HALF_SURROGATES = re.compile(r"[\ud800-\udfff]")
_REPLACED = {WORD_BOUNDARY: "_", **dict.fromkeys((MAJ, UP, REP, WREP), REPLACEMENT)}


def normalize(text: str) -> str:
    """Return the normal form of `text`, which the tokenizer keeps exactly.

    Composed characters (NFC); every run of Unicode white space or control characters is one space, with none
    at either end; U+2581 is an underscore; the private-use characters of the marks and halves of surrogate
    pairs are U+FFFD. Nothing else changes: ligatures, superscripts and zero-width characters stay.
    `normalize(normalize(x)) == normalize(x)`.
    """
    if _FOREIGN.search(text):
        text = _FOREIGN.sub(_replacement, text)
    return " ".join(unicodedata.normalize("NFC", text).split())


def are_normal_words(words: Sequence[str]) -> bool:
    """Return whether each of `words`, one or more without spaces in them, is one word in normal form."""
    text = " ".join(words)
    # Every printable character except U+2581 may be in a word; isprintable() is faster than a search.
    plain = (text.isprintable() and WORD_BOUNDARY not in text) or not _FOREIGN_IN_WORD.search(text)
    return plain and unicodedata.is_normalized("NFC", text) and "  " not in f" {text} "


def without_half_surrogates(text: str) -> str:
    """Return `text` with U+FFFD in place of halves of surrogate pairs, which no file can hold."""
    return _HALF_SURROGATES.sub(REPLACEMENT, text)


def _replacement(match: re.Match[str]) -> str:
    character = match[0]
    if "\ud800" <= character <= "\udfff":
        return REPLACEMENT
    return _REPLACED.get(character, " ")
