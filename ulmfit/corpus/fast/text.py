"""Wikitext -> visible text, without expanding templates: the second extraction engine.

Visible is what a reader of the article reads as text: paragraphs, headings with text under them, list items,
indented lines, quotations, poems, the labels of links, small, raised and lowered text. Dropped are templates
(but for the texts of those that only format), tables, pictures with their captions, references, categories,
links to other languages, comments, formulas, source code, preformatted blocks, magic words and hidden text.

The steps follow MediaWiki's own order, each on the whole page: first what stands above all else (comments,
extension tags), then templates, tables, links, HTML tags, and the lines last. Each step looks for its
characters, which is quick, before it works; each is linear in the length of the page, whatever is not closed.
"""

from __future__ import annotations

import html
import re
from html.entities import html5

from ulmfit.corpus.cleaning import is_table_row, tidied
from ulmfit.corpus.fast.links import LinkNames, with_labels
from ulmfit.corpus.fast.templates import BREAK, without_templates

__all__ = ["LinkNames", "article_text"]

_JOINT = "\x7f"
"""Replaces a `<nowiki/>`, which separates characters that together would be markup; cleaning drops it."""

# MediaWiki's own tags and those of the extensions on Wikimedia's wikis, as their pages Special:Version list
# them. Dropped is what holds no running text: notation, code, data, lists that are made elsewhere. `chem` and
# `ce` are Math's, `languages` Translate's, `pages`, `pagelist` and `pagequality` ProofreadPage's, `thread`
# and `talkpage` LiquidThreads', `mapframe` and `maplink` Kartographer's, `listing` Wikivoyage's.
_DROPPED = (
    "ref references gallery math chem ce score timeline source syntaxhighlight imagemap hiero pre graph quiz "
    "includeonly templatedata templatestyles mapframe maplink inputbox categorytree indicator charinsert "
    "languages dynamicpagelist intersection rss page-collection pages pagelist pagequality thread talkpage "
    "listing"
)
_EXTENSIONS = [*_DROPPED.split(), "nowiki"]
_OPENING = re.compile(rf"<!--|<({'|'.join(_EXTENSIONS)})(?=[\s/>])[^<>]*+>", re.IGNORECASE)
_CLOSING = {name: re.compile(rf"</{name}\s*>", re.IGNORECASE) for name in _EXTENSIONS}
_AS_WRITTEN = str.maketrans({character: f"&#{ord(character)};" for character in "[]{}|'*#:;=<>!-_"})

_DEFINITION = re.compile(r"(\n[*#:;]*;)([^\n]*)")
_COLON_OR_BRACKET = re.compile(r"[\[\]<>{}]|:(?!//)")
_VARIANTS = re.compile(r"-\{([^{}]*)\}-")
_CODE = r"[a-z]{2,3}(?:-[a-z]+)*"
_VARIANT = re.compile(rf"\s*+(?:[^:;]*=>)?\s*+{_CODE}\s*+:([^;]*+)")
_TABLE = re.compile(r"\n[ \t:*#;]*+(\{\||\|\})")
_TABLE_TAG = re.compile(r"<(/?)table(?=[\s>])[^<>]*+>", re.IGNORECASE)
_TABLE_ROW = re.compile(r"\n[ \t]*[|!][^\n]*")
_TAG = re.compile(r"<(/?)([A-Za-z][A-Za-z0-9-]*|קטע)(?=[\s/\\>])([^<>]*+)>")
_HIDING = re.compile(r"display\s*:\s*none|visibility\s*:\s*hidden", re.IGNORECASE)
_HAS_TABLE_TAG = re.compile("<[Tt][Aa][Bb][Ll][Ee]")
_HAS_POEM = re.compile("<[Pp][Oo][Ee][Mm]")
_POEM = re.compile(r"<poem(?=[\s>])[^<>]*+>([^<]*+(?:<(?!/?poem)[^<]*+)*+)</poem>", re.IGNORECASE)
_POEM_LINE = re.compile(r"\n:*")
_BLOCKS = "br p div center blockquote poem li ul ol dl dt dd hr table caption tbody thead tr td th"
_INLINES = (
    "b i u s a q em tt rb rt rp rtc big sub sup del ins kbd var dfn bdi bdo wbr code span font abbr cite "
    "mark ruby samp small strong strike time data nobr acronym meta link noinclude onlyinclude "
    # Extensions whose content is text: Phonos, LanguageConverter, Translate, LabeledSectionTransclusion (with
    # the names of its tag in German, Portuguese and Hebrew).
    "phonos langconvert translate tvar section abschnitt trecho קטע"
)
_SHOWN_TAGS = {
    **dict.fromkeys([*_INLINES.split(), *_EXTENSIONS], ""),
    **dict.fromkeys([*_BLOCKS.split(), "h1", "h2", "h3", "h4", "h5", "h6"], BREAK),
}
TAG_NAMES = frozenset([*_SHOWN_TAGS, "poem"])
"""Tags that MediaWiki or its extensions know, in small letters: in a text they are left-over markup."""
_SWITCH = re.compile(r"__([^\W\d_]+(?:_[^\W\d_]+)*)__")
_MARKED = frozenset(["", *"=*#:;|!{- \t"])
_SEPARATORS = frozenset([", ", ". ", "; ", ": "])
_QUOTES = re.compile(r"('{2,})")
_REFERENCE = re.compile(r"&(?:#[0-9]{1,7}|#[xX][0-9a-fA-F]{1,6}|[A-Za-z][A-Za-z0-9]{1,31});")


