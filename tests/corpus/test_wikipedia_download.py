"""The dump of a date: found, checked, or refused with the dates that there are."""

from __future__ import annotations

import bz2
import hashlib
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from pydantic import ValidationError

from corpus.making import export, page, texts
from corpus.serving import Site, serving
from ulmfit.corpus.dumps.download import download_dump
from ulmfit.corpus.stages import Wikipedia, WikipediaCorpus
from ulmfit.pipeline.errors import InputError
from ulmfit.pipeline.runner import Runner


def published(prefix: str, files: dict[str, bytes], kind: str = "sha1") -> dict[str, bytes]:
    """Return files under their published names, and the list of their sums."""
    named = {f"{prefix}-{name}": data for name, data in files.items()}
    lines = [f"{hashlib.new(kind, data).hexdigest()}  {name}\n" for name, data in named.items()]
    return {**named, f"{prefix}-{kind}sums.txt": "".join(lines).encode()}


def offer(site: Site, wiki: str, date: str, files: dict[str, bytes], kind: str = "sha1") -> None:
    """Put files and their list of sums onto the server."""
    for name, data in published(f"{wiki}-{date}", files, kind).items():
        site.files[f"/{wiki}/{date}/{name}"] = data


def mirrored(folder: Path, files: dict[str, bytes]) -> Path:
    """Put published files into a mirror."""
    folder.mkdir(parents=True)
    for name, data in published("xxwiki-20240101", files).items():
        (folder / name).write_bytes(data)
    return folder


NOWHERE = "http://127.0.0.1:1"
"""Where no server is."""

RECIPE = f"""
from ulmfit.corpus.stages import Wikipedia, WikipediaCorpus
from ulmfit.experiments.presets import TOY
from ulmfit.experiments.recipe import Recipe

dump = Wikipedia(language="xx", date="20240101", base_url="{NOWHERE}")
corpus = WikipediaCorpus(dump=dump, language="xx")
recipe = Recipe(name="test/mirror", title="Mirror", language="qaa", corpus=corpus, presets={{"toy": TOY}})
if __name__ == "__main__":
    recipe.main()
"""


def quiet(_: str) -> None:
    """Log nothing."""


def dump(number: int) -> bytes:
    return bz2.compress(export(page(f"P{number}", f"Text {number}.", number=number)).encode())


@pytest.fixture
def site() -> Iterator[Site]:
    with serving(Site()) as running:
        yield running


def test_a_server_that_sends_without_end_is_left(site: Site, tmp_path: Path) -> None:
    """Sizes of dumps are not published: a setting bounds them, and a constant the list of sums."""
    offer(site, "xxwiki", "20240101", {"pages-articles.xml.bz2": dump(1)})
    site.no_length = True
    wikipedia = Wikipedia(language="xx", date="20240101", base_url=site.url, largest_file=100)
    with pytest.raises(InputError, match="more than 100 bytes, the most that is taken"):
        Runner(tmp_path / "runs").build(wikipedia)
    Runner(tmp_path / "runs").build(wikipedia.changed(largest_file=len(dump(1))))
    site.files["/xxwiki/20240101/xxwiki-20240101-sha1sums.txt"] = bytes(20_000_000)
    with pytest.raises(InputError, match="more than 16,000,000 bytes: no list of checksums"):
        download_dump("xx", "20240101", site.url, tmp_path, quiet)


def test_names_of_a_list_of_sums_lead_nowhere_else(site: Site, tmp_path: Path) -> None:
    names = ["../evil.xml.bz2", "/tmp/evil.xml.bz2", "xxwiki-20240101-pages-articles/../../evil.xml.bz2"]
    names += ["xxwiki-20240101-pages-articles1.xml-p1p2/../../evil.bz2"]
    listing = "".join(f"{'0' * 40}  {name}\n" for name in names)
    site.files["/xxwiki/20240101/xxwiki-20240101-sha1sums.txt"] = listing.encode()
    with pytest.raises(InputError, match="names no whole pages-articles dump"):
        download_dump("xx", "20240101", site.url, tmp_path, quiet)


def test_the_single_file_is_preferred_to_its_parts(site: Site, tmp_path: Path) -> None:
    files = {f"pages-articles{n}.xml-p{n}p9.bz2": dump(n) for n in (1, 2)}
    offer(site, "xxwiki", "20240101", {**files, "pages-articles.xml.bz2": dump(3), "stub.xml.gz": b"x"})
    stage = Wikipedia(language="xx", date="20240101", base_url=site.url)
    folder = Runner(runs=tmp_path).build(WikipediaCorpus(dump=stage, language="xx"))
    assert texts(folder) == {"3": "Text 3."}


