"""The first pages of a dump, for trials: no more of it is downloaded or read."""

from __future__ import annotations

import bz2
from collections.abc import Iterator
from pathlib import Path

import pytest

from corpus.making import export, page, texts
from corpus.serving import Site, serving
from corpus.test_wikipedia_download import offer
from ulmfit.corpus.beginnings import DumpBeginning, WikipediaBeginning
from ulmfit.corpus.dumps.beginning import write_beginning
from ulmfit.corpus.stages import WikipediaCorpus
from ulmfit.pipeline.assets import File
from ulmfit.pipeline.errors import InputError
from ulmfit.pipeline.runner import Runner


@pytest.fixture
def site() -> Iterator[Site]:
    with serving(Site()) as running:
        yield running


def long_dump(pages: int = 30) -> bytes:
    """Return a dump of pages of 0.1 MB, packed in two streams."""
    made = "".join(page(f"P{n}", f"Number {n}. " + "word " * 20_000, number=n) for n in range(1, pages + 1))
    data = export(made).encode()
    half = len(data) // 2
    return bz2.compress(data[:half]) + bz2.compress(data[half:])


def test_the_beginning_of_a_wikipedia_is_a_dump_of_whole_pages(site: Site, tmp_path: Path) -> None:
    offer(site, "xxwiki", "20240101", {"pages-articles.xml.bz2": long_dump()})
    dump = WikipediaBeginning(language="xx", date="20240101", base_url=site.url, megabytes=2)
    found = texts(Runner(tmp_path).build(WikipediaCorpus(dump=dump, language="xx", workers=1)))
    assert list(found) == [str(number) for number in range(1, len(found) + 1)]
    assert 15 <= len(found) <= 20


def test_a_download_that_ends_in_the_middle_gives_what_arrived(site: Site, tmp_path: Path) -> None:
    packed = long_dump()
    offer(site, "xxwiki", "20240101", {"pages-articles.xml.bz2": packed[: int(0.8 * len(packed))]})
    dump = WikipediaBeginning(language="xx", date="20240101", base_url=site.url, megabytes=100)
    found = texts(Runner(tmp_path).build(WikipediaCorpus(dump=dump, language="xx", workers=1)))
    assert 0 < len(found) < 30


def test_the_beginning_of_a_file_is_taken_too_and_may_be_all_of_it(tmp_path: Path) -> None:
    path = tmp_path / "dump.xml.bz2"
    path.write_bytes(long_dump(5))
    corpus = WikipediaCorpus(dump=DumpBeginning(dump=File(path=path)), language="xx", workers=1)
    assert len(texts(Runner(tmp_path / "runs").build(corpus))) == 5


def test_a_beginning_without_a_whole_page_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"a\.xml: no whole page in its first 1 MB"):
        write_beginning([b"<mediawiki><page>" + b"x" * 2_000_000], tmp_path / "out.xml", 1, "a.xml")