def article_text(wikitext: str, names: LinkNames, *, headings: bool = True) -> str:
    """Return the visible text of an article in NFC, one line per paragraph, heading or list item.

    `names` are those of the article's wiki. With `headings=False` no heading is kept; otherwise those are
    that have text under them. No text raises an error; malformed wikitext loses as little as in
    MediaWiki.
    """
    text = "\n" + without_extensions(wikitext)
    text = without_templates(text)
    text = without_tables(text)
    if ";" in text:
        text = _DEFINITION.sub(_definition, text)
    text = with_labels(text, names)
    if "{" in text and "-{" in text:
        text = one_variant(text)
    if "<" in text:
        text = without_tags(text)
    if "_" in text and "__" in text:
        text = _SWITCH.sub(_switch, text)
    if "&" in text:
        text = text.replace("&nbsp;", " ")
    text = "\n".join(_Page(headings).read(text)).replace(BREAK, "\n")
    if "|" in text:  # between cells of a table that is gone
        text = text.replace("||", " ")
    if "&" in text:
        text = _REFERENCE.sub(_character, text)
    return tidied(text)


def without_extensions(text: str) -> str:
    """Return `text` without comments and elements whose content is no wikitext, and `<nowiki>` as shown."""
    if "<" not in text:
        return text
    kept = []
    position = 0
    unclosed: set[str] = set()  # no more closing tags of this kind
    while match := _OPENING.search(text, position):
        start, end = match.span()
        kept.append(text[position:start])
        position = end
        if match[1] is None:
            position = text.find("-->", end) + 3
            if position == 2:  # a comment that nothing closes hides the rest
                return "".join(kept)
            if text[position : position + 1] == "\n" and text[start - 1 : start] in ("\n", ""):
                position += 1  # a line of its own
            continue
        name = match[1].lower()
        if text[end - 2] == "/":
            kept.append(_JOINT if name == "nowiki" else "")
        elif name not in unclosed:
            closing = _CLOSING[name].search(text, end)
            if closing is None:
                unclosed.add(name)
                continue
            position = closing.end()
            if name == "nowiki":
                kept.append(text[end : closing.start()].translate(_AS_WRITTEN))
    kept.append(text[position:])
    return "".join(kept)


def without_tables(text: str) -> str:
    """Return `text` without tables, `{|` to `|}` or HTML; of one that nothing closes, drop the rows."""
    if _HAS_TABLE_TAG.search(text):
        text = _TABLE_TAG.sub(lambda match: "\n|}\n" if match[1] else "\n{|\n", text)
    if "{" not in text and "}" not in text:
        return text
    first, *others = _TABLE.split(text)
    kept = [first]
    opened: list[int] = []  # where in `kept` the open tables begin
    for token, following in zip(others[::2], others[1::2], strict=True):
        if token == "{|":
            opened.append(len(kept))
            kept.append(following)
        else:
            if opened:
                del kept[opened.pop() :]
            kept.append("\n" + following)
    if not opened:
        return "".join(kept)
    for start in opened:
        kept[start] = "\n" + kept[start].partition("\n")[2]  # without the attributes
    return "".join(kept[: opened[0]]) + _TABLE_ROW.sub("", "".join(kept[opened[0] :]))


def one_variant(text: str) -> str:
    """Show the first variant of `-{zh-hans:...;zh-hant:...}-`, and what other conversion marks show."""
    for _ in range(4):
        shown = _VARIANTS.sub(_variant, text)
        if shown == text:
            break
        text = shown
    return text


def _variant(match: re.Match[str]) -> str:
    flags, bar, content = match[1].rpartition("|")
    if bar and not {"H", "T", "-"}.isdisjoint(map(str.strip, flags.split(";"))):
        return ""
    rule = _VARIANT.match(content)
    return rule[1].strip() if rule else content


def _definition(match: re.Match[str]) -> str:
    """Part `;term:definition` where MediaWiki does: at the first colon in no link, tag or conversion."""
    depth = 0
    for token in _COLON_OR_BRACKET.finditer(match[2]):
        if token[0] != ":":
            depth += 1 if token[0] in ("[", "<", "{") else -1
        elif depth == 0:
            term, definition = match[2][: token.start()], match[2][token.end() :]
            return f"{match[1]}{term.rstrip()}{BREAK}{definition.lstrip()}"
    return match[0]


def without_tags(text: str) -> str:
    """Return `text` without HTML tags and hidden elements; tags that MediaWiki does not know are text."""
    if ("style" in text or "STYLE" in text or "Style" in text) and _HIDING.search(text):
        text = _without_hidden(text)
    if _HAS_POEM.search(text):
        text = _POEM.sub(lambda match: BREAK + _POEM_LINE.sub(BREAK, match[1]) + BREAK, text)
    return _TAG.sub(_shown_tag, text)


