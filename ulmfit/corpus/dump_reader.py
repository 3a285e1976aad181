"""A streaming reader of MediaWiki exports: one pass, memory for one page."""

from __future__ import annotations

import bz2
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, BinaryIO
from xml.etree import ElementTree

from ulmfit.errors import InputError


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


@dataclass
class Site:
    """What the head of an export says about its wiki; all of it may be missing."""

    dbname: str = ""
    base: str = ""
    namespaces: dict[int, str] = field(default_factory=dict)


class DumpReader:
    """Iterates over the pages of one export (.xml or .xml.bz2); `site` is filled before the first page.

    Raises InputError when the file is no export, is damaged, or breaks off.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.site = Site()
        self._file: BinaryIO | None = None

    @property
    def position(self) -> int:
        """Bytes of the file that have been read so far (of a .bz2 the compressed ones)."""
        return self._file.tell() if self._file and not self._file.closed else 0

    def __iter__(self) -> Iterator[Page]:
        try:
            with self._open() as self._file:
                packed = self._file.read(3) == b"BZh"
                self._file.seek(0)
                stream = bz2.BZ2File(self._file) if packed else self._file
                yield from self._pages(stream)
        except ElementTree.ParseError as error:
            raise InputError(self._broken(error)) from error
        except EOFError as error:
            raise InputError(
                f"{self.path.name} is truncated: the bz2 stream breaks off; download it again"
            ) from error
        except OSError as error:
            if error.errno is None:  # bz2 reports damaged data so; real I/O errors carry a number
                raise InputError(
                    f"{self.path.name} is damaged: its bz2 data cannot be read ({error}); download it again"
                ) from error
            raise

    def _open(self) -> BinaryIO:
        if not self.path.is_file():
            raise InputError(f"dump {self.path} is not a file; expected a .xml.bz2 or .xml export")
        file = self.path.open("rb")
        head = file.read(512)
        file.seek(0)
        if head.startswith(b"BZh") or head.removeprefix(b"\xef\xbb\xbf").lstrip().startswith(b"<"):
            return file
        file.close()
        what = "is empty" if not head else "is neither bz2 nor XML"
        raise InputError(
            f"{self.path.name} {what}; expected a MediaWiki export such as *-pages-articles.xml.bz2"
        )

    def _broken(self, error: ElementTree.ParseError) -> str:
        line = error.position[0]
        if error.code == 3 or "unclosed" in str(error):  # expat's "no element found"
            return f"{self.path.name} is truncated: the XML breaks off in line {line}; download it again"
        return f"{self.path.name} is not well-formed XML: {error}; expected a MediaWiki export"

    def _pages(self, stream: IO[bytes]) -> Iterator[Page]:
        events = ElementTree.iterparse(stream, events=("start", "end"))
        _, root = next(iter(events))
        if _local(root.tag) != "mediawiki":
            raise InputError(
                f"{self.path.name} is XML, but no MediaWiki export: its root is <{_local(root.tag)}>, "
                f"expected <mediawiki>"
            )
        space = root.tag.removesuffix("mediawiki")
        page_tag, revision_tag, site_tag = space + "page", space + "revision", space + "siteinfo"
        previous: ElementTree.Element | None = None
        for event, element in events:
            if event == "start":
                continue
            if element.tag == revision_tag:
                if previous is not None:
                    previous.clear()  # a history dump: only the last revision counts
                previous = element
            elif element.tag == page_tag:
                page = self._page(element, previous, space)
                previous = None
                root.clear()
                yield page
            elif element.tag == site_tag:
                self.site = _site(element, space)

    def _page(self, element: ElementTree.Element, revision: ElementTree.Element | None, space: str) -> Page:
        title = element.findtext(space + "title") or ""
        number = element.findtext(space + "ns")
        redirect = element.find(space + "redirect")
        inside = revision if revision is not None else ElementTree.Element("revision")
        return Page(
            id=(element.findtext(space + "id") or "").strip(),
            title=title,
            namespace=int(number) if number and number.strip().lstrip("-").isdigit() else self._infer(title),
            redirect=None if redirect is None else redirect.get("title", ""),
            model=inside.findtext(space + "model") or "wikitext",
            timestamp=inside.findtext(space + "timestamp") or "",
            text=inside.findtext(space + "text") or "",
        )

    def _infer(self, title: str) -> int:
        """Old exports have no <ns>: the title's prefix tells."""
        prefix = title.partition(":")[0] if ":" in title else ""
        return next((key for key, name in self.site.namespaces.items() if name and name == prefix), 0)


def _local(tag: str) -> str:
    return tag.rpartition("}")[2]


def _site(element: ElementTree.Element, space: str) -> Site:
    namespaces = {
        int(item.get("key", "0")): item.text or ""
        for item in element.iter(space + "namespace")
        if item.get("key", "0").lstrip("-").isdigit()
    }
    return Site(
        dbname=element.findtext(space + "dbname") or "",
        base=element.findtext(space + "base") or "",
        namespaces=namespaces,
    )
