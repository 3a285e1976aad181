"""Cleaning of extracted text, by rules that hold for any language.

All of a Wikipedia goes through these functions: each looks for its characters, which is quick, before it
starts a regular expression, which is not. The time of each is linear in the length of the text.
"""

from __future__ import annotations

import html
import re
import unicodedata

from ulmfit.corpus.words import words_of
from ulmfit.pipeline.white_space import plain_white_space

_CONTROLS = "".join(map(chr, [*range(9), *range(14, 28), 127, 0xFEFF, 0xFFFE, 0xFFFF]))
"""Characters that are deleted; white space is not among them, because it separates words."""
_UNWANTED = re.compile(f"[{re.escape(_CONTROLS)}\ud800-\udfff]")
# Soft hyphens, word joiners and direction marks are about layout and change no word. Joiners in words
# (U+200C, U+200D) and spaces without width (U+200B) belong to the spelling of many scripts: those stay.
_INVISIBLE = "\u00ad\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2060\u2066\u2067\u2068\u2069"
_EMPTY_BRACKETS = (
    ("[", re.compile(r"\[\s*+\]")),
    ("(", re.compile(r"\((?<!\(\()\(*+[\s,;:/·•–—،؛、-]*+\)++")),
    ("（", re.compile(r"（[\s,;:、，；：/·—]*+）")),
)
_SEPARATORS = " ,;،؛、，；"
_MOST_NESTED = 50


def normalise(text: str) -> str:
    """Return `text` in NFC, without control characters, blank lines and spaces at the ends of lines.

    `plain_white_space` defines what ends a line and what is a space.
    """
    text = _without_controls(plain_white_space(text))
    return _full_lines(unicodedata.normalize("NFC", _single_spaces(text)))


def tidied(text: str) -> str:
    """Return an article's text for the corpus: normalised, without the leftovers of dropped templates.

    Direction marks and soft hyphens are dropped.
    """
    text = plain_white_space(text)
    if not text.isascii():
        for character in _INVISIBLE:
            if character in text:
                text = text.replace(character, "")
    text = without_gaps(without_empty_brackets(_single_spaces(_without_controls(text))))
    return _full_lines(unicodedata.normalize("NFC", text))


def _without_controls(text: str) -> str:
    return _UNWANTED.sub("", text) if _has_unwanted(text) else text


def _has_unwanted(text: str) -> bool:
    if any(character in text for character in _CONTROLS):
        return True
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:  # half of a surrogate pair
        return True
    return False


def _single_spaces(text: str) -> str:
    text = text.replace("\t", " ")
    while "  " in text:
        text = text.replace("  ", " ")
    return text


def _full_lines(text: str) -> str:
    return "\n".join(filter(None, map(str.strip, text.split("\n"))))


def without_empty_brackets(text: str) -> str:
    """Remove brackets that held nothing but a template: `Rome (; ) is` becomes `Rome is`."""
    for opening, empty in _EMPTY_BRACKETS:
        if opening in text:
            text = _without_separators(text)
            for _ in range(_MOST_NESTED):
                shorter = _without_innermost(text, empty)
                if shorter == text:
                    break
                text = _without_separators(shorter)
    return text


def _without_separators(text: str) -> str:
    """Remove separators at the inner ends of brackets: `(, born 1950; )` becomes `(born 1950)`."""
    for opening, closing in ("()", "（）"):
        if opening in text:
            first, *others = text.split(opening)
            text = opening.join([first, *(piece.lstrip(_SEPARATORS) for piece in others)])
            *others, last = text.split(closing)
            text = closing.join([*(piece.rstrip(_SEPARATORS) for piece in others), last])
    return text


def _without_innermost(text: str, empty: re.Pattern[str]) -> str:
    """Remove empty brackets and the space before them; `f()` is a function call, not a leftover."""
    pieces: list[str] = []
    end = 0
    for match in empty.finditer(text):
        start = match.start()
        brackets = match.group()
        if brackets.strip("()") in ("", "[]") and _is_identifier(text[start - 1 : start]):
            continue
        surplus = brackets.count("(") - brackets.count(")")
        pieces += text[end:start].rstrip(), " " * (surplus > 0), "(" * surplus, ")" * -surplus
        end = match.end()
    return "".join([*pieces, text[end:]]) if end else text


def _is_identifier(character: str) -> bool:
    return character.isascii() and (character.isalnum() or character == "_")


def without_gaps(text: str) -> str:
    """Close the gaps that dropped templates leave before stops and commas: `area of .` becomes `area of.`"""
    for comma in ("、", "，"):
        if comma in text:
            text = text.replace(comma * 2, comma)
    if " ," in text:
        while ", ," in text:
            text = text.replace(", ,", ",")
        text = _closed(text, ",")
    return _closed(text, ".") if " ." in text else text


def _closed(text: str, stop: str) -> str:
    """Remove the space before a stop that ends a word; `.5` and `. . .` stay as they are."""
    before, *others = text.split(" " + stop)
    pieces = [before]
    for number, piece in enumerate(others, start=1):
        last = number == len(others)
        if piece[:1] not in ((" ", "\n", "") if last else (" ", "\n")) or not before:
            pieces.append(" " + stop)
        elif before[-1] == ",":
            pieces[-1] = before[:-1]
            pieces.append(stop)
        else:
            pieces.append("" if before[-1] == "." else stop)
        pieces.append(piece)
        before = piece
    return "".join(pieces)


def is_table_row(line: str) -> bool:
    """Return whether a line is wikitext of a table: a row, a caption, a cell or headers."""
    return line.startswith(("|", "{|", "! ")) or (line.startswith("!") and ("!!" in line or "|" in line))


def without_title(text: str, title: str) -> str:
    """Drop the first line when it only repeats the title."""
    first, _, rest = text.partition("\n")
    return rest if first.rstrip(".") == title.rstrip(".") else text


def unescape_once(text: str) -> str:
    """Resolve HTML character references once: `AT&amp;amp;T` becomes `AT&amp;T`."""
    return html.unescape(text) if "&" in text else text


def text_key(text: str) -> str:
    """Return the form of a text that decides its split: case, spaces and punctuation do not count."""
    folded = unicodedata.normalize("NFKC", text).casefold()
    return " ".join(words_of(folded)) or " ".join(folded.split())
