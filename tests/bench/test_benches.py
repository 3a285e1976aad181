"""The benches from end to end on tiny inputs, as `ulmfit bench` runs them, and what they refuse."""

from __future__ import annotations

import bz2
import json
import subprocess
import sys
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from corpus.making import export, page

from ulmfit.bench import quality
from ulmfit.bench.encode import text_bytes, toy_documents
from ulmfit.bench.extract import toy_dump, xml_bytes
from ulmfit.bench.quality import LEFTOVERS, Leftovers
from ulmfit.bench.reference import Reference, word_hashes
from ulmfit.bench.run import Options, bench
from ulmfit.pipeline.errors import StageFailed


def ulmfit(*arguments: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "ulmfit", "bench", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=300)


def cases_of(output: str) -> dict[str, dict]:
    """Return the cases of `--json` by their names, after checking what they all have."""
    cases = [json.loads(line) for line in output.splitlines()]
    for case in cases:
        assert case["ratio"] == pytest.approx(case["ours"] / case["stock"], rel=0.01)
        for who in ("ours", "stock"):
            spread = case["spread"][who]
            assert spread["min"] <= spread["median"] == case[who] <= spread["max"]
        assert case["machine"]["hardware"]["cores"] >= 1
    return {case["case"]: case for case in cases}


