"""The articles of a dump on disk: shards for wikiextractor, their index, the templates, the account so far.

Files in the store's folder:
- `pages-00000.xml`: one `<page>` element an article, its number as `<id>`; no header, so that any of them can
  be put together to an export (`write_export`);
- `pages-00000.jsonl`: a line an article with its id, title, sampling hash, and where its element stands;
- `templates.xml`: the template pages, in the form that wikiextractor's `--templates` reads;
- `store.json`: the site, the account, the shards. Written last: without it the store is not finished.
"""

from __future__ import annotations

import heapq
import json
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, BinaryIO

from ulmfit.corpus import wikitext
from ulmfit.corpus.documents import SAMPLE_SALT, Account, salted_hash
from ulmfit.corpus.dump_reader import DumpReader, Page, Site
from ulmfit.errors import InputError
from ulmfit.files import read_json, write_json

STORE = "store.json"
FORMAT = 1
MIB = 1 << 20
LARGEST_SHARD = 256 * MIB
TEMPLATE_NAMESPACE = 10
OTHER_NAMESPACE, REDIRECT, NOT_WIKITEXT = "other namespace", "redirect", "not wikitext"
EMPTY_PAGE = "empty page"
LOG_EVERY_SECONDS = 30.0


@dataclass(frozen=True, slots=True)
class Article:
    """A line of the index; `bytes` is 0 when the sample left the article out before it was stored."""

    number: int
    id: str
    title: str
    hash: int
    at: int
    bytes: int


@dataclass
class Store:
    """A finished store."""

    folder: Path
    site: Site
    account: Account
    shards: int
    articles: int
    threshold: int | None
    template_name: str
    template_bytes: int = 0

    @property
    def templates(self) -> Path:
        """The file for wikiextractor's `--templates`."""
        return self.folder / "templates.xml"

    def index(self, shard: int) -> Iterator[Article]:
        """Yield the articles of a shard in the order of the dump."""
        with _index_path(self.folder, shard).open(encoding="utf-8") as lines:
            for number, line in enumerate(lines):
                yield Article(number, *json.loads(line))

    def sampled(self, article: Article) -> bool:
        """Return whether the article belongs to the sample."""
        return self.threshold is None or article.hash <= self.threshold

    def write_export(self, shard: int, articles: Sequence[Article], path: Path, extra: bytes = b"") -> None:
        """Write an export that holds `articles` and the element `extra`."""
        with _pages_path(self.folder, shard).open("rb") as source, path.open("wb") as target:
            target.write(self._head().encode("utf-8"))
            for article in articles:
                source.seek(article.at)
                target.write(source.read(article.bytes))
            target.write(extra + b"</mediawiki>\n")

    def forget_pages(self, shard: int) -> None:
        """Free the disk space of a shard whose texts are extracted."""
        _pages_path(self.folder, shard).unlink(missing_ok=True)

    def _head(self) -> str:
        """The siteinfo that wikiextractor needs: without the template namespace it finds no article."""
        namespaces = {**self.site.namespaces, TEMPLATE_NAMESPACE: self.template_name}
        lines = [
            f'<namespace key="{key}">{wikitext.escaped(name)}</namespace>\n'
            for key, name in sorted(namespaces.items())
            if name
        ]
        base = wikitext.escaped(self.site.base or "http://localhost/wiki/")
        head = ["<mediawiki>\n<siteinfo>\n", f"<base>{base}</base>\n", "<namespaces>\n", *lines]
        return "".join([*head, "</namespaces>\n</siteinfo>\n"])


def open_store(folder: Path, identity: dict[str, Any]) -> Store | None:
    """Return the finished store in `folder` when it was made from the same input, else None."""
    try:
        content = read_json(folder / STORE)
    except (OSError, ValueError):
        return None
    if content.pop("identity", None) != {"format": FORMAT, **identity}:
        return None
    site = Site(**content.pop("site"))
    site.namespaces = {int(key): name for key, name in site.namespaces.items()}
    account = Account(**content.pop("account"))
    return Store(folder=folder, site=site, account=account, **content)


def fill_store(
    folder: Path,
    dumps: Sequence[Path],
    identity: dict[str, Any],
    *,
    max_documents: int | None,
    shard_bytes: int,
    log: Callable[[str], None],
) -> Store:
    """Read `dumps` once and return the finished store; raises InputError for damaged or foreign files."""
    filling = _Filling(folder, shard_bytes, max_documents, Account(" + ".join(path.name for path in dumps)))
    started = shown = time.monotonic()
    total = sum(path.stat().st_size for path in dumps if path.is_file())
    done = 0
    with filling:
        for path in dumps:
            reader = DumpReader(path)
            for page in reader:
                filling.add(page, reader.site)
                if time.monotonic() - shown > LOG_EVERY_SECONDS:
                    shown = time.monotonic()
                    share = 100 * (done + reader.position) / max(1, total)
                    log(f"reading: {share:.0f}%, {filling.account.pages_read:,} pages")
            filling.site = filling.site or reader.site
            done += path.stat().st_size
    account = filling.account
    if not filling.articles:
        raise InputError(
            f"{account.source} holds no articles: {account.pages_read} pages, of which {account.counts()}; "
            f"expected an export with articles, such as *-pages-articles.xml.bz2"
        )
    store = filling.finished()
    content = {key: value for key, value in vars(store).items() if key not in ("folder", "site", "account")}
    content |= {"site": asdict(store.site), "account": asdict(account)}
    write_json(folder / STORE, {"identity": {"format": FORMAT, **identity}, **content})
    seconds = time.monotonic() - started
    log(f"read {account.pages_read:,} pages, {filling.articles:,} articles, in {seconds:.1f} s")
    return store


