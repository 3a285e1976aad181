"""Exports that no sane program writes: each is drawn by the number of its seed."""

from __future__ import annotations

import bz2
import gzip
import random
import re
from collections.abc import Callable, Sequence

from corpus.making import export, page
from corpus.mutations import DAMAGES, Mutant, Random, nested

SENTENCES = (
    "The '''river''' runs by the [[town (place)|town]] {{circa|1900}}, where [[mill]]s stood (; ).",
    "Rzeka ''płynie'' przez [[miasto|miasta]]<ref name=a>Źródło [[x]]</ref> i {{convert|5|km}} dalej .",
    "Река [[Волна|волны]] течёт&nbsp;мимо &lt;города&gt; AT&amp;T.",
    "{{Infobox\n| name = X {{flag|Y}}\n| size = {{{1|2}}}\n}}\n川は[[町]]を流れる。",
    "{| class=wikitable\n! a !! b\n|-\n| c || [[d]]\n|}\nنهر طويل (٥ كم).",
    "* first\n** second {{x}}\n# third\n; term : meaning\n: indented",
    "== Heading ==\n=== Another ===\n<div style='a'>text<br/>more</div>\n[[File:a.png|thumb|A [[lake]]]]",
    "[http://a.example the page] <math>\\frac{a}{b}</math> <gallery>\nA.png|b\n</gallery>\n[[Category:C]]",
    "-{zh-hans:湖;zh-hant:湖泊}- __TOC__ '''''both''' one'' <nowiki>[[raw]]</nowiki> <!-- none --> end",
    "{{lang|la|urbs}} {{#if:{{{a|}}}|b|c}} {{PAGENAME}} <references/>\n----\n 𝔘𝔫𝔦 e\u0301 \u200d \u00ad.",
)
PAIRS = (
    ("{{", "}}"),
    ("{{nowrap|", "}}"),
    ("{{{1|", "}}}"),
    ("[[", "]]"),
    ("[[File:a.png|thumb|", "]]"),
    ("[[a|", "]]"),
    ("{|\n| ", "\n|}\n"),
    ("<div>", "</div>"),
    ("<table><tr><td>", "</td></tr></table>"),
    ("<ref>", "</ref>"),
    ("<!--", "-->"),
    ("<nowiki>", "</nowiki>"),
    ("<span style=display:none>", "</span>"),
    ("(", ")"),
    ("(; ", " )"),
    ("-{", "}-"),
    ("''", "''"),
    ("'''", "'''"),
    ("[http://a ", "]"),
    ("{{#if:", "|a}}"),
    ("{{PAGENAME", "}}"),
    ("== ", " ==\n"),
    ("*", "\n"),
    (":{|\n|", "\n|}"),
    ("&amp;", ";"),
    ("<poem>\n", "\n</poem>"),
)
TOKENS = [part for pair in PAIRS for part in pair] + [
    *("\n", "\n\n", "|", "||", "\n|-\n", "\n! ", "=", "~~~~", "&#x0;", "&#xD800;", "&nbsp;", "&#9999999999;"),
    *("\ufeff", "\u2028", "\u200e", "\ud83d\ude00".encode("utf-16", "surrogatepass").decode("utf-16")),
    *("\ue5a0", "\ue0f1", "\u2581", "<br", "</", "<ref name=", "{{#expr: 1/0}}", "{{padleft:x|99}}", "\t"),
]
COMBINING = "a" + "\u0301" * 5_000


# --- What stands in a page ----------------------------------------------------------------------------------


def broken_wikitext(text: str, rng: Random) -> str:
    """Put pieces of markup into a text, where they do not belong."""
    for _ in range(rng.randrange(1, 40)):
        text = _inserted(text, rng.choice(TOKENS), rng)
    return text


def deep_wikitext(text: str, rng: Random) -> str:
    """Nest constructs of wikitext 10,000 deep."""
    return _inserted(text, nested(PAIRS, rng), rng)


def endless_wikitext(text: str, rng: Random) -> str:
    """Repeat something without content, or make one word of 100,000 letters."""
    return _inserted(text, rng.choice([*TOKENS, "a", " ", COMBINING[:100], "\n* "]) * 20_000, rng)


def strange_text(text: str, rng: Random) -> str:
    """Replace a text by another: nothing, white space, a redirect, long runs of combining characters."""
    return rng.choice(
        ["", " \n\t", "#REDIRECT [[X]]", "#ПЕРЕНАПРАВЛЕНИЕ [[X", "#" * 5_000, COMBINING, "\u00a0", "<!--"]
    )


TEXT_CHANGES: Sequence[Callable[[str, Random], str]] = (
    broken_wikitext,
    broken_wikitext,
    broken_wikitext,
    deep_wikitext,
    deep_wikitext,
    endless_wikitext,
    strange_text,
)


