"""A streaming reader of MediaWiki exports: chunks of whole pages, cut as bytes, parsed one by one.

`<page>` stands in an export only where a page begins, as every `<` of a text is escaped. So a file is cut
into chunks without parsing it, a chunk is parsed by itself, in any process, and a page that is not
well-formed costs only itself.
"""

from __future__ import annotations

import html
import re
from collections.abc import Generator, Iterator
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from xml.parsers import expat

from ulmfit.corpus.dumps.chunks import PAGE_BOUND, TOO_LARGE_TAG, Chunk, ChunkCutter, bound
from ulmfit.corpus.dumps.redirects import redirect_target
from ulmfit.corpus.dumps.stream import DumpStream
from ulmfit.pipeline.errors import InputError

LARGEST_HEAD = 16 << 20
LONGEST_NAME = 1024
OTHER_NAMESPACE, REDIRECT, NOT_WIKITEXT = "other namespace", "redirect", "not wikitext"
EMPTY_PAGE = "empty page"
NOT_WELL_FORMED, TOO_LARGE, NAME_TOO_LONG = "not well-formed", "page too large", "title too long"
ENCODINGS = {"utf-8", "us-ascii", "utf-16"}
BROKEN_OFF = {3, 5, 6, 20}
"""Errors of expat that ask for more: no element, an unclosed token, half a character, an open CDATA."""
TEXT_BUFFER_BYTES = 1 << 18

_PAGE_START = re.compile(rb"<page(?=[\s/>])")
_NUMBER = re.compile(rb"<id>\s*(\d{1,20})\s*</id>")
_TITLE = re.compile(rb"<title>([^<]*)")


@dataclass(frozen=True, slots=True)
class Page:
    """One page, with the text of its last revision."""

    id: str
    title: str
    namespace: int
    redirect: str | None
    model: str
    timestamp: str
    text: str


@dataclass(frozen=True, slots=True)
class DamagedPage:
    """A page that cannot be read; what is known of its id and title, and why."""

    id: str
    title: str
    reason: str


@dataclass
class Site:
    """What the head of an export says about its wiki; all of it may be missing."""

    dbname: str = ""
    base: str = ""
    namespaces: dict[int, str] = field(default_factory=dict)


class DumpReader:
    """Reads one export (.xml, or compressed) from its beginning; `site` is filled before the first chunk.

    `threads` decompress (0: one a core). Raises InputError when the file is no export, is damaged as a whole,
    or breaks off.
    """

    def __init__(self, path: Path, threads: int = 0) -> None:
        self.path = path
        self.site = Site()
        self._threads = threads
        self._stream = DumpStream(path, threads)

    @property
    def position(self) -> int:
        """Bytes of the file that have been read so far (of a .bz2 the compressed ones)."""
        return self._stream.position

    def chunks(self, skip: int = 0) -> Generator[Chunk]:
        """Yield the chunks after the first `skip`; the same ones for any number of threads."""
        self._stream = DumpStream(self.path, self._threads)
        blocks = self._stream.blocks()
        try:
            head, rest = self._read_head(blocks)
            cutter = ChunkCutter(len(head))
            for block in _preceded(rest, blocks):
                yield from (chunk for chunk in cutter.add(block) if chunk.number >= skip)
            if rest and (chunk := self._last(cutter)) and chunk.number >= skip:
                yield chunk
        finally:
            blocks.close()

    def __iter__(self) -> Iterator[Page | DamagedPage]:
        for chunk in self.chunks():
            yield from chunk_pages(chunk.data, self.site)

    def _last(self, cutter: ChunkCutter) -> Chunk | None:
        try:
            return cutter.last()
        except EOFError:
            raise self._stream.broken_off() from None

    def _read_head(self, blocks: Iterator[bytes]) -> tuple[bytes, bytes]:
        """Return what stands before the first page, and what follows of the blocks that were read."""
        data = b""
        for block in blocks:
            data += block
            if match := _PAGE_START.search(data):
                self._parse_head(data[: match.start()], whole=False)
                return data[: match.start()], data[match.start() :]
            if len(data) > LARGEST_HEAD:
                self._parse_head(data, whole=False)
                raise InputError(
                    f"{self.path.name} has no <page> in its first {LARGEST_HEAD >> 20} MiB; "
                    f"expected a MediaWiki export"
                )
        if not data:
            raise self._stream.broken_off()
        self._parse_head(data, whole=True)
        return data, b""

    def _parse_head(self, head: bytes, whole: bool) -> None:
        try:
            self.site = _Head(self.path.name).parse(head, whole)
        except expat.ExpatError as error:
            if whole and error.code in BROKEN_OFF:
                raise self._stream.broken_off() from error
            raise InputError(
                f"{self.path.name} is not well-formed XML: {error}; expected a MediaWiki export"
            ) from error


def chunk_pages(data: bytes, site: Site) -> Iterator[Page | DamagedPage]:
    """Yield the pages of a chunk in their order."""
    try:
        yield from _Pages(site).parse(data)
    except expat.ExpatError:
        for piece in page_pieces(data):
            try:
                yield from _Pages(site).parse(piece)
            except expat.ExpatError:
                yield damaged_page(piece, NOT_WELL_FORMED)


def page_pieces(data: bytes) -> Iterator[bytes]:
    """Yield the pages of a chunk unread; what stands between the pages of a damaged chunk is a piece too."""
    bounds = map(bound, PAGE_BOUND.finditer(data))
    for start, end in pairwise([0, *bounds, len(data)]):
        if piece := data[start:end].strip():
            yield piece