def test_parts_where_there_is_no_single_file(site: Site, tmp_path: Path) -> None:
    files = {f"pages-articles{n}.xml-p{n}p{n}.bz2": dump(n) for n in (10, *range(1, 10))}
    others = {
        "pages-articles-multistream1.xml-p1p9.bz2": b"",
        "pages-articles-multistream-index.txt.bz2": b"",
    }
    offer(site, "be_xoldwiki", "20240101", {**files, **others})
    stage = Wikipedia(language="be-xold", date="20240101", base_url=site.url)
    folder = Runner(runs=tmp_path).build(WikipediaCorpus(dump=stage, language="be-xold"))
    assert list(texts(folder)) == [str(number) for number in range(1, 11)]


@pytest.mark.parametrize(
    "names",
    [
        ["pages-articles-multistream.xml.bz2"],
        ["pages-articles-multistream1.xml-p1p1.bz2", "pages-articles-multistream2.xml-p2p2.bz2"],
    ],
    ids=["one file", "parts"],
)
def test_multistream_where_there_is_nothing_else(names: list[str], site: Site, tmp_path: Path) -> None:
    streams = [dump(number) for number in range(1, len(names) + 1)]
    index = {"pages-articles-multistream-index.txt.bz2": b"x"}
    offer(site, "xxwiki", "20240101", {**dict(zip(names, streams, strict=True)), **index})
    stage = Wikipedia(language="xx", date="20240101", base_url=site.url)
    folder = Runner(runs=tmp_path).build(WikipediaCorpus(dump=stage, language="xx"))
    assert list(texts(folder)) == [str(number) for number in range(1, len(names) + 1)]


def test_several_files_of_one_part(site: Site, tmp_path: Path) -> None:
    """Large dumps have more than one range of pages under a part's number."""
    ranges = [(1, 1, 9), (2, 10, 99), (2, 100, 199), (2, 1000, 1999)]
    files = {f"pages-articles{n}.xml-p{first}p{last}.bz2": dump(first) for n, first, last in reversed(ranges)}
    offer(site, "xxwiki", "20240101", files)
    paths = download_dump("xx", "20240101", site.url, tmp_path, quiet)
    assert [path.name for path in paths] == [
        f"xxwiki-20240101-pages-articles{n}-p{first}p{last}.xml.bz2" for n, first, last in ranges
    ]


def test_parts_with_one_missing_are_no_dump(site: Site, tmp_path: Path) -> None:
    offer(site, "xxwiki", "20240101", {f"pages-articles{n}.xml-p{n}p{n}.bz2": dump(n) for n in (1, 3)})
    with pytest.raises(InputError, match="names no whole pages-articles dump"):
        Runner(runs=tmp_path).build(Wikipedia(language="xx", date="20240101", base_url=site.url))


@pytest.mark.parametrize("right", [True, False])
def test_md5_where_there_is_no_sha1(right: bool, site: Site, tmp_path: Path) -> None:
    offer(site, "xxwiki", "20240101", {"pages-articles.xml.bz2": dump(1)}, kind="md5")
    if right:
        (path,) = download_dump("xx", "20240101", site.url, tmp_path, quiet)
        assert path.read_bytes() == dump(1)
        return
    site.files["/xxwiki/20240101/xxwiki-20240101-pages-articles.xml.bz2"] = dump(2)
    with pytest.raises(InputError, match=r"md5 .* instead of"):
        download_dump("xx", "20240101", site.url, tmp_path, quiet)
    assert not list(tmp_path.iterdir())


def test_files_of_an_earlier_try_with_other_files_are_removed(site: Site, tmp_path: Path) -> None:
    """The pages of a dump must not be read twice, from its parts and from the single file."""
    (tmp_path / "xxwiki-20240101-pages-articles1-p1p1.xml.bz2").write_bytes(dump(1))
    (tmp_path / "xxwiki-20240101-pages-articles2-p2p2.xml.bz2.part").write_bytes(b"x")
    (tmp_path / "log.txt").touch()
    offer(site, "xxwiki", "20240101", {"pages-articles.xml.bz2": dump(1)})
    download_dump("xx", "20240101", site.url, tmp_path, quiet)
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "log.txt",
        "xxwiki-20240101-pages-articles.xml.bz2",
    ]


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
    with pytest.raises(InputError, match=r"still under way; the server offers 20240520, 20240601"):
        Runner(runs=tmp_path).build(Wikipedia(language="xx", date="20240601", base_url=site.url))
    with pytest.raises(InputError, match="has no wiki named qqwiki"):
        Runner(runs=tmp_path).build(Wikipedia(language="qq", date="20190101", base_url=site.url))


def test_a_dump_under_way_and_wrong_bytes(site: Site, tmp_path: Path) -> None:
    offer(site, "xxwiki", "20240101", {"stub-articles.xml.gz": b"x"})
    with pytest.raises(InputError, match="names no whole pages-articles dump"):
        Runner(runs=tmp_path).build(Wikipedia(language="xx", date="20240101", base_url=site.url))
    offer(site, "xxwiki", "20240201", {"pages-articles.xml.bz2": dump(1)})
    site.files["/xxwiki/20240201/xxwiki-20240201-pages-articles.xml.bz2"] = dump(2)
    with pytest.raises(InputError, match=r"sha1 .* instead of"):
        Runner(runs=tmp_path).build(Wikipedia(language="xx", date="20240201", base_url=site.url))


