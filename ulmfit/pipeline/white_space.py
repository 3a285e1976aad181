"""White space: what ends a line and what is a space. One definition for corpora, engines and data sets."""

from __future__ import annotations

LINE_ENDS = "\r\v\f\x1c\x1d\x1e\x85\u2028\u2029"
"""Line ends of `str.splitlines` beside the line feed: those of old Mac files, pages of PDFs, and so on."""
SPACES = "\x1f\u00a0\u1680" + "".join(map(chr, range(0x2000, 0x200B))) + "\u202f\u205f\u3000"
"""All other characters for which `str.isspace` is true, except the space and the tab."""

_PLAIN = [("\r\n", "\n"), *((end, "\n") for end in LINE_ENDS), *((space, " ") for space in SPACES)]
_PLAIN_ASCII = [(character, plain) for character, plain in _PLAIN if character.isascii()]


def plain_white_space(text: str) -> str:
    """Return `text` with a line feed in place of every line end and a space in place of every other space.

    Tabs stay. No white space is deleted, so no two words become one.
    """
    for character, plain in _PLAIN_ASCII if text.isascii() else _PLAIN:
        if character in text:
            text = text.replace(character, plain)
    return text
