"""What is done to a page's wikitext before wikiextractor sees it, and undone afterwards.

wikiextractor drops list items, fills in the time of day, and takes any title that begins with the template
namespace's word for a template. Characters of Unicode's private use area mark what has to be put right.
"""

from __future__ import annotations

import html.entities
import re

ITEM = "\ue5a0"
"""Stands at the beginning of a line that was a list item."""
GUARD = "\ue5a1"
"""Stands before a title that begins with the template namespace's word."""

_LIST_ITEM = re.compile(r"^[ \t]*[:*#;]*[*#;][:*#;]*[ \t]*")
_ITEM_STARTS = frozenset(":*#; \t")
_REDIRECT = re.compile(r"\s*#\s*([^\W\d_]+)\s*:?\s*\[\[[^\[\]\n]+\]\]", re.IGNORECASE)
_CLOCK = re.compile(
    r"\{\{\s*(?:\{\{\{\s*\|\s*safesubst:\s*\}\}\}|safesubst:|subst:)?\s*"
    r"current(year|month|day|hour|time)\s*\}\}",
    re.IGNORECASE,
)
_ENTITY = re.compile(r"&([A-Za-z][A-Za-z0-9]*;)")
_ONLY_INCLUDE = re.compile(r"</?onlyinclude\s*/?>", re.IGNORECASE)
_MARKUP = set("[]{}|<>=*#:;&!\n\t ")
EPOCH = "2000-01-01T00:00:00Z"


def is_redirect(text: str) -> bool:
    """Return whether a page is a redirect in any language: `#WORD [[target]]`, WORD without small letters."""
    match = _REDIRECT.match(text)
    if not match:
        return False
    word = match.group(1)
    return word.upper() == "REDIRECT" or (len(word) > 2 and word == word.upper())


def fixed_clock(text: str, timestamp: str) -> str:
    """Replace `{{CURRENTYEAR}}` and its like by `timestamp` (2017-07-01T12:00:00Z)."""
    if "{{" not in text:
        return text
    values = {
        "year": timestamp[:4],
        "month": timestamp[5:7],
        "day": timestamp[8:10],
        "hour": timestamp[11:13],
        "time": timestamp[11:19],
    }
    return _CLOCK.sub(lambda match: values[match.group(1).lower()], text)


def kept_items(text: str) -> str:
    """Turn list items into lines of text.

    Inside a template's braces only `*` is a list: a line there may begin with a parser function's `#` or with
    a `;` or `:` that belongs to an argument.
    """
    lines = text.split("\n")
    depth = 0
    for number, line in enumerate(lines):
        match = _LIST_ITEM.match(line) if line and line[0] in _ITEM_STARTS else None
        if match and (depth <= 0 or line.lstrip()[0] == "*") and not line[match.end() :].startswith("{|"):
            lines[number] = ITEM + line[match.end() :]
        if "{{" in line or "}}" in line:
            depth = max(0, depth + line.count("{{") - line.count("}}"))
    return "\n".join(lines)


def known_entities(text: str) -> str:
    """Resolve the named references that wikiextractor does not know, unless they stand for markup."""
    if "&" not in text:
        return text
    return _ENTITY.sub(_resolved, text)


def _resolved(match: re.Match[str]) -> str:
    name = match.group(1)
    if name[:-1] in html.entities.name2codepoint:
        return match.group(0)
    character = html.entities.html5.get(name, "")
    return character if character and not set(character) & _MARKUP else match.group(0)


def prepared(text: str, timestamp: str) -> str:
    """Return an article's wikitext as wikiextractor should see it."""
    text = _ONLY_INCLUDE.sub("", unmarked(text))
    return kept_items(fixed_clock(known_entities(text), timestamp or EPOCH))


def unmarked(text: str) -> str:
    """Return extracted text without this module's marks."""
    return text.replace(ITEM, "").replace(GUARD, "")


def escaped(text: str) -> str:
    """Escape text for XML, with the line ends that a reader of lines expects."""
    text = text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return text.replace("\r\n", "\n").replace("\r", "\n")
