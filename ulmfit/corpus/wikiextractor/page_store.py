"""The articles of a dump on disk: shards for wikiextractor, their index, the templates, the account so far.

Files in the store's folder:
- `pages-00000.xml`: one `<page>` element per article, its number as `<id>`; no header, so that any of them
  can be put together to an export (`write_export`);
- `pages-00000.jsonl`: one line per page of these chunks of the dump: articles with their id, title, sampling
  hash, words, and where the element stands; other pages with their id and why they are none;
- `pages-00000.json`: written last of these three; how far the dumps are read. A killed reading goes on there;
- `templates.sqlite`: the template pages;
- `store.json`: the site, the account, the shards. Written last: without it the store is not finished.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from ulmfit.corpus.documents import Account
from ulmfit.corpus.dumps.reader import Site
from ulmfit.corpus.wikiextractor import wikitext
from ulmfit.corpus.wikiextractor.template_closure import Templates
from ulmfit.pipeline.files import read_json, write_json

STORE, TEMPLATES = "store.json", "templates.sqlite"
FORMAT = 2
MIB = 1 << 20
TEMPLATE_NAMESPACE = 10


@dataclass(frozen=True, slots=True)
class Article:
    """A line of the index; `bytes` is 0 when the sample left the article out before it was stored."""

    number: int
    id: str
    title: str
    hash: int
    words: int
    at: int
    bytes: int


@dataclass
class Store:
    """A finished store; `newest` is the time of the last revision of any page."""

    folder: Path
    site: Site
    account: Account
    shards: int
    articles: int
    threshold: int | None
    template_name: str
    newest: str

    def index(self, shard: int) -> Iterator[Article]:
        """Yield the articles of a shard in the order of the dump."""
        return shard_articles(self.folder, shard)

    def sampled(self, article: Article) -> bool:
        """Return whether the article may belong to the sample."""
        return self.threshold is None or article.hash <= self.threshold

    def write_export(self, shard: int, articles: Sequence[Article], path: Path, extra: bytes = b"") -> None:
        """Write an export that holds `articles` and the element `extra`."""
        with path.open("wb") as target:
            target.write(self._head().encode("utf-8"))
            for element in self._elements(shard, articles):
                target.write(element)
            target.write(extra + b"</mediawiki>\n")

    def write_templates(self, shard: int, articles: Sequence[Article], path: Path) -> int:
        """Write the file for wikiextractor's `--templates`: those that `articles` reach; return its bytes."""
        texts = map(element_text, self._elements(shard, articles))
        with path.open("wb") as target:
            for template in Templates(self.folder / TEMPLATES).reachable(texts):
                text = wikitext.fixed_clock(template.body, self.newest or wikitext.EPOCH)
                if template.target:
                    text = f"#REDIRECT [[{self.template_name}:{template.target}]]"
                title = f"{self.template_name}:{template.title}"
                target.write(page_element(title, TEMPLATE_NAMESPACE, "0", text))
        return path.stat().st_size

    def forget_pages(self, shard: int) -> None:
        """Free the disk space of a shard whose texts are extracted."""
        pages_path(self.folder, shard).unlink(missing_ok=True)

    def _elements(self, shard: int, articles: Sequence[Article]) -> Iterator[bytes]:
        with pages_path(self.folder, shard).open("rb") as source:
            for article in articles:
                source.seek(article.at)
                yield source.read(article.bytes)

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
        if content.pop("identity", None) != {"format": FORMAT, **identity}:
            return None
        account = Account(**content.pop("account"))
        return Store(folder=folder, site=site_of(content.pop("site")), account=account, **content)
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None  # altered: it is made again


def write_store(store: Store, identity: dict[str, Any]) -> None:
    """Mark a store as finished."""
    content = {key: value for key, value in vars(store).items() if key not in ("folder", "site", "account")}
    content |= {"site": asdict(store.site), "account": asdict(store.account)}
    write_json(store.folder / STORE, {"identity": {"format": FORMAT, **identity}, **content})


def site_of(content: dict[str, Any]) -> Site:
    """Return the site that `asdict` and JSON made of one: JSON's keys are strings, these are numbers."""
    namespaces = {int(key): name for key, name in content["namespaces"].items()}
    return Site(content["dbname"], content["base"], namespaces)


def shard_articles(folder: Path, shard: int) -> Iterator[Article]:
    """Yield the articles of a shard."""
    articles = (line for line in shard_lines(folder, shard) if len(line) > 2)
    for number, line in enumerate(articles):
        yield Article(number, *line)


def shard_lines(folder: Path, shard: int) -> Iterator[list[Any]]:
    """Yield the index of a shard: [id, title, hash, words, at, bytes] of articles, [id, reason] of others."""
    with index_path(folder, shard).open(encoding="utf-8") as lines:
        yield from map(json.loads, lines)


def page_element(title: str, namespace: int, number: str, text: str) -> bytes:
    """Return a `<page>` in the one form that wikiextractor's line reader understands."""
    content = (
        f"<page>\n<title>{wikitext.escaped(title)}</title>\n<ns>{namespace}</ns>\n<id>{number}</id>\n"
        f"<text>{wikitext.escaped(text)}</text>\n</page>\n"
    )
    return content.encode("utf-8")


def element_text(element: bytes) -> str:
    """Return the text of a `page_element`."""
    text = element.decode("utf-8").partition("<text>")[2].rpartition("</text>")[0]
    return wikitext.unescaped(text)


def pages_path(folder: Path, shard: int) -> Path:
    """The articles of a shard."""
    return folder / f"pages-{shard:05}.xml"


def index_path(folder: Path, shard: int) -> Path:
    """The index of a shard."""
    return folder / f"pages-{shard:05}.jsonl"
