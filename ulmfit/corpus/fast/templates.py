"""Drops the templates of wikitext without expanding them; a few that only format keep their text."""

from __future__ import annotations

import re

BREAK = "\v"
"""A line break inside of a line of wikitext, as `<br>` makes it. XML has no such character."""

_BRACES = re.compile(r"(\{{2,}|\}{2,})")
_DEEPEST = 20
"""What is nested deeper than this is dropped unread, so that no text is copied once for every level."""

# Templates that show one of their arguments: formatting, under names that several wikis have in common.
# Templates that compute or fetch their text are dropped.
_FIRST = (
    "nowrap|nobr|nobreak|ta|small|smaller|big|bigger|larger|large|resize|center|centre|abbr|abbrv|abbreviation|"
    'tooltip|sc|smallcaps|em|strong|sub|sup|unicode|polytonic|vanchor|angbr|linktext|date-|"|iw|仮リンク|ill|'
    "interlanguage link|нп3|нп5|не переведено"
)
_SECOND = "lang|langue|rtl-lang|script|color|colour|font color|en langue"
_LAST = "transl|transliteration|translit|columns-list|col-list"
# Quotations show their text; measures are shown as they were written: the numbers and the first unit.
_QUOTATIONS = "quote|quotation|blockquote|cquote|bquote|rquote|zitat|citaat|citat|цитата"
_MEASURES = "convert|cvt|conversion|unité|unite|nombre|tmp"
_SHOWN = {
    name: shown
    for shown, names in (
        ("1", _FIRST),
        ("2", _SECOND),
        ("last", _LAST),
        ("quotation", _QUOTATIONS),
        ("measure", _MEASURES),
        ("nihongo", "nihongo"),
    )
    for name in names.split("|")
}
_QUOTED = ("text", "quote", "1")
# As `{{lang-de|Wort}}`, `{{link-en|label|Title}}` and the like in other languages.
_IN_A_LANGUAGE = re.compile(r"(?:lang|link|vol|val|јез)-[a-z-]{2,}")
_NUMBER = re.compile(r"[\d\s.,/+×−–-]*|to|and|by|or|x|±|\+/-")
_DEGREES = {"C": "°C", "F": "°F"}
# The marks of tables, as `{{(!}}`, where a bar would end an argument.
_TABLE_MARKS = {"(!": "{|", "{!": "{|", "!)": "|}", "!-": "|-", "!+": "|+", "!!": "||"}
_LITERALS = {
    "'": "'",
    "'s": "'s",
    "=": "=",
    **dict.fromkeys(["nbsp", "space", "spaces", "thinsp", "thin space", "hair space"], " "),
    **dict.fromkeys(["ndash", "en dash", "endash"], "–"),
    **dict.fromkeys(["spaced ndash", "snd", "snds", "spnd", "sndash"], " – "),
    **dict.fromkeys(["mdash", "em dash", "emdash"], "—"),
    **dict.fromkeys(["spaced mdash", "mdashb"], " — "),
    **dict.fromkeys(["·", "dot", "middot", "•", "bull", "bullet"], " · "),
}


def without_templates(text: str) -> str:
    """Return `text` without `{{...}}` and `{{{...}}}`, however deep they are nested.

    What stands after braces that nothing closes is kept, and so are the texts of formatting templates.
    """
    if "{{{" in text:
        text = _without_parameters(text)
    first, *others = text.split("{{")
    kept = [first.replace("}}", "")]
    opened: list[int] = []  # where in `kept` the open templates begin
    for piece in others:
        opened.append(len(kept))
        if "}}" not in piece:
            kept.append(piece)
            continue
        inside, *rest = piece.split("}}")
        kept.append(inside)
        for following in rest:
            if opened:
                start = opened.pop()
                shown = _shown(kept, start, bool(opened)) if len(opened) < _DEEPEST else ""
                kept[start:] = [shown] if shown else []
            if following:
                kept.append(following)
    for start in opened:
        kept[start] = _without_name(kept[start])
    return "".join(kept)