def sound_export(rng: Random, kinds: list[str]) -> str:
    """Return an export of some pages; what is done to their texts is added to `kinds`."""
    pages = []
    for number in range(rng.randrange(1, 9)):
        text = "\n\n".join(rng.choices(SENTENCES, k=rng.randrange(1, 5)))
        if rng.random() < 0.25:
            change = rng.choice(TEXT_CHANGES)
            text = change(text, rng)
            kinds.append(change.__name__)
        title, namespace = rng.choice(
            [("Town", 0), ("Łąka", 0), ("湖", 0), ("Talk:A", 1), ("Template:x", 10)]
        )
        pages.append(page(f"{title} {number}", text, number=number, namespace=namespace))
    return export(*pages, template_name=rng.choice(["Template", "Szablon", None]))


# --- What stands around the pages ---------------------------------------------------------------------------

TAG = re.compile(r"</?(?:mediawiki|siteinfo|namespaces?|page|title|ns|id|revision|model|text|dbname)\b[^>]*>")
BOMB = (
    "<!DOCTYPE m [<!ENTITY a0 'lol'>"
    + "".join(f"<!ENTITY a{n} '{f'&a{n - 1};' * 10}'>" for n in range(1, 12))
    + "]>"
)


def missing_tag(text: str, rng: Random) -> str:
    """Remove a tag."""
    return _replaced(TAG, text, rng, lambda match: "")


def other_tag(text: str, rng: Random) -> str:
    """Write a tag in another way, or twice, or write another one."""
    others: list[Callable[[re.Match[str]], str]] = [
        lambda match: match[0].upper(),
        lambda match: match[0] * 2,
        lambda match: match[0].replace("<", "<mw:").replace("<mw:/", "</mw:"),
        lambda match: match[0].replace(">", " a='1' a='2'>"),
        lambda match: match[0].replace(">", f" a='{'x' * 100_000}'>"),
        lambda match: match[0].replace(">", "/>"),
        lambda match: match[0].replace("<", "<!-- ").replace(">", " -->"),
        lambda match: f"<![CDATA[{match[0]}]]>",
        lambda match: f"{match[0]}<?x y?>",
        lambda match: "</mediawiki>",
        lambda match: "<page>",
        lambda match: "<text>",
    ]
    return _replaced(TAG, text, rng, rng.choice(others))


def other_namespace(text: str, rng: Random) -> str:
    """Give a page or an entry of the siteinfo a number that is none, or another one."""
    number = rng.choice(["-1", "9" * 5_000, "abc", "", " 0 ", "٣", "1.5", "0x0", "10", "10", "1_0"])
    if rng.random() < 0.5:
        return _replaced(re.compile(r"<ns>\d+</ns>"), text, rng, lambda match: f"<ns>{number}</ns>")
    return _replaced(re.compile(r'key="\d+"'), text, rng, lambda match: f'key="{number}"')


def other_id(text: str, rng: Random) -> str:
    """Give a page the id of another one, a huge one, or none."""
    number = rng.choice(["1", "1", "", "9" * 300_000, "-5", "a b\nc", "é", "&#9;", "&lt;"])
    return _replaced(re.compile(r"<id>\d</id>"), text, rng, lambda match: f"<id>{number}</id>")


def other_title(text: str, rng: Random) -> str:
    """Give a page a huge title, or one of strange characters."""
    title = rng.choice(["T" * 300_000, "", "Template:", ":", "Talk:" * 100, "\u202e", "a\nb\tc", "ﷺ" * 300])
    return _replaced(re.compile(r"<title>[^<]*"), text, rng, lambda match: f"<title>{title}")


def empty_page(text: str, rng: Random) -> str:
    """Add a page without content."""
    pages = (
        "<page/>",
        "<page></page>",
        "<page><title>E</title></page>",
        "<page><title>E</title><revision/></page>",
        "<page><title>E</title><revision><text deleted='deleted'/></revision></page>",
        "<page><title>E</title><ns>0</ns><id>77</id><revision><text/></revision></page>",
        "<page><page><title>E</title></page></page>",
    )
    return _replaced(re.compile("</?page>"), text, rng, lambda match: rng.choice(pages) + match[0])


def history(text: str, rng: Random) -> str:
    """Give the pages several revisions, some of which have no text."""

    def revisions(match: re.Match[str]) -> str:
        others = [
            match[0],
            "<revision><id>1</id></revision>",
            re.sub("<text.*</text>", "", match[0], flags=re.S),
        ]
        return "".join(rng.choices(others, k=rng.randrange(1, 6)))

    return re.sub("<revision>.*?</revision>", revisions, text, flags=re.S)


def deep_xml(text: str, rng: Random) -> str:
    """Nest elements 10,000 deep."""
    elements = [
        (f"<{name}>", f"</{name}>") for name in ("a", "page", "revision", "text", "x:y", "contributor")
    ]
    return _replaced(TAG, text, rng, lambda match: match[0] + nested(elements, rng))


