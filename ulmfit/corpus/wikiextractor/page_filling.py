"""Fills a page store from a dump; a reading that was killed goes on after the last shard that it finished."""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import closing
from dataclasses import asdict, dataclass, replace
from itertools import chain, islice
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from ulmfit.corpus.documents import Account
from ulmfit.corpus.dumps.reader import (
    DamagedPage,
    DumpReader,
    Page,
    Site,
    chunk_pages,
    left_out_reason,
)
from ulmfit.corpus.fast.shards import DAMAGED_PAGE
from ulmfit.corpus.sampling import SAMPLE_SALT, CountedIn, SampleBound, Selection, counter, salted_hash
from ulmfit.corpus.wikiextractor import wikitext
from ulmfit.corpus.wikiextractor.page_store import (
    FORMAT,
    TEMPLATE_NAMESPACE,
    TEMPLATES,
    Store,
    index_path,
    page_element,
    pages_path,
    shard_articles,
    shard_lines,
    site_of,
    write_store,
)
from ulmfit.corpus.wikiextractor.template_closure import Templates
from ulmfit.pipeline.errors import InputError
from ulmfit.pipeline.files import read_json, write_json

BEGUN = "filling.json"
MOST_PAGES = 100_000
"""Pages of a dump that make a shard even if the sample needs nothing of them."""
LOG_EVERY_SECONDS = 30.0


def fill_store(
    folder: Path,
    dumps: Sequence[Path],
    identity: dict[str, Any],
    *,
    max_documents: int | None,
    max_tokens: int | None = None,
    min_words: int = 0,
    counted_in: CountedIn = "words",
    shard_bytes: int,
    log: Callable[[str], None],
    warn: Callable[[str], None] | None = None,
) -> Store:
    """Read `dumps` once and return the finished store; raises InputError for damaged or foreign files.

    With `max_documents` or `max_tokens` the articles are kept that a sample of so many documents or words may
    need, as some give no text and all give less text than wikitext. The sample is chosen after extraction.
    """
    begun = {"format": FORMAT, **identity}
    if _json_in(folder / BEGUN) != begun:
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        write_json(folder / BEGUN, begun)
    wanted = Selection(
        max_documents=None if max_documents is None else max_documents + max_documents // 4 + 100,
        max_tokens=None if max_tokens is None else 2 * max_tokens,
        min_words=min_words,
        counted_in=counted_in,
    )
    filling = _Filling(folder, dumps, shard_bytes, wanted, log, warn or log)
    filling.resume()
    filling.read()
    store = filling.finished()
    write_store(store, identity)
    return store


@dataclass(frozen=True, slots=True)
class _Progress:
    """What is read and stored: so many shards, of dump number `dump` so many chunks and pages of the next."""

    shards: int = 0
    dump: int = 0
    chunks: int = 0
    pages: int = 0
    newest: str = ""
    template_name: str = ""
    site: Site | None = None


class _Read(NamedTuple):
    """A page and where it stands: the number of its chunk, its own number in there."""

    chunk: int
    number: int
    page: Page | DamagedPage


