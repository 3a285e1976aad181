"""Where a page of wikitext redirects to, in any language."""

from __future__ import annotations

import re

_REDIRECT = re.compile(r"\s*+[#＃]\s*+([^\s\[\]{}|<>:]++)\s*+:?+\s*+\[\[([^\[\]|#\n]++)[^\[\]\n]*+\]\]")
_NO_TEXT = re.compile(r"\[\[[^\[\]]*+\]\]|\{\{[^{}]*+\}\}|__\w++__|\s++")


def redirect_target(text: str) -> str | None:
    """Return the title that a page redirects to, or None.

    A redirect begins with `#WORD [[target]]`. WORD is REDIRECT, a foreign word in capitals, or any word where
    nothing but links and templates follows: no article is a numbered list of one link.
    """
    match = _REDIRECT.match(text)
    if not match:
        return None
    word = match.group(1)
    letters = any(character.isalpha() for character in word)
    foreign = letters and len(word) > 2 and word == word.upper() != word.lower()
    known = foreign or word.upper() == "REDIRECT"
    return (
        match.group(2).strip()
        if known or (letters and not _NO_TEXT.sub("", without_spans(text[match.end() :], "<!--", "-->")))
        else None
    )


def without_spans(text: str, opening: str, closing: str) -> str:
    """Return `text` without what stands from each `opening` to the next `closing`, in time linear in it."""
    kept = []
    end = 0
    while (start := text.find(opening, end)) >= 0:
        closed = text.find(closing, start + len(opening))
        if closed < 0:
            break
        kept.append(text[end:start])
        end = closed + len(closing)
    return "".join([*kept, text[end:]])