def _shown_tag(match: re.Match[str]) -> str:
    return _SHOWN_TAGS.get(match[2].lower(), match[0])


def _without_hidden(text: str) -> str:
    kept = []
    position = 0
    hidden, depth, start = "", 0, 0  # the hidden element that is open, how often, and where it begins
    for match in _TAG.finditer(text):
        closing, name, attributes = match.groups()
        if not hidden:
            if not closing and not attributes.endswith("/") and _HIDING.search(attributes):
                hidden, depth, start = name.lower(), 1, match.start()
        elif name.lower() == hidden and not attributes.endswith("/"):
            depth += -1 if closing else 1
            if not depth:
                kept.append(text[position:start])
                position = match.end()
                hidden = ""
    kept.append(text[position:])
    return "".join(kept)


def _switch(match: re.Match[str]) -> str:
    """Drop `__NOTOC__` in any language, and keep `__init__`."""
    return "" if match[1] == match[1].upper() or match[1].lower().endswith("toc") else match[0]


def _character(match: re.Match[str]) -> str:
    """Resolve a character reference; a name that HTML does not know stays as it is.

    A number that no text may hold, such as that of a control character, parts words like a space.
    """
    name = match[0][1:]
    return html.unescape(match[0]) or " " if name[0] == "#" else html5.get(name, match[0])


class _Page:
    """Puts the lines of an article together: paragraphs, list items, and headings once text follows them."""

    def __init__(self, headings: bool) -> None:
        self._keep_headings = headings
        self._lines: list[str] = []
        self._paragraph: list[str] = []
        self._waiting: list[tuple[int, str]] = []  # headings without text under them, and their levels
        self._in_rows = False

    def read(self, text: str) -> list[str]:
        """Return the lines of text of wikitext that has only marks of lines and quotes left."""
        paragraph = self._paragraph
        for line in text.split("\n"):
            if line[:1] not in _MARKED:
                paragraph.append(line)
                continue
            if paragraph:
                self._end_paragraph()
            if line:
                self._read_marked(line)
        if paragraph:
            self._end_paragraph()
        return self._lines

    def _end_paragraph(self) -> None:
        self._in_rows = False
        self._add(self._paragraph[0] if len(self._paragraph) == 1 else " ".join(self._paragraph))
        self._paragraph.clear()

    def _read_marked(self, line: str) -> None:
        first = line[0]
        if first in "*:#":
            self._add(line.lstrip("*#:;"))
        elif first == "=" and line.rstrip().endswith("=") and len(line) > 2:
            self._read_heading(line.rstrip())
        elif is_table_row(line.lstrip()) or (first == "!" and self._in_rows):
            self._in_rows = True
        elif first == ";":
            self._add(line.lstrip("*#:;"))
        elif line.startswith("----"):
            self._add(line.lstrip("-"))
        else:
            self._add(line.lstrip(" \t*#:;"))

    def _read_heading(self, line: str) -> None:
        level = min(len(line) - len(line.lstrip("=")), len(line) - len(line.rstrip("=")), 6)
        while self._waiting and self._waiting[-1][0] >= level:
            self._waiting.pop()
        title = _without_quotes(line[level:-level].replace(BREAK, " ")).strip()
        if title and self._keep_headings:
            self._waiting.append((level, title))

    def _add(self, line: str) -> None:
        if "''" in line:
            line = _without_quotes(line)
        line = line.strip()
        if line[:2] in _SEPARATORS:  # of a template that is gone
            line = line[2:]
        if len(line) < 8 and not line.isalnum() and not any(map(str.isalnum, line)):
            return
        if self._waiting:
            self._lines.extend(title for _, title in self._waiting)
            self._waiting.clear()
        self._lines.append(line)


def _without_quotes(line: str) -> str:
    """Drop the quotes of italic and bold, and keep those that MediaWiki shows as apostrophes."""
    if "''''" not in line:
        without_bold = line.replace("'''", "")
        odd_bold = (len(line) - len(without_bold)) % 2  # of three quotes each
        if not odd_bold or without_bold.count("''") % 2 == 0:
            return without_bold.replace("''", "")
    pieces = _QUOTES.split(line)
    lengths = list(map(len, pieces[1::2]))
    bold = sum(length > 2 for length in lengths)
    italic = sum(length == 2 or length > 4 for length in lengths)
    pieces[1::2] = ["'" * (length == 4 or max(0, length - 5)) for length in lengths]
    candidates = [number for number, length in enumerate(lengths) if length in (3, 4)]
    if bold % 2 and italic % 2 and candidates:
        ranks = [_apostrophe_rank(pieces[2 * number] + pieces[2 * number + 1]) for number in candidates]
        pieces[2 * candidates[ranks.index(min(ranks))] + 1] += "'"
    return "".join(pieces)


def _apostrophe_rank(before: str) -> int:
    """Return how unlike an apostrophe three quotes are after `before`: MediaWiki looks for `l'''` first."""
    if before.endswith(" "):
        return 2
    return 0 if before[-2:-1] == " " else 1
