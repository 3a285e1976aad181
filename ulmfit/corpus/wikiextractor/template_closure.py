"""The templates of a dump on disk, and those of them that a set of pages can reach.

wikiextractor loads every template that it is given each time that it starts. A shard gets the templates that
its pages call, those that these call, and so on. These are never too few, and may be too many: conditions are
not evaluated, and a name that only an expansion could tell, as in `{{{{{1}}}}}`, may be any argument.
"""

from __future__ import annotations

import contextlib
import re
import sqlite3
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from ulmfit.corpus.dumps.reader import Page
from ulmfit.corpus.dumps.redirects import redirect_target, without_spans

WILDCARD = "\x00"
"""Stands in a name for what only the expansion of a parameter or a template would tell."""
LONGEST_NAME = 255
LONGEST_CHAIN = 10
FEWEST_LITERAL = 3
"""Characters before a wildcard that are enough to take every template whose name begins with them."""
NAMES_A_QUERY = 500
MOST_NEW_CHARACTERS = 4_000_000

_TOKEN = re.compile(r"\{{2,}|\}{2,}|\|")
_SUBSTITUTION = re.compile(r"\A(?:safesubst|subst|msgnw|msg|raw)\s*+:\s*+", re.IGNORECASE)
_NOT_INCLUDED = re.compile(r"<noinclude>.*?</noinclude>\n?", re.DOTALL)
_ONLY_INCLUDED = re.compile(r"<onlyinclude>\n?(.*?)\n?</onlyinclude>", re.DOTALL)
_REST_NOT_INCLUDED = re.compile(r"<noinclude\s*+>")
_INCLUSION_TAG = re.compile(r"<noinclude/>\n?|</?includeonly>")
_SCHEMA = "CREATE TABLE IF NOT EXISTS template (name TEXT PRIMARY KEY, target TEXT, body TEXT, uses TEXT)"


@dataclass(frozen=True, slots=True)
class Definition:
    """A template as wikiextractor is to know it: its title without namespace, and its text or its target."""

    title: str
    target: str
    body: str


