"""Articles and templates on disk: bounded by the sample, and finished wherever the reading was killed."""

from __future__ import annotations

import hashlib
import random
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from corpus.making import page, write_dump
from ulmfit.corpus.documents import salted_hash
from ulmfit.corpus.dumps import chunks as dump_chunks
from ulmfit.corpus.wikiextractor import page_filling
from ulmfit.corpus.wikiextractor.page_filling import fill_store
from ulmfit.corpus.wikiextractor.page_store import (
    Article,
    Store,
    element_text,
    open_store,
    page_element,
    pages_path,
)
from ulmfit.pipeline.errors import InputError

IDENTITY = {"dump": "a"}


def quiet(_: str) -> None:
    """Log nothing."""


def filled(folder: Path, *dumps: Path, shard_bytes: int = 20_000, **more: int | None) -> Store:
    options = {"max_documents": None, "max_tokens": None, **more}
    return fill_store(folder, dumps, IDENTITY, shard_bytes=shard_bytes, log=quiet, **options)


def articles(store: Store) -> list[Article]:
    return [article for shard in range(store.shards) for article in store.index(shard)]


def kept_bytes(store: Store) -> int:
    return sum(pages_path(store.folder, shard).stat().st_size for shard in range(store.shards))


def contents(folder: Path) -> dict[str, str]:
    """Return the hash of every file of a store that is meant to be the same each time."""
    return {
        path.name: hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.iterdir())
        if path.suffix != ".sqlite"
    }


