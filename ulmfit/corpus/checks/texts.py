"""Near-empty texts, and texts whose characters were damaged."""

from __future__ import annotations

import re
import unicodedata
from functools import cache
from html.entities import html5

from ulmfit.corpus.filtering.shingles import units_of

REPLACEMENT, MOJIBAKE, CONTROL = "replacement character", "mojibake", "control character"
ESCAPE, ENTITY = "escaped character", "HTML entity"
LOST = (REPLACEMENT, MOJIBAKE, CONTROL)
"""Signs of an encoding that was damaged; the others can be undone by whoever made the files."""
_CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f]")
_ESCAPE = re.compile(r"<U\+[0-9A-Fa-f]{4,8}>|\\u[0-9A-Fa-f]{4}|\\U[0-9A-Fa-f]{8}")
_ENTITY = re.compile(r"&(?:#[0-9]{1,7}|#[xX][0-9A-Fa-f]{1,6}|([A-Za-z][A-Za-z0-9]{1,31}));")
_CODE_PAGES = {
    "cp1252": ((0xC2, 0xC5), 1),
    "latin-1": ((0xC2, 0xC5), 1),
    "cp1250": ((0xC2, 0xC5), 1),
    "cp1251": ((0xD0, 0xD1), 2),
}
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


def signs_of(text: str) -> list[str]:
    """Return the kinds of damage in a text, some of the five names above; empty: none was found.

    Mojibake is UTF-8 that was read as Windows-1252, Latin-1, Windows-1250 or 1251; its sign are two
    characters that are the bytes of one there, or four that are those of an emoji. Behind a capital two do
    not count: words such as `HYVÄ…` end like that. Escapes are `<U+0001F602>`, as R writes them, and those
    of JSON and Python.
    """
    mojibake = not text.isascii() and any(
        _is_sign(text, sign) for page in _CODE_PAGES for sign in _pattern(page).finditer(text)
    )
    found = {
        REPLACEMENT: "\ufffd" in text,
        MOJIBAKE: mojibake,
        CONTROL: not mojibake and _CONTROL.search(text) is not None,
        ESCAPE: _ESCAPE.search(text) is not None,
        ENTITY: "&" in text and any(_is_entity(sign) for sign in _ENTITY.finditer(text)),
    }
    return [name for name, holds in found.items() if holds]


def is_damaged(text: str) -> bool:
    """Return whether characters of a text were lost, or replaced by others."""
    return any(sign in LOST for sign in signs_of(text))


def _is_entity(found: re.Match[str]) -> bool:
    return found[1] is None or f"{found[1]};" in html5


def _is_sign(text: str, found: re.Match[str]) -> bool:
    return len(found[0]) > 3 or not text[max(found.start() - 1, 0) : found.start()].isupper()


@cache
def _pattern(page: str) -> re.Pattern[str]:
    """Return a pattern for UTF-8 as it looks when read in a code page: a first byte and the one behind it."""
    (first, last), times = _CODE_PAGES[page]
    # A no-break space (byte A0) follows a capital in sound text as well: `Å være`.
    follow = "".join(_character(page, code) for code in range(0x80, 0xC0) if code != 0xA0)
    lead = "".join(_character(page, code) for code in range(first, last + 1))
    pair = f"[{re.escape(lead)}][{re.escape(follow)}]"
    # Emoji (F0 9F xx xx).
    emoji = "".join(_character(page, code) for code in (0xF0, 0x9F))
    emoji = f"{re.escape(emoji)}[{re.escape(follow)}]{{2}}"
    if times > 1:
        return re.compile(f"{emoji}|(?:{pair}){{{times}}}")
    # General punctuation (E2 80 xx): quotation marks and dashes.
    marks = "".join(_character(page, code) for code in (0xE2, 0x80))
    return re.compile(f"{emoji}|{pair}|{re.escape(marks)}[{re.escape(follow)}]")


def _character(page: str, code: int) -> str:
    """Return the character of a byte in a code page; for an undefined byte, the control character."""
    try:
        return bytes([code]).decode(page)
    except UnicodeDecodeError:
        return chr(code)