@dataclass
class _Filling:
    """A store that is being written."""

    folder: Path
    shard_bytes: int
    max_documents: int | None
    account: Account
    site: Site | None = None
    shards: int = 0
    articles: int = 0
    newest: str = ""
    template_name: str = ""
    template_bytes: int = 0
    kept: list[int] = field(default_factory=list)  # negated hashes: a heap whose top is the largest one kept

    def __enter__(self) -> _Filling:
        self._templates = (self.folder / "templates.raw").open("wb")
        self._pages: BinaryIO | None = None
        self._index: BinaryIO | None = None
        return self

    def __exit__(self, *_: object) -> None:
        for file in (self._templates, self._pages, self._index):
            if file:
                file.close()

    def add(self, page: Page, site: Site) -> None:
        """Store an article or a template, and account for anything else."""
        self.site = self.site or site
        self.account.pages_read += 1
        self.newest = max(self.newest, page.timestamp)
        if page.namespace == TEMPLATE_NAMESPACE:
            self._add_template(page)
        if reason := _reason(page):
            self.account.leave_out(reason, page.id or page.title)
        else:
            self._add_article(page)

    def _add_template(self, page: Page) -> None:
        prefix = page.title.partition(":")[0]
        if not self.template_name and ":" in page.title:
            self.template_name = prefix
        text = page.text
        if page.redirect:  # wikiextractor knows few languages' words for a redirect
            text = f"#REDIRECT [[{page.redirect}]]"
        self.template_bytes += self._templates.write(page_element(page.title, TEMPLATE_NAMESPACE, "0", text))

    def _add_article(self, page: Page) -> None:
        if self._pages is None or self._index is None or self._pages.tell() >= self._limit():
            self._next_shard()
        assert self._pages and self._index
        self.articles += 1
        identifier = page.id or page.title
        number = self._numbers
        self._numbers += 1
        value = salted_hash(SAMPLE_SALT, identifier)
        at = self._pages.tell()
        size = 0
        if self._may_be_sampled(value):
            title = wikitext.GUARD + page.title if self._swallowed(page.title) else page.title
            text = wikitext.prepared(page.text, page.timestamp)
            size = self._pages.write(page_element(title, 0, str(number), text))
        line = json.dumps([identifier, page.title, value, at, size], ensure_ascii=False)
        self._index.write(line.encode("utf-8") + b"\n")

    def _limit(self) -> int:
        """Every shard loads all templates: it has to be larger than they are to be worth it."""
        return min(max(self.shard_bytes, 2 * self.template_bytes), max(self.shard_bytes, LARGEST_SHARD))

    def _next_shard(self) -> None:
        for file in (self._pages, self._index):
            if file:
                file.close()
        self._pages = _pages_path(self.folder, self.shards).open("wb")
        self._index = _index_path(self.folder, self.shards).open("wb")
        self.shards += 1
        self._numbers = 0

    def _swallowed(self, title: str) -> bool:
        """Whether wikiextractor would take an article for a template; where the word is unknown it might."""
        word = self.site.namespaces.get(TEMPLATE_NAMESPACE, "") if self.site else ""
        return not word or title.startswith(word)

    def _may_be_sampled(self, value: int) -> bool:
        if self.max_documents is None:
            return True
        if len(self.kept) < self.max_documents:
            heapq.heappush(self.kept, -value)
            return True
        if value > -self.kept[0]:
            return False
        heapq.heapreplace(self.kept, -value)
        return True

    def finished(self) -> Store:
        """Finish the templates and return the store."""
        raw = self.folder / "templates.raw"
        timestamp = self.newest or wikitext.EPOCH
        templates = self.folder / "templates.xml"
        with raw.open("rb") as source, templates.open("wb") as target:
            for line in source:
                text = line.decode("utf-8")
                target.write(wikitext.fixed_clock(text, timestamp).encode("utf-8"))
        raw.unlink()
        site = self.site or Site()
        full = len(self.kept) == self.max_documents
        return Store(
            folder=self.folder,
            site=site,
            account=self.account,
            shards=self.shards,
            articles=self.articles,
            threshold=-self.kept[0] if full else None,
            template_name=site.namespaces.get(TEMPLATE_NAMESPACE) or self.template_name or "Template",
            template_bytes=self.template_bytes,
        )


def _reason(page: Page) -> str:
    """Return why a page is no article, or an empty string."""
    if page.namespace != 0:
        return OTHER_NAMESPACE
    if page.redirect is not None or wikitext.is_redirect(page.text):
        return REDIRECT
    if page.model != "wikitext":
        return NOT_WIKITEXT
    return "" if page.text.strip() else EMPTY_PAGE


def page_element(title: str, namespace: int, number: str, text: str) -> bytes:
    """Return a `<page>` in the one form that wikiextractor's line reader understands."""
    content = (
        f"<page>\n<title>{wikitext.escaped(title)}</title>\n<ns>{namespace}</ns>\n<id>{number}</id>\n"
        f"<text>{wikitext.escaped(text)}</text>\n</page>\n"
    )
    return content.encode("utf-8")


def _pages_path(folder: Path, shard: int) -> Path:
    return folder / f"pages-{shard:05}.xml"


def _index_path(folder: Path, shard: int) -> Path:
    return folder / f"pages-{shard:05}.jsonl"