def _without_parameters(text: str) -> str:
    """Drop `{{{...}}}`, and keep `{{...}}`.

    Closing braces pair up with the last opening ones, as they do in MediaWiki: by threes, else by twos.
    """
    first, *others = _BRACES.split(text)
    kept = [first]
    opened: list[tuple[int, int]] = []  # where in `kept` opening braces stand, and how many are unpaired
    for run, following in zip(others[::2], others[1::2], strict=True):
        if run[0] == "{":
            opened.append((len(kept), len(run)))
            kept += run, following
            continue
        closing = len(run)
        while closing > 1 and opened:
            start, opening = opened.pop()
            paired = min(3, closing, opening)
            closing -= paired
            if paired == 3:
                kept[start:] = ["{" * (opening - 3)]
            else:
                kept.append("}}")
            if opening - paired > 1:
                opened.append((start, opening - paired))
        kept += "}" * closing, following
    return "".join(kept)


def _without_name(piece: str) -> str:
    """Drop the name of a template that nothing closes, where its arguments stand on lines of their own."""
    _, newline, rest = piece.partition("\n")
    return newline + rest if rest.lstrip().startswith("|") else piece


def _shown(kept: list[str], start: int, nested: bool) -> str:
    """Return the text that the template in `kept[start:]` shows in a sentence: nothing for most templates."""
    name = kept[start].partition("|")[0].strip().lower().removeprefix("template:").lstrip()
    if name in _LITERALS:
        return _LITERALS[name]
    if name == "!":  # inside of an argument it is a character, elsewhere a part of a table
        return "&#124;" if nested else "|"
    if name in _TABLE_MARKS:
        return "" if nested else _TABLE_MARKS[name]
    shown = _SHOWN.get(name)
    if shown is None:
        if name.startswith("formatnum:"):
            return "".join(kept[start:]).partition(":")[2].partition("|")[0].strip()
        if "-" not in name or not _IN_A_LANGUAGE.fullmatch(name):
            return ""
        shown = "1"
    arguments = _arguments(kept, start)
    if shown == "quotation":
        return BREAK + next((arguments[key] for key in _QUOTED if key in arguments), "") + BREAK
    if shown == "measure":
        return _measure(arguments)
    if shown == "nihongo":
        return _nihongo(arguments)
    return arguments.get(shown, "")


def _arguments(kept: list[str], start: int) -> dict[str, str]:
    """Return the arguments by name; the unnamed are called "1", "2", ..., and "last" is the last of them."""
    arguments: dict[str, str] = {}
    number = depth = 0
    parts: list[str] = []
    _, *everything = "".join(kept[start:]).split("|")
    for left, part in zip(reversed(range(len(everything))), everything, strict=True):
        parts.append(part)
        depth += part.count("[[") - part.count("]]")
        if depth > 0 and left:  # the bar that follows belongs to a link
            continue
        argument = "|".join(parts)
        parts, depth = [], 0
        name, equals, value = argument.partition("=")
        if equals and "[" not in name and "<" not in name:
            arguments[name.strip().lower()] = value.strip()
        else:
            number += 1
            arguments[str(number)] = arguments["last"] = argument
    return arguments


def _measure(arguments: dict[str, str]) -> str:
    words = []
    for number in range(1, 9):
        word = arguments.get(str(number), "").strip()
        words.append(_DEGREES.get(word, word))
        if not _NUMBER.fullmatch(word):
            break
    return " ".join(filter(None, words))


def _nihongo(arguments: dict[str, str]) -> str:
    """Return a word as the template of Japanese names shows it: `word (in its own script, transcribed)`."""
    word, *others = (arguments.get(str(number), "").strip() for number in (1, 2, 3))
    notes = ", ".join(filter(None, others))
    return f"{word} ({notes})" if notes else word
