"""Runs between spaces and punctuation: the size of a text as MultiFiT measured it.

It counted the tokens of Moses and the lines. A run of letters, digits, hyphens and inner full stops is one,
and so is each other sign. A sentence in Chinese or Japanese is a few runs, where `words` counts its
characters. This is Moses without its lists of abbreviations, so counts differ by a few per mille; its
present version leaves the signs of Chinese and Japanese in words, here they are signs in every language.
"""

from __future__ import annotations

import re
import unicodedata
from functools import lru_cache

from ulmfit.corpus.words import listed

_LETTERS_OF_MOSES = "-`"
"""Signs that Moses leaves in words."""


def count_runs(text: str) -> int:
    """Return the number of runs and signs of `text`, and one more per line."""
    if not text:
        return 0
    return sum(1 for _ in _run_pattern().finditer(text)) + text.count("\n") + 1


@lru_cache(maxsize=1)
def _run_pattern() -> re.Pattern[str]:
    """Return a pattern for a run, a row of full stops, or a sign; signs past U+FFFF count as letters."""
    signs = listed(_is_sign, 0xFFFF)
    run = rf"[^\s{signs}]+"
    return re.compile(rf"{run}(?:(?:\.|(?<=\d),(?=\d)){run})*|\.+|[{signs}]")


def _is_sign(character: str) -> bool:
    """Return whether a character is punctuation or a symbol that stands alone."""
    return unicodedata.category(character)[0] in "PS" and character not in _LETTERS_OF_MOSES
