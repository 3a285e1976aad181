"""Defines a word, in any script: the one definition for sizes, comparisons, baselines and marks.

A word is a run of letters, digits and underscores. Combining marks (vowel signs, tones, accents) and format
characters (joiners, soft hyphens) belong to the character before them and never end a word, as Unicode's UAX
#29 asks (rule WB4); a space of no width (U+200B) does. Scripts that are written without spaces would make a
whole sentence one word: there, each character with its marks is a word of its own. So `in 東京` has three
words, and so has `in東京`. The scripts are Thai, Lao, Tibetan, Burmese, Khmer, Tai Le, New Tai Lue, Tai Tham,
Balinese, Javanese, kana, bopomofo and Han; a number in their digits is one word.

`words_of` returns the words of a text. `count_words` measures its length: what stands between white space
counts, punctuation by itself too, because that is what word perplexity is defined over.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Iterator
from functools import lru_cache

_BASIC = (
    "\u0e01-\u0e4f\u0e5a-\u0ecf\u0eda-\u0eff"  # Thai, Lao
    "\u0f00-\u0f1f\u0f2a-\u0fff"  # Tibetan
    "\u1000-\u103f\u104a-\u108f\u109a-\u109f\ua9e0-\ua9ef\ua9fa-\ua9ff\uaa60-\uaa7f"  # Burmese
    "\u1780-\u17df\u17ea-\u17ff"  # Khmer
    "\u1950-\u19cf\u19da-\u19df\u1a20-\u1a7f\u1a8a-\u1a8f\u1a9a-\u1aaf"  # Tai Le, New Tai Lue, Tai Tham
    "\u1b00-\u1b4f\u1b5a-\u1b7f\ua980-\ua9cf\ua9da-\ua9df"  # Balinese, Javanese
    "\u3005-\u3007\u3031-\u3035\u3041-\u30fa\u30fc-\u30ff\u31f0-\u31ff\uff66-\uff9f"  # kana
    "\u3105-\u312f\u31a0-\u31bf"  # bopomofo
    "\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff"  # Han
)
_BEYOND = "\U0001aff0-\U0001b16f\U00020000-\U0003ffff"  # more kana, more Han
WITHOUT_SPACES = _BASIC + _BEYOND
"""The characters of scripts that are written without spaces, as ranges for a pattern."""
UNSPACED = re.compile(f"[{WITHOUT_SPACES}]+")
"""Finds runs of characters of scripts that are written without spaces."""

_UNSPACED_LANGUAGES = frozenset(
    {
        *("zh", "zho", "cmn", "yue", "wuu", "gan", "hak", "hsn", "lzh", "ja", "jpn"),
        *("th", "tha", "lo", "lao", "bo", "bod", "dz", "dzo", "my", "mya", "km", "khm", "shn", "mnw"),
        *("khb", "tdd", "nod"),
    }
)
_ZERO_WIDTH_SPACE = "\u200b"
_PLANES = ((0, 0x40000), (0xE0000, 0xE0200))
"""All others are unassigned or for private use: to pass over them is several times as fast."""
_LAST_MARK = 0xE01EF
"""The last combining mark or format character of Unicode."""


def _complement(ranges: str) -> str:
    """Return the complement in the basic plane of `ranges`, a character class of pairs."""
    pairs = sorted((ord(first), ord(last)) for first, last in zip(ranges[::3], ranges[2::3], strict=True))
    starts = [0, *(last + 1 for _, last in pairs)]
    ends = [*(first - 1 for first, _ in pairs), 0xFFFF]
    return "".join(
        f"{re.escape(chr(start))}-{re.escape(chr(end))}"
        for start, end in zip(starts, ends, strict=True)
        if start <= end
    )


_MAYBE_UNSPACED = re.compile(f"[^{_complement(_BASIC)}]")
"""Also finds everything beyond the basic plane; written this way, the search is three times as fast."""


def count_words(text: str) -> int:
    """Return the length of `text` in words: what stands between spaces; without spaces, each character."""
    if not has_unspaced(text):
        return len(text.split())
    text = _without_width().sub("", text)
    spaced = UNSPACED.split(text)
    return len(text) - sum(map(len, spaced)) + len(" ".join(spaced).split())


def has_unspaced(text: str) -> bool:
    """Return False if only white space separates the words of `text`; True if something else may."""
    return not text.isascii() and _MAYBE_UNSPACED.search(text) is not None


def sets_no_spaces(language: str) -> bool:
    """Return whether the language of a code such as `ja` or `zh-TW` is written without spaces."""
    return re.split("[-_]", language.lower())[0] in _UNSPACED_LANGUAGES


def words_of(text: str) -> list[str]:
    """Return the words of `text` in their order, without punctuation, symbols and format characters.

    Case stays. Texts are expected in NFC, as documents and data sets are.
    """
    if text.isascii():
        return re.findall(r"\w+", text)
    return _words().findall(_format().sub("", text))


def is_format(character: str) -> bool:
    """Return whether a character is invisible and separates no words: joiners, soft hyphens, ..."""
    return unicodedata.category(character) == "Cf" and character != _ZERO_WIDTH_SPACE


def is_mark(character: str) -> bool:
    """Return whether a character is a combining mark, which belongs to the character before it."""
    return unicodedata.category(character)[0] == "M"


def characters(last: int) -> Iterator[int]:
    """Yield the code points up to `last`, without planes that have no character and those for private use."""
    for first, end in _PLANES:
        yield from range(first, min(end, last + 1))


def listed(belongs: Callable[[str], object], last: int) -> str:
    """Return the characters up to code point `last` that belong to a class, as ranges for a pattern."""
    runs: list[list[int]] = []
    for code in characters(last):
        if belongs(chr(code)):
            if runs and runs[-1][1] == code - 1:
                runs[-1][1] = code
            else:
                runs.append([code, code])
    return "".join(f"{re.escape(chr(first))}-{re.escape(chr(end))}" for first, end in runs)


@lru_cache(maxsize=1)
def marks() -> str:
    """Return all combining marks, as ranges for a pattern."""
    return listed(is_mark, _LAST_MARK)


@lru_cache(maxsize=1)
def _format() -> re.Pattern[str]:
    return re.compile(f"[{listed(is_format, _LAST_MARK)}]+")


@lru_cache(maxsize=1)
def _words() -> re.Pattern[str]:
    unspaced = f"[{WITHOUT_SPACES}]"
    character = rf"(?!{unspaced})\w"
    return re.compile(rf"(?:(?={unspaced})\w[{marks()}]*)|{character}(?:[{marks()}]|{character})*")


@lru_cache(maxsize=1)
def _without_width() -> re.Pattern[str]:
    """Return a pattern for marks that follow a character of a script without spaces and belong to it."""
    own = listed(lambda one: UNSPACED.match(one) and is_mark(one), 0xFFFF)
    format_characters = listed(is_format, _LAST_MARK) + _ZERO_WIDTH_SPACE
    return re.compile(f"(?<=[{WITHOUT_SPACES}])[{marks()}{format_characters}]+|[{own}]+")