@pytest.fixture
def two_dumps(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """Two parts of a dump with articles, templates, other pages and a damaged page, in several chunks."""
    monkeypatch.setattr(dump_chunks, "CHUNK_BYTES", 10_000)
    generator = random.Random(8)
    pages = []
    for number in range(150):
        text = f"Text {number} {{{{T{number % 7}}}}}. " + "word " * generator.randrange(600)
        namespace = generator.choice([0, 0, 0, 1])
        pages.append(page(f"P{number}", text, number=number, namespace=namespace))
    for number in range(7):
        body = f"template {number} {{{{T{number + 1}}}}}"
        pages.insert(number * 15, page(f"Template:T{number}", body, number=900 + number, namespace=10))
    pages.insert(40, page("Broken", "to be broken", number=999).replace("to be broken", "&broken;"))
    first = write_dump(tmp_path / "x1.xml.bz2", *pages[:90])
    return [first, write_dump(tmp_path / "x2.xml", *pages[90:])]


def test_what_is_stored(tmp_path: Path) -> None:
    dump = write_dump(
        tmp_path / "x.xml",
        page("A & B", "one\n* two\n== Three ==\nfour <b>", number=5, timestamp="2017-01-02T03:04:05Z"),
        page("Talk:A", "chatter", number=6, namespace=1),
        page(
            "Template:T", "T {{CURRENTYEAR}}{{U v}}", number=7, namespace=10, timestamp="2018-01-02T03:04:05Z"
        ),
        page("Template:U v", "U", number=8, namespace=10),
        page("Template:W", "W", number=9, namespace=10),
        page("C", "five {{t}} {{u_v}}", number=9),
        dbname="dewiki",
    )
    store = filled(tmp_path / "store", dump)
    assert (store.site.dbname, store.shards, store.articles, store.threshold) == ("dewiki", 1, 2, None)
    assert store.account.pages_read == 6
    assert store.account.left_out == {"other namespace": {"count": 4, "pages": ["6", "7", "8", "9"]}}
    first, second = store.index(0)
    assert (first.number, first.id, first.title) == (0, "5", "A & B")
    assert (second.number, second.id, second.title, second.hash) == (
        1,
        "9",
        "C",
        salted_hash("ulmfit sample", "9"),
    )
    export_file, templates = tmp_path / "export.xml", tmp_path / "templates.xml"
    store.write_export(0, [second], export_file)
    assert titles_and_texts(export_file) == {"C": "five {{t}} {{u_v}}"}
    assert '<namespace key="10">Template</namespace>' in export_file.read_text(encoding="utf-8")
    assert store.write_templates(0, [second], templates) == templates.stat().st_size
    assert titles_and_texts(templates) == {
        "Template:T": "T 2018{{U v}}",
        "Template:U v": "U",
        "Template:U_v": "#REDIRECT [[Template:U v]]",
    }
    assert store.write_templates(0, [first], templates) == 0
    assert open_store(tmp_path / "store", IDENTITY) == store
    assert open_store(tmp_path / "store", {"dump": "b"}) is None


def titles_and_texts(path: Path) -> dict[str, str]:
    """Return the pages in a file that was written for wikiextractor."""
    elements = path.read_bytes().split(b"<page>")[1:]
    return {element.split(b"title>")[1][:-2].decode(): element_text(element) for element in elements}


@given(st.text(st.characters(codec="utf-8", exclude_characters="\r")))
def test_an_element_gives_its_text_back(text: str) -> None:
    assert element_text(page_element("A & <B>", 0, "1", text)) == text


def test_shards_hold_every_article_once(tmp_path: Path, two_dumps: list[Path]) -> None:
    warnings: list[str] = []
    store = fill_store(
        tmp_path / "s",
        two_dumps,
        IDENTITY,
        max_documents=None,
        shard_bytes=20_000,
        log=quiet,
        warn=warnings.append,
    )
    one = filled(tmp_path / "one", *two_dumps, shard_bytes=10**9)
    assert store.shards > 6
    assert one.shards == 2  # a shard has pages of one file
    assert [article.id for article in articles(store)] == [article.id for article in articles(one)]
    assert store.account == one.account
    assert store.articles + sum(entry["count"] for entry in store.account.left_out.values()) == 158
    assert store.account.left_out["damaged page"] == {"count": 1, "pages": ["999"]}
    assert warnings == ["damaged page 999 ('Broken'): not well-formed"]
    sizes = [pages_path(store.folder, shard).stat().st_size for shard in range(store.shards)]
    assert all(20_000 <= size < 24_000 for size in sizes[:3])


class Killed(BaseException):
    """Stands for the end of the process."""


@pytest.mark.parametrize("when", [0, 1, 2, 3, 5, 8, 13])
def test_a_killed_reading_goes_on_with_the_same_result(
    tmp_path: Path, two_dumps: list[Path], monkeypatch: pytest.MonkeyPatch, when: int
) -> None:
    options = {"max_documents": 20, "max_tokens": 5000}
    undisturbed = filled(tmp_path / "a", *two_dumps, shard_bytes=8_000, **options)
    assert undisturbed.shards > 13
    write_json = page_filling.write_json
    marks: list[Path] = []

    def dying(path: Path, content: object) -> None:
        marks.append(path)
        if len(marks) > when:
            raise Killed
        write_json(path, content)

    monkeypatch.setattr(page_filling, "write_json", dying)
    with pytest.raises(Killed):
        filled(tmp_path / "b", *two_dumps, shard_bytes=8_000, **options)
    monkeypatch.setattr(page_filling, "write_json", write_json)
    store = filled(tmp_path / "b", *two_dumps, shard_bytes=8_000, **options)
    assert contents(tmp_path / "a") == contents(tmp_path / "b")
    assert (store.account, store.threshold) == (undisturbed.account, undisturbed.threshold)
    for shard in range(store.shards):
        chosen = [article for article in store.index(shard) if store.sampled(article)]
        for which, folder in ((undisturbed, "a"), (store, "b")):
            which.write_templates(shard, chosen, tmp_path / f"{folder}.xml")
        assert (tmp_path / "a.xml").read_bytes() == (tmp_path / "b.xml").read_bytes()


def test_what_is_done_is_not_read_again(
    tmp_path: Path, two_dumps: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    filled(tmp_path / "a", *two_dumps)
    parsed: list[int] = []
    chunk_pages = page_filling.chunk_pages

    def counted(data: bytes, site: object):
        parsed.append(len(data))
        return chunk_pages(data, site)

    monkeypatch.setattr(page_filling, "chunk_pages", counted)
    filled(tmp_path / "b", *two_dumps)
    whole = len(parsed)
    parsed.clear()
    filled(tmp_path / "a", *two_dumps)
    assert len(parsed) <= 1 < whole


def test_another_input_begins_anew(tmp_path: Path, two_dumps: list[Path]) -> None:
    filled(tmp_path / "s", *two_dumps)
    (tmp_path / "s" / "texts-00000.jsonl").write_text("stale")
    other = fill_store(
        tmp_path / "s", two_dumps[:1], {"dump": "b"}, max_documents=None, shard_bytes=10**9, log=quiet
    )
    assert other.shards == 1
    assert not (tmp_path / "s" / "texts-00000.jsonl").exists()


@pytest.fixture(scope="module")
def many_articles(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A dump with 6,000 articles of 10 to 110 words, half of which are in templates."""
    generator = random.Random(9)
    pages = []
    for number in range(6000):
        words = "word " * generator.randrange(5, 55)
        pages.append(page(f"P{number}", f"{words}{{{{Box|{words}}}}}", number=number))
    return write_dump(tmp_path_factory.mktemp("dump") / "x.xml", *pages)


@pytest.mark.parametrize("limit", ["max_documents", "max_tokens"])
def test_the_store_holds_the_sample_and_not_the_dump(tmp_path: Path, many_articles: Path, limit: str) -> None:
    whole = filled(tmp_path / "whole", many_articles, shard_bytes=100_000)
    store = filled(
        tmp_path / "part",
        many_articles,
        shard_bytes=100_000,
        **{limit: {"max_documents": 100}.get(limit, 3000)},
    )
    assert [article.id for article in articles(store)] == [article.id for article in articles(whole)]
    ranked = sorted(articles(store), key=lambda article: article.hash)
    chosen = [article for article in ranked if store.sampled(article)]
    assert ranked[: len(chosen)] == chosen
    # About 30 words of prose an article: 3,000 words are 100 articles. Twice as many words are wanted.
    assert 200 <= len(chosen) < 2000
    assert all(article.bytes for article in chosen)
    assert kept_bytes(store) < 0.5 * kept_bytes(whole)


def test_words_are_counted_where_they_decide(tmp_path: Path, two_dumps: list[Path]) -> None:
    assert not any(article.words for article in articles(filled(tmp_path / "a", *two_dumps, max_documents=5)))
    counted = articles(filled(tmp_path / "b", *two_dumps, max_tokens=10**6))
    assert sum(article.words for article in counted) > 20_000


def test_a_dump_without_articles(tmp_path: Path) -> None:
    dump = write_dump(tmp_path / "x.xml", page("Talk:X", "y", number=1, namespace=1))
    with pytest.raises(InputError, match="holds no articles: 1 pages, of which 1 other namespace"):
        filled(tmp_path / "s", dump)
