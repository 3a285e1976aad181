"""What is done to a page's wikitext before wikiextractor sees it, and undone afterwards.

wikiextractor drops list items, puts a full stop after headings, fills in the time of day, and takes any title
that begins with the template namespace's word for a template. Characters of Unicode's private use area mark
what has to be put right.
"""

from __future__ import annotations

import html.entities
import re

from ulmfit.corpus.dumps.redirects import without_spans

ITEM = "\ue5a0"
"""Stands at the beginning of a line that was a list item."""
GUARD = "\ue5a1"
"""Stands before a title that begins with the template namespace's word."""
HEADINGS = "\ue5a2\ue5a3\ue5a4\ue5a5\ue5a6\ue5a7"
"""One of them stands at the beginning of a line that was a heading: the first for level 1, and so on."""

_MARKS = re.compile(f"[{ITEM}{GUARD}{HEADINGS}]")
_NO_MARKS = dict.fromkeys(map(ord, ITEM + GUARD + HEADINGS))
_LIST_ITEM = re.compile(r"^[ \t]*[:*#;]*[*#;][:*#;]*[ \t]*")
_MARKED_STARTS = frozenset("=:*#; \t")
_CLOCK = re.compile(
    r"\{\{\s*+(?:\{\{\{\s*+\|\s*+safesubst:\s*+\}\}\}|safesubst:|subst:)?+\s*+"
    r"current(year|month|day|hour|time)\s*+\}\}",
    re.IGNORECASE,
)
_NO_PROSE = re.compile(
    r"\{\{[^{}]*+\}\}|<ref[^<>]*+>[^<]*+</ref>|<[^<>]*+>"
    r"|\[https?:[^\s\]]*+|\[\[[^\[\]|:]*+:[^\[\]]*+\]\]|^[ \t]*+[|!{}].*+$",
    re.MULTILINE,
)
_ENTITY = re.compile(r"&([A-Za-z][A-Za-z0-9]*;)")
_ONLY_INCLUDE = re.compile(r"</?onlyinclude\s*/?>", re.IGNORECASE)
_MARKUP = set("[]{}|<>=*#:;&!\n\t ")
EPOCH = "2000-01-01T00:00:00Z"


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


def marked_lines(text: str) -> str:
    """Turn list items and headings into lines of text that begin with a mark.

    Inside a template's braces only `*` is a list: a line there may begin with a parser function's `#`, with
    a `;` or `:` that belongs to an argument, or with its `=`.
    """
    lines = text.split("\n")
    depth = 0
    for number, line in enumerate(lines):
        if line and line[0] in _MARKED_STARTS:
            lines[number] = _marked(line, depth > 0)
        if "{{" in line or "}}" in line:
            depth = max(0, depth + line.count("{{") - line.count("}}"))
    return "\n".join(lines)


def _marked(line: str, in_template: bool) -> str:
    if line[0] == "=":
        return line if in_template else _marked_heading(line)
    match = _LIST_ITEM.match(line)
    if match and (not in_template or line.lstrip()[0] == "*") and not line[match.end() :].startswith("{|"):
        return ITEM + line[match.end() :]
    return line


def _marked_heading(line: str) -> str:
    heading = without_spans(line, "<!--", "-->").rstrip()
    level = min(len(heading) - len(heading.lstrip("=")), len(heading) - len(heading.rstrip("=")), 6)
    if not level or len(heading) <= 2 * level:
        return line
    return HEADINGS[level - 1] + heading[level:-level].strip()


def restored_lines(text: str, headings: bool) -> str:
    """Return extracted text without this module's marks; of the headings those that have text under them."""
    kept: list[str] = []
    waiting: list[tuple[int, str]] = []  # headings without text so far, and their levels
    for line in text.split("\n"):
        level = HEADINGS.find(line[:1]) if line else -1
        line = unmarked(line)
        if level < 0:
            if line.strip():
                kept += [title for _, title in waiting]
                waiting.clear()
            kept.append(line)
            continue
        while waiting and waiting[-1][0] >= level:
            waiting.pop()
        if headings:
            waiting.append((level, line))
    return "\n".join(kept)


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
    return marked_lines(fixed_clock(known_entities(text), timestamp or EPOCH))


def rough_prose(text: str) -> str:
    """Return about what an extraction leaves of wikitext: rather more of it, and in a moment."""
    text = without_spans(text, "<!--", "-->")
    for _ in range(2):
        text = _NO_PROSE.sub(" ", text)
    return text


def unmarked(text: str) -> str:
    """Return text without this module's marks."""
    return text.translate(_NO_MARKS) if _MARKS.search(text) else text


def escaped(text: str) -> str:
    """Escape text for XML, with the line ends that a reader of lines expects."""
    text = text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return text.replace("\r\n", "\n").replace("\r", "\n")


def unescaped(text: str) -> str:
    """Return the text that `escaped` made safe."""
    return text.replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&")