class Templates:
    """The templates of a dump in the SQLite file `path`."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._new: list[tuple[str, str, str, str]] = []
        self._new_characters = 0

    def add(self, page: Page) -> None:
        """Add a template page; `commit` stores it at the latest. A later page of that name replaces it."""
        namespace, colon, name = page.title.partition(":")
        name = canonical(name if colon else page.title)
        if target := page.redirect or redirect_target(page.text):
            word, _, target = target.partition(":")
            if word.strip().casefold() in (namespace.casefold(), "template"):
                self._new.append((name, canonical(target), "", ""))
        elif body := included(page.text):
            uses = Uses()
            uses.add(body)
            self._new.append((name, "", body, uses.as_text()))
            self._new_characters += len(body)
        if self._new_characters > MOST_NEW_CHARACTERS:
            self.commit()

    def commit(self) -> None:
        """Store what was added since the last time."""
        with self._connected() as database, database:
            database.execute(_SCHEMA)
            database.executemany("INSERT OR REPLACE INTO template VALUES (?, ?, ?, ?)", self._new)
        self._new.clear()
        self._new_characters = 0

    def reachable(self, texts: Iterable[str]) -> Iterator[Definition]:
        """Yield the templates that `texts` can reach; no redirect among them leads to another one.

        Names that are not written like the title (`foo_bar`) are there as redirects.
        """
        uses = Uses()
        for text in texts:
            uses.add(text)
        with self._connected() as database:
            closure = _Closure(database)
            closure.follow(uses)
            yield from closure.definitions()

    @contextlib.contextmanager
    def _connected(self) -> Iterator[sqlite3.Connection]:
        with contextlib.closing(sqlite3.connect(self._path)) as database:
            database.execute("PRAGMA synchronous = OFF")  # a killed process does no harm; a power cut might
            yield database


class Uses:
    """What texts use: `names` of templates as they call them, and `words`, which they give as arguments."""

    def __init__(self) -> None:
        self.names: set[str] = set()
        self.words: set[str] = set()

    def add(self, text: str) -> None:
        """Take in one text, in time linear in its length."""
        calls: list[_Call] = []
        position = 0
        for match in _TOKEN.finditer(text):
            if calls:
                self._read(calls[-1], text[position : match.start()])
            position = match.end()
            token = match.group()
            if token[0] == "{":
                calls.append(_Call(len(token)))
            elif calls and token[0] == "}":
                self._close(calls, len(token))
            elif calls:
                calls[-1].in_name = False
        for call in calls:
            self._called(call.name)

    def _read(self, call: _Call, text: str) -> None:
        if call.in_name:
            call.extend_name(text)
            return
        for word in text.split("=", 1):
            word = word.strip()
            if word and len(word) <= LONGEST_NAME and "\n" not in word and "[" not in word:
                self.words.add(word)

    def _close(self, calls: list[_Call], braces: int) -> None:
        """Close calls with so many braces: three are a parameter's, two are a template's."""
        while braces >= 2 and calls:
            call = calls[-1]
            value = WILDCARD
            if min(call.braces, braces) >= 3:
                closed = 3
                if not call.name.strip():  # {{{|safesubst:}}}
                    value = ""
            else:
                closed = 2
                self._called(call.name)
            braces -= closed
            call.braces -= closed
            if call.braces >= 2:
                call.name, call.in_name = value, True
            else:
                calls.pop()
                if calls and calls[-1].in_name:
                    calls[-1].extend_name(value)

    def _called(self, name: str) -> None:
        name = _SUBSTITUTION.sub("", without_spans(name, "<!--", "-->").strip())
        if name and name[0] not in "#:" and len(name) <= LONGEST_NAME and "\n" not in name:
            self.names.add(name)

    def as_text(self) -> str:
        """Return the uses as text for `merge`."""
        return "\n".join([*sorted(self.names), "", *sorted(self.words)])

    def merge(self, text: str) -> None:
        """Take in uses that `as_text` returned."""
        names, _, words = ("\n" + text).partition("\n\n")
        self.names.update(filter(None, names.split("\n")))
        self.words.update(filter(None, words.split("\n")))


class _Call:
    """What some opening braces began: how many of them are not closed, and the name after them so far."""

    __slots__ = ("braces", "in_name", "name")

    def __init__(self, braces: int) -> None:
        self.braces = braces
        self.in_name = True
        self.name = ""

    def extend_name(self, text: str) -> None:
        if len(self.name) <= LONGEST_NAME:
            self.name += text


class _Closure:
    """The templates that are reached so far."""

    def __init__(self, database: sqlite3.Connection) -> None:
        self._database = database
        self._uses = Uses()
        self._seen: set[str] = set()
        self._reached: set[str] = set()
        self._targets: dict[str, str] = {}
        self._spellings: dict[str, str] = {}
        self._todo: set[str] = set()
        self._found: dict[tuple[str, str], set[str]] = {}

    def follow(self, uses: Uses) -> None:
        """Reach whatever these uses and those of the templates reached can mean."""
        self._take(uses)
        while self._todo:
            self._load()
            if not self._todo:
                self._take_computed_names()

    def definitions(self) -> Iterator[Definition]:
        """Yield what is reached."""
        for name in sorted(self._reached):
            ((body,),) = self._database.execute("SELECT body FROM template WHERE name = ?", (name,))
            yield Definition(name, "", body)
        for title, name in sorted({**self._spellings, **self._targets}.items()):
            target = self._end_of_chain(name)
            if target in self._reached and title != target:
                yield Definition(title, target, "")

    def _take(self, uses: Uses) -> None:
        """Take in uses and queue the names that are new."""
        for spelling in uses.names - self._uses.names:
            if WILDCARD in spelling:
                continue
            for written in {spelling, spelling.partition(":")[2].strip()} - {""}:
                name = canonical(written)
                self._queue(name)
                if _first_upper(written) != name:
                    self._spellings[_first_upper(written)] = name
        self._uses.names |= uses.names
        self._uses.words |= uses.words

    def _queue(self, name: str) -> None:
        if name not in self._seen:
            self._seen.add(name)
            self._todo.add(name)

    def _load(self) -> None:
        """Look up the names in the queue, and take in what those templates use."""
        names, self._todo = sorted(self._todo), set()
        for start in range(0, len(names), NAMES_A_QUERY):
            part = names[start : start + NAMES_A_QUERY]
            query = f"SELECT name, target, uses FROM template WHERE name IN ({','.join('?' * len(part))})"
            for name, target, text in self._database.execute(query, part).fetchall():
                if target:
                    self._targets[name] = target
                    self._queue(target)
                    continue
                self._reached.add(name)
                uses = Uses()
                uses.merge(text)
                self._take(uses)

    def _take_computed_names(self) -> None:
        """Queue whatever the names with wildcards can be."""
        words = {" ".join(word.replace("_", " ").split()) for word in self._uses.words}
        words |= {canonical(word) for word in words}
        for pattern in {canonical(name) for name in self._uses.names if WILDCARD in name}:
            before, _, rest = pattern.partition(WILDCARD)
            after = rest.rpartition(WILDCARD)[2]
            if not before and not after:
                names = {canonical(word) for word in words}
            elif len(before) >= FEWEST_LITERAL or WILDCARD in rest:
                names = self._names_like(before, after)
            else:
                end = -len(after) or None
                names = {name for name in self._names_like(before, after) if name[len(before) : end] in words}
            for name in names:
                self._queue(name)

    def _names_like(self, before: str, after: str) -> set[str]:
        """Return the names of templates that begin with `before` and end with `after`."""
        if (before, after) not in self._found:
            query = """
            SELECT name FROM template WHERE name >= :before AND name < :before || char(1114111)
            AND (:after = '' OR substr(name, -length(:after)) = :after)
            """
            rows = self._database.execute(query, {"before": before, "after": after})
            self._found[before, after] = {name for (name,) in rows}
        return self._found[before, after]

    def _end_of_chain(self, name: str) -> str:
        for _ in range(LONGEST_CHAIN):
            if name not in self._targets:
                break
            name = self._targets[name]
        return name


def canonical(name: str) -> str:
    """Return a title as MediaWiki compares it: spaces for underscores, one at a time, a capital at first."""
    return _first_upper(" ".join(name.replace("_", " ").split()))


def _first_upper(name: str) -> str:
    return name[:1].upper() + name[1:]


def included(text: str) -> str:
    """Return what a template page gives to the pages that call it."""
    text = without_spans(text, "<!--", "-->")
    head, rest = _after_last(text, "</noinclude>")
    text = _NOT_INCLUDED.sub("", head) + rest
    if match := _REST_NOT_INCLUDED.search(text):
        text = text[: match.start()]
    only = "".join(_ONLY_INCLUDED.findall(_after_last(text, "</onlyinclude>")[0]))
    return only or _INCLUSION_TAG.sub("", text)


def _after_last(text: str, tag: str) -> tuple[str, str]:
    """Split `text` one character after the last `tag`: before it, no search for the tag is in vain."""
    place = text.rfind(tag)
    end = place + len(tag) + 1 if place >= 0 else 0
    return text[:end], text[end:]