class _Filling:
    """A store that is being written."""

    def __init__(
        self,
        folder: Path,
        dumps: Sequence[Path],
        shard_bytes: int,
        wanted: Selection,
        log: Callable[[str], None],
        warn: Callable[[str], None],
    ) -> None:
        self._folder, self._dumps, self._shard_bytes = folder, dumps, shard_bytes
        self._log, self._warn = log, warn
        self._wanted = wanted
        self._bound = SampleBound(wanted)
        self._templates = Templates(folder / TEMPLATES)
        self._progress = _Progress()
        self._sizes = [path.stat().st_size if path.is_file() else 0 for path in dumps]
        self._shown = time.monotonic()

    def resume(self) -> None:
        """Go to where an earlier reading was ended."""
        while content := _json_in(self._mark_path()):
            try:
                progress = _Progress(**{**content, "site": site_of(content["site"])})
            except (ValueError, KeyError, TypeError, AttributeError):
                break  # altered: the shard is read again
            self._take_in(progress)
        if self._progress.shards:
            self._log(f"{self._progress.shards} shards of the dump were read before")

    def read(self) -> None:
        """Read the dumps to their end."""
        for place in range(self._progress.dump, len(self._dumps)):
            reader = DumpReader(self._dumps[place])
            with closing(self._pages(reader)) as pages:
                for first in pages:
                    site = self._progress.site or reader.site
                    self._progress = replace(self._progress, dump=place, site=site)
                    self._fill_shard(chain([first], pages))
            self._progress = replace(self._progress, dump=place + 1, chunks=0, pages=0)

    def finished(self) -> Store:
        """Return the store; raises InputError where there are no articles."""
        account = Account(" + ".join(path.name for path in self._dumps))
        articles = 0
        for shard in range(self._progress.shards):
            for line in shard_lines(self._folder, shard):
                account.pages_read += 1
                if len(line) == 2:
                    account.leave_out(line[1], line[0])
                else:
                    articles += 1
        if not articles:
            raise InputError(
                f"{account.source} holds no articles: {account.pages_read} pages, of which "
                f"{account.counts()}; expected an export with articles, such as *-pages-articles.xml.bz2"
            )
        self._log(f"read {account.pages_read:,} pages, {articles:,} articles")
        site = self._progress.site or Site()
        return Store(
            folder=self._folder,
            site=site,
            account=account,
            shards=self._progress.shards,
            articles=articles,
            threshold=self._bound.threshold,
            template_name=site.namespaces.get(TEMPLATE_NAMESPACE)
            or self._progress.template_name
            or "Template",
            newest=self._progress.newest,
        )

    def _pages(self, reader: DumpReader) -> Generator[_Read]:
        """Yield the pages of a dump that are not stored yet."""
        done = self._progress.chunks, self._progress.pages
        with closing(reader.chunks(skip=done[0])) as chunks:
            for chunk in chunks:
                self._show(reader)
                for number, page in enumerate(chunk_pages(chunk.data, reader.site)):
                    if (chunk.number, number) >= done:
                        yield _Read(chunk.number, number, page)

    def _fill_shard(self, pages: Iterator[_Read]) -> None:
        """Write one shard; takes as many of the pages as it needs."""
        with _Shard(self._folder, self._progress, self._wanted, self._bound.threshold) as shard:
            for read in islice(pages, MOST_PAGES):
                self._add(read.page, shard)
                if shard.size >= self._shard_bytes:
                    break
        self._templates.commit()
        done = replace(
            self._progress,
            chunks=read.chunk,
            pages=read.number + 1,
            shards=self._progress.shards + 1,
            newest=shard.newest,
            template_name=shard.template_name,
        )
        write_json(self._mark_path(), asdict(done))
        self._take_in(done)

    def _add(self, page: Page | DamagedPage, shard: _Shard) -> None:
        if isinstance(page, DamagedPage):
            shard.leave_out(page, DAMAGED_PAGE)
            self._warn(f"damaged page {page.id or page.title} ({page.title!r}): {page.reason}")
            return
        shard.newest = max(shard.newest, page.timestamp)
        if page.namespace == TEMPLATE_NAMESPACE:
            self._templates.add(page)
            shard.template_name = shard.template_name or page.title.rpartition(":")[0]
        if reason := left_out_reason(page):
            shard.leave_out(page, reason)
        else:
            shard.add_article(page)

    def _take_in(self, done: _Progress) -> None:
        """Go on from a finished shard, the last one of `done`."""
        self._progress = done
        if self._wanted.samples:
            articles = list(shard_articles(self._folder, done.shards - 1))
            hashes = np.array([article.hash for article in articles], np.uint64)
            self._bound.add(hashes, np.array([article.words for article in articles], np.uint32))

    def _mark_path(self) -> Path:
        """What says that the next shard is finished, once it is."""
        return self._folder / f"pages-{self._progress.shards:05}.json"

    def _show(self, reader: DumpReader) -> None:
        if time.monotonic() - self._shown > LOG_EVERY_SECONDS:
            self._shown = time.monotonic()
            done = sum(self._sizes[: self._progress.dump]) + reader.position
            self._log(f"reading: {done / max(1, sum(self._sizes)):.0%} of the dump")


class _Shard:
    """A shard that is being written; `size` counts the bytes of its articles."""

    def __init__(self, folder: Path, progress: _Progress, wanted: Selection, threshold: int | None) -> None:
        self.size = 0
        self.newest, self.template_name = progress.newest, progress.template_name
        self._articles = 0
        self._threshold = threshold
        self._counts_words = wanted.max_tokens is not None or wanted.min_words > 0
        self._count = counter(wanted.counted_in)
        self._template_word = progress.site.namespaces.get(TEMPLATE_NAMESPACE, "") if progress.site else ""
        self._paths = pages_path(folder, progress.shards), index_path(folder, progress.shards)

    def __enter__(self) -> _Shard:
        self._pages, self._index = (path.open("wb") for path in self._paths)
        return self

    def __exit__(self, *_: object) -> None:
        self._pages.close()
        self._index.close()

    def leave_out(self, page: Page | DamagedPage, reason: str) -> None:
        """Note a page that is no article."""
        self._note([page.id or page.title, reason])

    def add_article(self, page: Page) -> None:
        """Note an article, and store it where the sample may need it."""
        identifier = page.id or page.title
        value = salted_hash(SAMPLE_SALT, identifier)
        start, words = self.size, 0
        if self._threshold is None or value <= self._threshold:
            title = wikitext.GUARD + page.title if self._is_swallowed(page.title) else page.title
            text = wikitext.prepared(page.text, page.timestamp)
            self.size += self._pages.write(page_element(title, 0, str(self._articles), text))
            if self._counts_words:
                words = self._count(wikitext.rough_prose(page.text))
        self._note([identifier, page.title, value, words, start, self.size - start])
        self._articles += 1

    def _is_swallowed(self, title: str) -> bool:
        """Whether wikiextractor would take an article for a template; where the word is unknown it might."""
        return not self._template_word or title.startswith(self._template_word)

    def _note(self, line: list[object]) -> None:
        self._index.write(json.dumps(line, ensure_ascii=False).encode("utf-8") + b"\n")


def _json_in(path: Path) -> dict[str, Any] | None:
    try:
        content = read_json(path)
    except (OSError, ValueError):
        return None
    return content if isinstance(content, dict) else None