def damaged_page(piece: bytes, reason: str) -> DamagedPage:
    """Return what can be said about an unread page without reading all of it."""
    head = piece[: 4 * LONGEST_NAME]
    number, title = _NUMBER.search(head), _TITLE.search(head)
    name = html.unescape(title[1].decode("utf-8", "replace")) if title else ""
    return DamagedPage(number[1].decode() if number else "", name[:LONGEST_NAME], reason)


def left_out_reason(page: Page) -> str:
    """Return why a page is no article, or an empty string."""
    if page.namespace != 0:
        return OTHER_NAMESPACE
    if page.redirect is not None or redirect_target(page.text) is not None:
        return REDIRECT
    if page.model != "wikitext":
        return NOT_WIKITEXT
    return "" if page.text.strip() else EMPTY_PAGE


class _Head:
    """Reads the root's tag and the siteinfo."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._root = ""
        self._site = Site()
        self._key: int | None = None
        self._text: list[str] = []

    def parse(self, head: bytes, whole: bool) -> Site:
        """Return the site; raises ExpatError, and InputError for what is no export."""
        parser = expat.ParserCreate("utf-8")
        parser.buffer_text = True
        parser.XmlDeclHandler = self._declaration
        parser.StartDoctypeDeclHandler = self._doctype
        parser.StartElementHandler = self._start
        parser.EndElementHandler = self._end
        parser.CharacterDataHandler = self._text.append
        parser.Parse(head, whole)
        if not self._root:
            raise InputError(
                f"{self._name} has no <mediawiki> before its first page: the beginning is missing; "
                f"download it again"
            )
        return self._site

    def _declaration(self, version: str, encoding: str | None, standalone: int) -> None:
        if encoding and encoding.lower() not in ENCODINGS:
            raise InputError(
                f"{self._name} declares the encoding {encoding}; expected UTF-8, or UTF-16 with a byte order "
                f"mark: convert it"
            )

    def _doctype(self, *_: object) -> None:
        raise InputError(f"{self._name} has a DOCTYPE; expected a MediaWiki export, which has none")

    def _start(self, tag: str, attributes: dict[str, str]) -> None:
        if not self._root:
            self._root = tag.rpartition(":")[2]
            if self._root != "mediawiki":
                raise InputError(
                    f"{self._name} is XML, but no MediaWiki export: its root is <{tag[:100]}>, "
                    f"expected <mediawiki>"
                )
        self._text.clear()
        self._key = _integer(attributes.get("key", "0")) if tag == "namespace" else None

    def _end(self, tag: str) -> None:
        text = "".join(self._text)
        if tag == "namespace" and self._key is not None:
            self._site.namespaces[self._key] = text
        elif tag == "dbname":
            self._site.dbname = text
        elif tag == "base":
            self._site.base = text
        self._text.clear()


class _Pages:
    """Parses `<page>` elements; one object serves one run of them."""

    def __init__(self, site: Site) -> None:
        self._site = site
        self._found: list[Page | DamagedPage] = []
        self._depth = 0
        self._parent = ""
        self._page: dict[str, str] = {}
        self._revision: dict[str, str] = {}
        self._redirect: str | None = None
        self._text: list[str] = []

    def parse(self, data: bytes) -> list[Page | DamagedPage]:
        """Return the pages; raises ExpatError where anything is not well-formed."""
        parser = expat.ParserCreate("utf-8")
        parser.buffer_text = True
        parser.buffer_size = TEXT_BUFFER_BYTES
        parser.StartElementHandler = self._start
        parser.EndElementHandler = self._end
        parser.CharacterDataHandler = self._text.append
        parser.Parse(b"<pages>", False)
        parser.Parse(data, False)
        parser.Parse(b"</pages>", True)
        return self._found

    def _start(self, tag: str, attributes: dict[str, str]) -> None:
        self._depth += 1
        if self._depth == 2:
            self._page, self._revision, self._redirect = {}, {}, None
        elif self._depth == 3:
            self._parent = tag
            self._text.clear()
            if tag == "revision":  # of a history, the last one counts
                self._revision = {}
            elif tag == "redirect":
                self._redirect = attributes.get("title", "")
        elif self._depth == 4:
            self._text.clear()

    def _end(self, tag: str) -> None:
        if self._depth == 2 and tag == "page":
            self._found.append(self._made())
        elif self._depth == 3:
            self._page.setdefault(tag, "".join(self._text))
            self._text.clear()
        elif self._depth == 4 and self._parent == "revision":
            self._revision.setdefault(tag, "".join(self._text))
            self._text.clear()
        self._depth -= 1

    def _made(self) -> Page | DamagedPage:
        title = self._page.get("title", "")
        identifier = self._page.get("id", "").strip()
        if TOO_LARGE_TAG in self._page:
            return DamagedPage(identifier[:LONGEST_NAME], title[:LONGEST_NAME], TOO_LARGE)
        if max(len(title), len(identifier)) > LONGEST_NAME:
            return DamagedPage(identifier[:LONGEST_NAME], title[:LONGEST_NAME], NAME_TOO_LONG)
        namespace = _integer(self._page.get("ns", ""))
        return Page(
            id=identifier,
            title=title,
            namespace=self._inferred(title) if namespace is None else namespace,
            redirect=self._redirect,
            model=self._revision.get("model") or "wikitext",
            timestamp=self._revision.get("timestamp", ""),
            text=self._revision.get("text", ""),
        )

    def _inferred(self, title: str) -> int:
        """Old exports have no <ns>: the title's prefix tells."""
        prefix = title.partition(":")[0] if ":" in title else ""
        return next((key for key, name in self._site.namespaces.items() if name and name == prefix), 0)


def _integer(text: str) -> int | None:
    try:
        return int(text)
    except ValueError:
        return None


def _preceded(first: bytes, blocks: Iterator[bytes]) -> Iterator[bytes]:
    yield first
    yield from blocks
