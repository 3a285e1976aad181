"""Texts that say next to nothing, and texts whose characters were damaged on the way."""

from __future__ import annotations

import re
import unicodedata
from functools import cache

from ulmfit.corpus.filtering.shingles import units_of

REPLACEMENT, MOJIBAKE, CONTROL = "replacement character", "mojibake", "control character"
_REPLACEMENT = re.compile("\ufffd")
_CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f]")
_CODE_PAGES = {"cp1252": ((0xC2, 0xC5), 1), "cp1250": ((0xC2, 0xC5), 1), "cp1251": ((0xD0, 0xD1), 2)}
"""Code page -> first bytes of UTF-8 that are looked for (Latin; Cyrillic), and how many characters in a row.

One Latin pair such as `Ã¼` is no text of any language; Cyrillic pairs (`Рі`) are, two in a row hardly.
"""


def is_near_empty(text: str, min_words: int, min_letters: int) -> bool:
    """Return whether a text has too few words, or too few letters in all.

    A word has letters or digits; where a script sets no spaces, two characters count as a word.
    """
    units = units_of(text)
    if len(units) < units.length_of(min_words):
        return True
    return sum(unicodedata.category(character)[0] == "L" for character in text) < min_letters


def damage_of(text: str) -> str:
    """Return what looks damaged in a text, one of the three names above, or an empty string.

    Mojibake is UTF-8 that was read as Windows-1252, 1250 or 1251; its sign are two characters that are the
    bytes of one there. Behind a capital they do not count: words such as `HYVÄ…` end like that.
    """
    if _REPLACEMENT.search(text):
        return REPLACEMENT
    if any(_is_sign(text, found) for page in _CODE_PAGES for found in _pattern(page).finditer(text)):
        return MOJIBAKE
    return CONTROL if _CONTROL.search(text) else ""


def _is_sign(text: str, found: re.Match[str]) -> bool:
    return not text[max(found.start() - 1, 0) : found.start()].isupper()


@cache
def _pattern(page: str) -> re.Pattern[str]:
    """Return a pattern for UTF-8 as it looks when read in a code page: a first byte and the one behind it."""
    (first, last), times = _CODE_PAGES[page]
    # A no-break space (byte A0) follows a capital in sound text as well: `Å være`.
    follow = "".join(_character(page, code) for code in range(0x80, 0xC0) if code != 0xA0)
    lead = "".join(_character(page, code) for code in range(first, last + 1))
    pair = f"[{re.escape(lead)}][{re.escape(follow)}]"
    if times > 1:
        return re.compile(f"(?:{pair}){{{times}}}")
    # General punctuation (E2 80 xx): quotation marks and dashes.
    marks = "".join(_character(page, code) for code in (0xE2, 0x80))
    return re.compile(f"{pair}|{re.escape(marks)}[{re.escape(follow)}]")


def _character(page: str, code: int) -> str:
    """Return what a byte is in a code page; one that the page leaves open is the control character."""
    try:
        return bytes([code]).decode(page)
    except UnicodeDecodeError:
        return chr(code)