@pytest.fixture(scope="module")
def dump(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three articles and a redirect, an element a line: wikiextractor reads lines."""
    pages = [page(f"P{n}", f"'''P{n}''' is [[text]] number {n}.", number=n) for n in (1, 2, 3)]
    text = export(*pages, page("Q", "#REDIRECT [[P1]]", number=4, redirect="P1")).replace("><", ">\n<")
    path = tmp_path_factory.mktemp("dump") / "xxwiki.xml.bz2"
    path.write_bytes(bz2.compress(text.encode()))
    return path


def test_extract_beside_wikiextractor(dump: Path) -> None:
    done = ulmfit("extract", dump, "--repetitions", "2", "--json")
    assert done.returncode == 0, done.stderr
    cases = cases_of(done.stdout)
    assert list(cases) == ["fast engine", "wikiextractor engine"]
    size = len(bz2.decompress(dump.read_bytes()))
    for case in cases.values():
        assert case["unit"] == "XML MB/s"
        assert case["input"] == {
            "dump": dump.name,
            "xml_bytes": size,
            "file_bytes": dump.stat().st_size,
        }
        assert case["figures"] == {"ours": {"documents": 3}, "stock": {"documents": 3}}
        assert len(case["other_load_cores"]["ours"]) == 2
    assert cases["fast engine"]["stock"] == cases["wikiextractor engine"]["stock"]
    assert done.stderr.count("ulmfit, fast engine") == 2


def test_the_default_dump_is_generated(tmp_path: Path) -> None:
    path = toy_dump(tmp_path, 1, lambda line: None)
    assert 0.8e6 < xml_bytes(path) < 1.2e6


def references() -> list[Reference]:
    return [
        Reference("xx", "xxwiki.xml.bz2", "1", "P1", word_hashes("P1 is text number 1")),
        Reference("xx", "xxwiki.xml.bz2", "2", "P2", word_hashes("P2 was text number 2 once")),
        Reference("xx", "xxwiki.xml.bz2", "9", "P9", word_hashes("it is not there")),
    ]


def test_quality_beside_references(dump: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(quality, "load_references", references)
    report = bench("extract", Options(reference=dump.parent), lambda line: None)
    cases = {case["case"]: case for case in report.cases}
    assert len(cases) == 8
    recall = cases["our fast engine, word recall"]
    assert recall["ours"] == recall["stock"] == pytest.approx((5 + 4) / (5 + 6 + 4), rel=1e-3)
    assert recall["figures"]["ours"]["xx-2"] == {"recall": 0.6667, "precision": 0.8, "words": 6}
    assert recall["figures"]["ours"]["mean"] == {"recall": 0.5556, "precision": 0.9333}
    assert cases["our wikiextractor engine, word precision"]["ours"] == pytest.approx(0.9)
    assert cases["our fast engine, leftovers on the dumps"]["ratio"] is None
    lines = report.table.splitlines()
    assert lines[1].split() == ["xx-1", "5", *["100.00"] * 6]
    assert lines[3].split() == ["xx-9", "4", *["0.00", "100.00"] * 3]
    assert json.loads(json.dumps(report.cases, allow_nan=False))


def test_leftovers_are_counted_a_million_words() -> None:
    left = Leftovers()
    left.count("one [[two]] {{three || <ref name=x> AT&amp;T [[")
    left.count("a b c")
    assert left.words == 9 + 3
    assert left.by_marker() == {
        "[[": round(2e6 / 12, 1),
        **dict.fromkeys(LEFTOVERS[1:], round(1e6 / 12, 1)),
    }
    assert left.per_million() == 6e6 / 12
    assert Leftovers().per_million() == 0


def test_encode_beside_fastai(tmp_path: Path) -> None:
    documents = tmp_path / "some.parquet"
    rows = [
        {"id": str(n), "title": "", "text": f"Ala ma kota {n}. " * 40, "split": "train" if n else "test"}
        for n in range(30)
    ]
    pq.write_table(pa.Table.from_pylist(rows), documents)
    done = ulmfit("encode", "--documents", documents, "--repetitions", "1", "--json")
    assert done.returncode == 0, done.stderr
    cases = cases_of(done.stdout)
    assert list(cases) == ["without marks", "with marks"]
    for case in cases.values():
        assert case["unit"] == "text MB/s"
        assert case["input"]["text_bytes"] == sum(len(row["text"]) for row in rows)
        assert set(case["input"]["vocabulary"]) == {"plain", "marks", "stock"}
        assert case["figures"]["ours"]["tokens"] > 30
        assert case["figures"]["stock"]["tokens"] > 30
        assert case["figures"]["stock"]["seconds_without_ids"] > 0
        memory = case["anonymous_mebibytes"]
        assert memory["above_base"] == pytest.approx(memory["peak"] - memory["base"], abs=0.2)


def test_generated_documents_are_varied_copies(tmp_path: Path) -> None:
    one = toy_documents(tmp_path, 1, lambda line: None)
    rows = pq.read_table(one).to_pylist()
    assert text_bytes(one) == pytest.approx(1_000_000, rel=0.1)
    assert len({row["id"] for row in rows}) == len(rows)
    assert {row["id"].partition("/")[0] for row in rows} == {"0", "1"}
    copies: dict[str, list[list[str]]] = {}
    for row in rows:
        copies.setdefault(row["title"], []).append(row["text"].split())
    pairs = [pair for written in copies.values() if len(written) == 2 for pair in zip(*written, strict=True)]
    # A tenth of each copy's words is drawn; the short ones among them stay.
    assert 0.06 < sum(one != other for one, other in pairs) / len(pairs) < 0.2
    (tmp_path / "again").mkdir()
    assert pq.read_table(toy_documents(tmp_path / "again", 1, lambda line: None)).to_pylist() == rows


def wrong_files(folder: Path) -> None:
    (folder / "page.html").write_text("<html></html>", encoding="utf-8")
    (folder / "no.xml.bz2").write_bytes(b"BZh9 and then something else")
    (folder / "cut.xml.bz2").write_bytes(bz2.compress(export(page("A", "a", number=1)).encode())[:-20])
    (folder / "no.parquet").write_bytes(b"PAR1 no PAR1")
    pq.write_table(pa.table({"id": ["1"], "split": ["train"]}), folder / "no-text.parquet")
    pq.write_table(pa.table({"id": ["1"], "split": ["train"], "text": [""]}), folder / "empty.parquet")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["dinner"], "there is no bench 'dinner'; expected one of extract, encode"),
        (["extract", "nowhere.bz2"], "there is no file "),
        (["extract", "page.html"], "page.html is no dump"),
        (["extract", "no.xml.bz2"], "no.xml.bz2 cannot be read"),
        (["extract", "cut.xml.bz2"], "cut.xml.bz2 cannot be read"),
        (["extract", "--reference", "."], "expected the folder of the dumps of the references"),
        (["extract", "page.html", "--reference", "."], "leave page.html out"),
        (["extract", "--documents", "x"], "bench extract has no use for documents"),
        (["encode", "page.html"], "bench encode has no use for dump"),
        (["encode", "--documents", "nowhere"], "nowhere does not exist"),
        (["encode", "--documents", "no.parquet"], "cannot be read as Parquet"),
        (["encode", "--documents", "no-text.parquet"], "has no column text"),
        (["encode", "--documents", "empty.parquet"], "empty.parquet holds no text"),
    ],
)
def test_wrong_input_is_one_line_and_exit_status_2(
    arguments: list[str], message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wrong_files(tmp_path)
    monkeypatch.chdir(tmp_path)
    done = ulmfit(*arguments)
    assert done.returncode == 2, done.stderr
    assert message in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1


def test_a_bench_gives_up_with_one_line_when_a_program_fails(tmp_path: Path) -> None:
    """A dump that is well compressed but no whole export: neither program may make a figure of it."""
    (tmp_path / "cut.xml").write_text(export(page("A", "a", number=1))[:-60], encoding="utf-8")
    with pytest.raises(StageFailed, match="failed with exit status"):
        bench("extract", Options(dump=tmp_path / "cut.xml", repetitions=1), lambda line: None)


def test_nothing_is_left_in_the_temporary_folder(
    dump: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    bench("extract", Options(dump=dump, repetitions=1), lambda line: None)
    assert not list(tmp_path.iterdir())
