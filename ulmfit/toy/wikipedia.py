"""A MediaWiki dump of the Talvuri Wikipedia: an INVENTED language, generated text, honestly labelled so.

The dump has what real ones have: namespaces named in the language, templates that the articles use, a
category page for every theme, redirects, talk pages, and articles in wiki markup. Same seed, same bytes.
"""

from __future__ import annotations

import bz2
import hashlib
import random
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from xml.sax.saxutils import escape, quoteattr

from ulmfit.pipeline.files import atomic_path
from ulmfit.toy import LANGUAGE_CODE, LANGUAGE_NAME, NOTICE
from ulmfit.toy.articles import ArticleWriter, Subject, named
from ulmfit.toy.lexicon import Lexicon, frequent_first, lexicon
from ulmfit.toy.sentences import Speaker, sentence

SITE_NAME = f"{LANGUAGE_NAME} Wikipedia (invented toy language, generated text)"
TIMESTAMP = "2000-01-01T00:00:00Z"
"""Of every revision: bytes must not depend on the day."""

_EXPORT = "http://www.mediawiki.org/xml/export-0.11/"
_NAMESPACES = {-2: "media", -1: "special", 1: "talk", 2: "user", 4: "project", 6: "file", 8: "interface"}
_NAMESPACES |= {10: "template", 12: "help", 14: "category"}
_ARTICLE, _TALK, _TEMPLATE, _CATEGORY = 0, 1, 10, 14


@dataclass(frozen=True)
class Page:
    """One page of the wiki, in its last revision."""

    title: str
    namespace: int
    text: str
    redirect: str = ""
    """Title of the page that it leads to; empty: it is no redirect."""


def write_dump(path: Path, seed: int, articles: int = 600) -> None:
    """Write a `pages-articles.xml.bz2` with that many articles (and redirects, talk pages, templates ...)."""
    words = lexicon()
    with atomic_path(path) as temporary, bz2.open(temporary, "wt", encoding="utf-8", newline="\n") as dump:
        dump.write(_opening(words))
        for number, page in enumerate(pages(seed, articles), start=1):
            dump.write(_page_xml(page, number))
        dump.write("</mediawiki>\n")


# --- Pages --------------------------------------------------------------------------------------------------


def pages(seed: int, articles: int) -> Iterator[Page]:
    """Yield the pages: templates, categories, then articles with their talk pages and redirects."""
    words, rng = lexicon(), random.Random(f"wikipedia {seed}")
    yield from _template_pages(words)
    yield from _category_pages(words)
    subjects = _subjects(words, rng, articles)
    titles = {subject.head: subject.title for subject in subjects if " " not in subject.title}
    writer, speaker = ArticleWriter(words, rng, titles), Speaker(words, rng)
    for number, subject in enumerate(subjects):
        yield Page(subject.title, _ARTICLE, writer.article(subject))
        if number % 6 == 0:
            said = sentence([speaker.neutral(subject.theme)])
            yield Page(f"{named(words, 'talk')}:{subject.title}", _TALK, f"== ? ==\n: {said} --~~~~\n")
        if number % 8 == 0:
            other = f"{subject.title} ({words.headings[0].form})"
            text = f"#REDIRECT [[{subject.title}]]\n"
            yield Page(other, _ARTICLE, text, redirect=subject.title)


def _subjects(words: Lexicon, rng: random.Random, count: int) -> list[Subject]:
    """First every noun with a theme; then things and people that have a name, no title twice."""
    nouns = [Subject(noun.form.capitalize(), theme, noun) for theme in words.themes for noun in theme.nouns]
    subjects = {subject.title: subject for subject in rng.sample(nouns, min(count, len(nouns)))}
    while len(subjects) < count:
        subject = _named_subject(words, rng)
        subjects.setdefault(subject.title, subject)
    return rng.sample(list(subjects.values()), count)