def entity_bomb(text: str, rng: Random) -> str:
    """Define entities that grow tenfold, before the root or in a page, and use them."""
    use = _replaced(re.compile('(?<=<text xml:space="preserve">)'), text, rng, lambda match: "&a11;")
    return rng.choice([BOMB + use, _inserted(use, BOMB, rng), use])


def control_characters(text: str, rng: Random) -> str:
    """Put characters that XML does not allow, or that only look harmless, into the export."""
    return _inserted(
        text, rng.choice(["\0", "\0" * 500, "\x01", "\x1b", "\ufffe", "&#0;", "&#x1F;", "\x7f"]), rng
    )


def other_model(text: str, rng: Random) -> str:
    """Give a page another content model."""
    model = rng.choice(["json", "", "Scribunto", "wikitext\n", "x" * 10_000])
    return _replaced(re.compile("<model>wikitext"), text, rng, lambda match: f"<model>{model}")


def added_redirect(text: str, rng: Random) -> str:
    """Put a redirect element somewhere into a page."""
    element = rng.choice(["<redirect/>", "<redirect title='&lt;'/>", "<redirect title='a' title='b'/>"])
    return _replaced(TAG, text, rng, lambda match: element + match[0])


XML_CHANGES: Sequence[Callable[[str, Random], str]] = (
    missing_tag,
    other_tag,
    other_namespace,
    other_id,
    other_title,
    empty_page,
    history,
    deep_xml,
    entity_bomb,
    control_characters,
    other_model,
    added_redirect,
)


# --- The bytes of the file ----------------------------------------------------------------------------------


def encoded(text: str, rng: Random, kinds: list[str]) -> bytes:
    """Return the bytes of an export, in UTF-8 or not, under a declaration that is true or not."""
    declared = rng.choice(["", "", "utf-8", "UTF-8", "latin-1", "utf-16", "x-none", "us-ascii"])
    codec = rng.choice(
        ["utf-8-sig", "utf-16", "utf-16-be", "utf-16-le", "utf-32", "latin-1", "cp1251", "big5"]
    )
    kinds.append(f"{codec} as {declared or 'nothing'}")
    declaration = f"<?xml version='1.0' encoding='{declared}'?>" if declared else ""
    mark = "\ufeff" if codec == "utf-16-be" and rng.random() < 0.7 else ""
    return (mark + declaration + text).encode(codec, "replace")


def packed(data: bytes, rng: Random) -> bytes:
    """Return one or several bz2 streams, some of them empty or with something else around them."""
    bounds = sorted(rng.randrange(len(data) + 1) for _ in range(rng.choice([0, 0, 1, 4])))
    parts = [data[start:end] for start, end in zip([0, *bounds], [*bounds, len(data)], strict=True)]
    streams = [bz2.compress(part, rng.choice([1, 9])) for part in parts]
    if rng.random() < 0.1:
        streams.insert(rng.randrange(len(streams) + 1), bz2.compress(b""))
    if rng.random() < 0.05:
        streams.insert(
            rng.randrange(len(streams) + 1), rng.choice([b"\0" * 50, b"BZh9", gzip.compress(b"x")])
        )
    return b"".join(streams)


def dump_mutant(seed: int) -> Mutant:
    """Return the damaged dump of a seed: damaged once or a few times, in its texts, its XML or its bytes."""
    rng = random.Random(f"dump {seed}")
    kinds: list[str] = []
    text = sound_export(rng, kinds)
    while not kinds or rng.random() < 0.35:
        change = rng.choice(XML_CHANGES)
        text = change(text, rng)
        kinds.append(change.__name__)
    data = encoded(text, rng, kinds) if rng.random() < 0.1 else text.encode("utf-8", "surrogatepass")
    if rng.random() < 0.25:
        damage = rng.choice(DAMAGES)
        data = damage(data, rng)
        kinds.append(damage.__name__)
    if rng.random() < 0.5:
        return Mutant("xxwiki.xml", data, tuple(kinds))
    data = packed(data, rng)
    if rng.random() < 0.15:
        damage = rng.choice(DAMAGES)
        data = damage(data, rng)
        kinds.append(f"bz2 {damage.__name__}")
    return Mutant("xxwiki.xml.bz2", data, tuple(kinds))


def _inserted(text: str, more: str, rng: Random) -> str:
    place = rng.randrange(len(text) + 1)
    return text[:place] + more + text[place:]


def _replaced(
    pattern: re.Pattern[str], text: str, rng: Random, replacement: Callable[[re.Match[str]], str]
) -> str:
    """Replace one match of `pattern`."""
    matches = list(pattern.finditer(text))
    if not matches:
        return text
    match = rng.choice(matches)
    return text[: match.start()] + replacement(match) + text[match.end() :]
