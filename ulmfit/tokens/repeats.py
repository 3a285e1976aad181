"""Marks that stand for repetitions: exact, and optional.

Four or more equal characters are a mark, their number and one of them: `soooo` -> `s⟨rep⟩4o`. Three and
fewer keep their letters, because ordinary spelling has them (`www`, `...`, `III`, `Schifffahrt`); so do
digits, whose number is part of what they say. Three or more equal words are a mark, their number and one of
them, as in `⟨wrep⟩ 3 very`. Numbers end at 999, so that no sequence of marks can ask for an endless text;
longer repetitions are written in several parts.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import groupby

from ulmfit.tokens.marks import MARK_NAMES, REP, REPEAT_MARK_NAMES, WREP

LARGEST_COUNT = 999
FEWEST_WORDS = 3

_ANY_MARK = "".join({**MARK_NAMES, **REPEAT_MARK_NAMES})
_CHARACTERS = re.compile(r"([^\s\d])\1{3,998}")
_NUMBER = r"([1-9][0-9]{0,2})"
_MARKED_CHARACTERS = re.compile(rf"{REP}(?:{_NUMBER}([^\s\d{_ANY_MARK}]))?")
_MARKED_WORDS = re.compile(rf"{WREP}(?: {_NUMBER}( [^\s{_ANY_MARK}]+))?")


def collapse_characters(text: str) -> str:
    """Return `text` with marks in place of repeated characters."""
    return _CHARACTERS.sub(lambda match: f"{REP}{len(match[0])}{match[1]}", text)


def expand_characters(text: str) -> str:
    """Return `text` with the characters that the marks stand for; a mark before no number is dropped."""
    return _MARKED_CHARACTERS.sub(lambda match: int(match[1] or 0) * (match[2] or ""), text)


def collapse_words(words: Sequence[str]) -> tuple[list[str], list[int]]:
    """Return words with numbers in place of repetitions, and the indices of those numbers."""
    collapsed: list[str] = []
    numbers: list[int] = []
    for word, run in groupby(words):
        left = sum(1 for _ in run)
        while left >= FEWEST_WORDS:
            count = min(left, LARGEST_COUNT)
            numbers.append(len(collapsed))
            collapsed += [str(count), word]
            left -= count
        collapsed += [word] * left
    return collapsed, numbers


def collapse_words_of(text: str) -> str:
    """Return a normalised text with marks in place of repeated words, and a space before every word."""
    words, numbers = collapse_words(text.split(" "))
    spaced = [f" {word}" for word in words]
    for index in numbers:
        spaced[index] = WREP + spaced[index]
    return "".join(spaced)


def expand_words(text: str) -> str:
    """Return `text` with the words that the marks stand for; a mark before no number is dropped."""
    return _MARKED_WORDS.sub(lambda match: int(match[1] or 0) * (match[2] or ""), text)