def _named_subject(words: Lexicon, rng: random.Random) -> Subject:
    theme, (one, other) = rng.choice(words.themes), rng.sample(words.names, 2)
    draw = rng.random()
    if draw < 0.7:
        noun = rng.choice(theme.nouns)
        return Subject(f"{one.form} {noun.form}", theme, noun)
    title = f"{one.form} & {other.form}" if draw < 0.75 else f"{one.form} {other.form}"
    return Subject(title, theme, frequent_first(rng, words.people))


def _template_pages(words: Lexicon) -> Iterator[Page]:
    kind, title, size = (words.wiki_words[key].form for key in ("kind", "title", "size"))
    rows = "".join(f"|-\n! {key}\n| {{{{{{{key}|&mdash;}}}}}}\n" for key in (kind, size))
    texts = {
        "box": f'{{| class="infobox"\n|+ {{{{{{{title}}}}}}}\n{rows}|}}<noinclude>\n{NOTICE}\n</noinclude>',
        "stub": f"<noinclude>{NOTICE}</noinclude><includeonly>''{words.headings[1].form}''</includeonly>",
        "source": "{{{1}}}, ''{{{2}}}'', {{#if:{{{3|}}}|{{{3}}}|&ndash;}}",
        "measure": "{{{1}}}&nbsp;{{{2|}}}",
    }
    for role, text in texts.items():
        yield Page(f"{named(words, 'template')}:{named(words, role)}", _TEMPLATE, text)


def _category_pages(words: Lexicon) -> Iterator[Page]:
    for theme in words.themes:
        yield Page(f"{named(words, 'category')}:{theme.nouns[0].form.capitalize()}", _CATEGORY, f"{NOTICE}\n")


# --- XML ----------------------------------------------------------------------------------------------------


def _opening(words: Lexicon) -> str:
    names = {0: ""}
    for key, role in _NAMESPACES.items():
        names[key] = named(words, role)
        if key >= 2:
            names[key + 1] = f"{named(words, 'talk')} {named(words, role).lower()}"
    listed = "".join(
        f'      <namespace key="{key}" case="first-letter"' + (f">{name}</namespace>\n" if name else " />\n")
        for key, name in sorted(names.items())
    )
    return (
        f'<mediawiki xmlns="{_EXPORT}" version="0.11" xml:lang="{LANGUAGE_CODE}">\n'
        f"  <siteinfo>\n    <sitename>{SITE_NAME}</sitename>\n    <dbname>{LANGUAGE_CODE}wiki</dbname>\n"
        f"    <base>https://{LANGUAGE_CODE}.wikipedia.invalid/Start</base>\n"
        f"    <generator>{NOTICE}</generator>\n    <case>first-letter</case>\n"
        f"    <namespaces>\n{listed}    </namespaces>\n  </siteinfo>\n"
    )


def _page_xml(page: Page, number: int) -> str:
    redirect = f"    <redirect title={quoteattr(page.redirect)} />\n" if page.redirect else ""
    size, sha1 = len(page.text.encode()), _base36_sha1(page.text)
    return (
        f"  <page>\n    <title>{escape(page.title)}</title>\n    <ns>{page.namespace}</ns>\n"
        f"    <id>{number}</id>\n{redirect}"
        f"    <revision>\n      <id>{number + 10_000}</id>\n      <timestamp>{TIMESTAMP}</timestamp>\n"
        f"      <contributor>\n        <username>Generator</username>\n        <id>1</id>\n"
        f"      </contributor>\n      <origin>{number + 10_000}</origin>\n"
        f"      <model>wikitext</model>\n      <format>text/x-wiki</format>\n"
        f'      <text bytes="{size}" sha1="{sha1}" xml:space="preserve">{escape(page.text)}</text>\n'
        f"      <sha1>{sha1}</sha1>\n    </revision>\n  </page>\n"
    )


def _base36_sha1(text: str) -> str:
    """Return the SHA-1 as MediaWiki writes it: 31 digits to the base 36."""
    rest, digits = int(hashlib.sha1(text.encode()).hexdigest(), 16), ""
    while rest:
        rest, digit = divmod(rest, 36)
        digits = "0123456789abcdefghijklmnopqrstuvwxyz"[digit] + digits
    return digits.rjust(31, "0")
