"""Cleaning of extracted text, by rules that hold for any language.

All of a Wikipedia goes through these functions: each looks for its characters, which is quick, before it
starts a regular expression, which is not.
"""

from __future__ import annotations

import html
import re
import unicodedata

_CONTROLS = "".join(map(chr, [*range(9), *range(11, 32), 127, 0xFEFF, 0xFFFE, 0xFFFF]))
_UNWANTED = re.compile(f"[{re.escape(_CONTROLS)}\ud800-\udfff]")
_SPACES = re.compile(r"[ \t]{2,}|\t")
_EMPTY_BRACKETS = re.compile(r"\([\s,;:/·•–—-]*\)|\[\s*\]")
_LEADING_SEPARATOR = re.compile(r"\((?:\s*[,;])+\s*")
_TRAILING_SEPARATOR = re.compile(r"[\s,;]*[,;]\s*\)")


def normalise(text: str) -> str:
    """Return `text` in NFC, without control characters, blank lines and spaces at the ends of lines."""
    text = text.replace("\r\n", "\n")
    if _has_unwanted(text):
        text = _UNWANTED.sub("", text)
    text = unicodedata.normalize("NFC", text)
    if "  " in text or "\t" in text:
        text = _SPACES.sub(" ", text)
    return "\n".join(line for line in map(str.strip, text.split("\n")) if line)


def _has_unwanted(text: str) -> bool:
    if any(character in text for character in _CONTROLS):
        return True
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:  # half of a surrogate pair
        return True
    return False


def without_empty_brackets(text: str) -> str:
    """Remove brackets that held nothing but a template: `Rome (; ) is` becomes `Rome is`."""
    if "(" not in text and "[" not in text:
        return text
    while True:
        shorter = _without_innermost(text)
        if shorter == text:
            break
        text = shorter
    text = _LEADING_SEPARATOR.sub("(", text)
    if any(ending in text for ending in (",)", ";)", ", )", "; )")):
        text = _TRAILING_SEPARATOR.sub(")", text)
    return text


def _without_innermost(text: str) -> str:
    """Remove empty brackets and the space before them; `f()` is a function call, not a leftover."""
    pieces = []
    end = 0
    for match in _EMPTY_BRACKETS.finditer(text):
        plain = match.group() in ("()", "[]")
        if plain and match.start() and (text[match.start() - 1].isalnum() or text[match.start() - 1] == "_"):
            continue
        pieces.append(text[end : match.start()].rstrip(" \u00a0"))
        end = match.end()
    return "".join([*pieces, text[end:]])


def without_title(text: str, title: str) -> str:
    """Drop the first line when it only repeats the title."""
    first, _, rest = text.partition("\n")
    return rest if first.rstrip(".") == title.rstrip(".") else text


def unescape_once(text: str) -> str:
    """Resolve HTML character references one time: `AT&amp;amp;T` becomes `AT&amp;T`."""
    return html.unescape(text) if "&" in text else text


def text_key(text: str) -> str:
    """Return the form of a text that decides its split: case, spaces and punctuation do not count."""
    folded = unicodedata.normalize("NFKC", text).casefold()
    return " ".join(re.findall(r"\w+", folded)) or " ".join(folded.split())
