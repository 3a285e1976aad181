"""What counts as a word where a corpus is measured or cut to a size, in any script.

A word is what stands between white space (as `str.split` sees it). Scripts that are written without spaces
between words would make a whole sentence one word: there, each character counts as a word of its own. So
`in 東京` has three words, and so has `in東京`. The scripts are Thai, Lao, Tibetan, Burmese, Khmer, Tai Le,
New Tai Lue, Tai Tham, Balinese, Javanese, kana, bopomofo and Han. This is a
measure of size; it is no tokenizer.
"""

from __future__ import annotations

import re

_BASIC = (
    "\u0e01-\u0eff"  # Thai, Lao
    "\u0f00-\u0fff"  # Tibetan
    "\u1000-\u109f\ua9e0-\ua9ff\uaa60-\uaa7f"  # Burmese and its extensions
    "\u1780-\u17ff"  # Khmer
    "\u1950-\u19df\u1a20-\u1aaf"  # Tai Le, New Tai Lue, Tai Tham
    "\u1b00-\u1b7f\ua980-\ua9df"  # Balinese, Javanese
    "\u3005-\u3007\u3031-\u3035\u3041-\u30fa\u30fc-\u30ff\u31f0-\u31ff\uff66-\uff9f"  # kana
    "\u3105-\u312f\u31a0-\u31bf"  # bopomofo
    "\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff"  # Han
)
_BEYOND = "\U0001aff0-\U0001b16f\U00020000-\U0003ffff"  # more kana, more Han
UNSPACED = re.compile(f"[{_BASIC}{_BEYOND}]+")
"""Finds runs of characters of scripts that are written without spaces."""


def _complement(ranges: str) -> str:
    """Return the ranges of the basic plane that `ranges`, a character class of pairs, leaves out."""
    pairs = sorted((ord(first), ord(last)) for first, last in zip(ranges[::3], ranges[2::3], strict=True))
    starts = [0, *(last + 1 for _, last in pairs)]
    ends = [*(first - 1 for first, _ in pairs), 0xFFFF]
    return "".join(
        f"{re.escape(chr(start))}-{re.escape(chr(end))}"
        for start, end in zip(starts, ends, strict=True)
        if start <= end
    )


_MAYBE_UNSPACED = re.compile(f"[^{_complement(_BASIC)}]")
"""Finds everything beyond the basic plane as well; so put, the search is three times as fast."""


def count_words(text: str) -> int:
    """Return the number of words of `text`, as this module defines them."""
    if text.isascii() or not _MAYBE_UNSPACED.search(text):
        return len(text.split())
    spaced = UNSPACED.split(text)
    return len(text) - sum(map(len, spaced)) + len(" ".join(spaced).split())
