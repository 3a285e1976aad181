"""The dump of a date: found, checked, or refused with the dates that there are."""

from __future__ import annotations

import bz2
import hashlib
from collections.abc import Iterator
from pathlib import Path

import pytest
from pydantic import ValidationError

from corpus.making import export, page, texts
from corpus.serving import Site, serving
from ulmfit.corpus.stages import Wikipedia, WikipediaCorpus
from ulmfit.errors import InputError
from ulmfit.runner import Runner


def offer(site: Site, wiki: str, date: str, files: dict[str, bytes]) -> None:
    """Put files and their checksum list onto the server."""
    for name, data in files.items():
        site.files[f"/{wiki}/{date}/{wiki}-{date}-{name}"] = data
    lines = [f"{hashlib.sha1(data).hexdigest()}  {wiki}-{date}-{name}\n" for name, data in files.items()]
    site.files[f"/{wiki}/{date}/{wiki}-{date}-sha1sums.txt"] = "".join(lines).encode()


def dump(number: int) -> bytes:
    return bz2.compress(export(page(f"P{number}", f"Text {number}.", number=number)).encode())


@pytest.fixture
def site() -> Iterator[Site]:
    with serving(Site()) as running:
        yield running


def test_the_single_file_is_preferred_to_its_parts(site: Site, tmp_path: Path) -> None:
    files = {f"pages-articles{n}.xml-p{n}p9.bz2": dump(n) for n in (1, 2)}
    offer(site, "xxwiki", "20240101", {**files, "pages-articles.xml.bz2": dump(3), "stub.xml.gz": b"x"})
    stage = Wikipedia(language="xx", date="20240101", base_url=site.url)
    folder = Runner(runs=tmp_path).build(WikipediaCorpus(dump=stage, language="xx"))
    assert texts(folder) == {"3": "Text 3."}


def test_parts_where_there_is_no_single_file(site: Site, tmp_path: Path) -> None:
    files = {f"pages-articles{n}.xml-p{n}p{n}.bz2": dump(n) for n in (10, 1, 2)}
    others = {
        "pages-articles-multistream1.xml-p1p9.bz2": b"",
        "pages-articles-multistream-index.txt.bz2": b"",
    }
    offer(site, "be_xoldwiki", "20240101", {**files, **others})
    stage = Wikipedia(language="be-xold", date="20240101", base_url=site.url)
    folder = Runner(runs=tmp_path).build(WikipediaCorpus(dump=stage, language="be-xold"))
    assert list(texts(folder)) == ["1", "2", "10"]


def test_a_finished_file_is_not_downloaded_again(site: Site, tmp_path: Path) -> None:
    offer(site, "xxwiki", "20240101", {"pages-articles.xml.bz2": dump(3)})
    stage = Wikipedia(language="xx", date="20240101", base_url=site.url)
    runner = Runner(runs=tmp_path)
    folder = runner.build(stage)
    (folder / "manifest.json").unlink()
    Runner(runs=tmp_path).build(stage)
    assert sum(path.endswith(".bz2") for path, _, _ in site.requests) == 1


def test_a_date_that_is_gone(site: Site, tmp_path: Path) -> None:
    site.files["/xxwiki/"] = b'<a href="../">..</a><a href="20240601/">x</a> <a href="20240520/">x</a>'
    with pytest.raises(InputError, match=r"dumps vanish after some months.*20240520, 20240601"):
        Runner(runs=tmp_path).build(Wikipedia(language="xx", date="20190101", base_url=site.url))
    with pytest.raises(InputError, match="has no wiki named qqwiki"):
        Runner(runs=tmp_path).build(Wikipedia(language="qq", date="20190101", base_url=site.url))


def test_a_dump_under_way_and_wrong_bytes(site: Site, tmp_path: Path) -> None:
    offer(site, "xxwiki", "20240101", {"stub-articles.xml.gz": b"x"})
    with pytest.raises(InputError, match="names no pages-articles dump"):
        Runner(runs=tmp_path).build(Wikipedia(language="xx", date="20240101", base_url=site.url))
    offer(site, "xxwiki", "20240201", {"pages-articles.xml.bz2": dump(1)})
    site.files["/xxwiki/20240201/xxwiki-20240201-pages-articles.xml.bz2"] = dump(2)
    with pytest.raises(InputError, match=r"sha1 .* instead of"):
        Runner(runs=tmp_path).build(Wikipedia(language="xx", date="20240201", base_url=site.url))


@pytest.mark.parametrize("values", [{"date": "latest"}, {"date": "2024-01-01"}, {"language": "../x"}])
def test_dates_are_explicit(values: dict[str, str]) -> None:
    with pytest.raises(ValidationError):
        Wikipedia(**{"language": "xx", "date": "20240101", **values})