@pytest.mark.parametrize("values", [{"date": "latest"}, {"date": "2024-01-01"}, {"language": "../x"}])
def test_dates_are_explicit(values: dict[str, str]) -> None:
    with pytest.raises(ValidationError):
        Wikipedia(**{"language": "xx", "date": "20240101", **values})


def test_a_mirror_serves_a_machine_without_a_network(tmp_path: Path) -> None:
    mirror = mirrored(tmp_path / "mirror" / "wikis", {"pages-articles.xml.bz2": dump(1)})
    stage = Wikipedia(language="xx", date="20240101", base_url=NOWHERE)
    folder = Runner(tmp_path / "runs", mirror=mirror.parent).build(WikipediaCorpus(dump=stage, language="xx"))
    assert texts(folder) == {"1": "Text 1."}


def test_a_mirror_with_another_of_the_published_sets(tmp_path: Path) -> None:
    """The list names all files of the dump; the mirror holds those that somebody copied."""
    names = ["pages-articles.xml.bz2", "pages-articles1.xml-p1p1.bz2", "pages-articles-multistream.xml.bz2"]
    mirror = mirrored(tmp_path / "mirror", dict.fromkeys(names, dump(1)))
    for name in names[:2]:
        (mirror / f"xxwiki-20240101-{name}").unlink()
    (tmp_path / "out").mkdir()
    paths = download_dump("xx", "20240101", NOWHERE, tmp_path / "out", quiet, mirror)
    assert paths == [tmp_path / "out" / f"xxwiki-20240101-{names[2]}"]
    assert paths[0].read_bytes() == dump(1)


def test_a_mirrored_file_with_another_sum_is_refused(tmp_path: Path) -> None:
    mirror = mirrored(tmp_path / "mirror", {"pages-articles.xml.bz2": dump(1)})
    file = mirror / "xxwiki-20240101-pages-articles.xml.bz2"
    file.write_bytes(dump(2))
    with pytest.raises(InputError, match=r"is not the published file: sha1 .* instead of .*; copy it again"):
        Runner(tmp_path / "runs", mirror).build(Wikipedia(language="xx", date="20240101", base_url=NOWHERE))
    (mirror / "again").mkdir()
    (mirror / "again" / file.name).write_bytes(dump(1))
    (tmp_path / "out").mkdir()
    (path,) = download_dump("xx", "20240101", NOWHERE, tmp_path / "out", quiet, mirror)
    assert path.read_bytes() == dump(1)


def test_what_the_mirror_lacks_is_downloaded(site: Site, tmp_path: Path) -> None:
    files = {f"pages-articles{n}.xml-p{n}p{n}.bz2": dump(n) for n in (1, 2)}
    offer(site, "xxwiki", "20240101", files)
    mirror = mirrored(tmp_path / "mirror", files)
    (mirror / "xxwiki-20240101-pages-articles2.xml-p2p2.bz2").unlink()
    (mirror / "xxwiki-20240101-sha1sums.txt").unlink()
    (tmp_path / "out").mkdir()
    lines: list[str] = []
    paths = download_dump("xx", "20240101", site.url, tmp_path / "out", lines.append, mirror)
    assert [path.read_bytes() for path in paths] == [dump(1), dump(2)]
    asked = [path.rpartition("/")[2] for path, _, _ in site.requests]
    assert asked == ["xxwiki-20240101-sha1sums.txt", "xxwiki-20240101-pages-articles2.xml-p2p2.bz2"]
    assert lines[0].startswith("the mirror has no xxwiki-20240101-sha1sums.txt")


def test_a_mirror_that_is_no_folder(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="is not a folder"):
        download_dump("xx", "20240101", NOWHERE, tmp_path, quiet, tmp_path / "nowhere")


@pytest.mark.parametrize("as_program", [True, False], ids=["recipe as a program", "ulmfit run"])
def test_the_mirror_may_stand_in_the_environment(as_program: bool, tmp_path: Path) -> None:
    mirror = mirrored(tmp_path / "mirror", {"pages-articles.xml.bz2": dump(1)})
    recipe = tmp_path / "recipe.py"
    recipe.write_text(RECIPE, encoding="utf-8")
    command = [recipe] if as_program else ["-m", "ulmfit", "run", recipe]
    done = subprocess.run(
        [sys.executable, *map(str, command), "--until", "dump", "--runs", str(tmp_path / "runs")],
        env={**os.environ, "ULMFIT_MIRROR": str(mirror)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert len(list((tmp_path / "runs").rglob("*.xml.bz2"))) == 1
