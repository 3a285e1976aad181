"""Our own engine: the same bytes however the work is shared out, and a page costs nothing but itself."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from filelock import FileLock

from corpus.making import account, left_out, page, rows, texts, write_dump
from corpus.processes import family, living, wait_until
from ulmfit.corpus import sampling
from ulmfit.corpus.dumps import chunks as dump_chunks
from ulmfit.corpus.extract import extract
from ulmfit.corpus.fast.extraction import FastExtraction
from ulmfit.corpus.fast.shards import ShardWriter, read_shard
from ulmfit.corpus.fast.worker import Job
from ulmfit.corpus.fast.worker_pool import WorkerPool
from ulmfit.corpus.sampling import Selection
from ulmfit.corpus.stages import WikipediaCorpus
from ulmfit.corpus.wikiextractor.extraction import Limits
from ulmfit.pipeline.assets import File
from ulmfit.pipeline.errors import InputError, StageFailed
from ulmfit.pipeline.runner import Runner

Log = Callable[[str], None]


def quiet(_: str) -> None:
    """Log nothing."""


@pytest.fixture
def small_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Cut dumps after every few pages, so that small ones give every worker something to do."""
    monkeypatch.setattr(dump_chunks, "CHUNK_BYTES", 2_000)


def mixed_pages(count: int) -> list[str]:
    """Return pages of every kind, some of them damaged, repeated or with an id of their own twice."""
    pages = []
    for n in range(count):
        text = f"'''P{n}''' is [[number|page]] {n}. " + f"word{n % 7} " * (n % 90)
        pages.append(page(f"P{n}", text, number=n))
        if n % 5 == 0:
            pages.append(page(f"Talk:P{n}", "chatter", number=100_000 + n, namespace=1))
        if n % 7 == 0:
            pages.append(page(f"R{n}", f"#REDIRECT [[P{n}]]", number=200_000 + n))
        if n % 11 == 0:
            pages.append(page(f"E{n}", "{{Box}}", number=300_000 + n))
        if n % 13 == 0:
            pages.append(page(f"P{n}", text, number=n))
        if n % 17 == 0:
            pages.append(page(f"Other P{n}", text, number=n))
        if n % 19 == 0:
            pages.append(page(f"D{n}", "x", number=400_000 + n).replace("</title>", "</tilte>"))
    return pages


def files_of(folder: Path) -> list[bytes]:
    return [(folder / name).read_bytes() for name in ("documents.parquet", "account.json")]


@pytest.mark.usefixtures("small_chunks")
def test_bytes_do_not_depend_on_workers(tmp_path: Path) -> None:
    dump = File(path=write_dump(tmp_path / "xxwiki.xml.bz2", *mixed_pages(400)))
    results = []
    for workers in (1, 2, 3):
        stage = WikipediaCorpus(dump=dump, language="xx", engine="fast", workers=workers)
        folder = Runner(runs=tmp_path / f"runs{workers}").build(stage)
        results.append(files_of(folder))
        assert not (folder / "scratch").exists()
    assert results[0] == results[1] == results[2]
    assert left_out(folder) == {
        "other namespace": 80,
        "redirect": 58,
        "damaged page": 22,
        "empty after extraction": 37,
        "duplicate id": 31,
    }
    found = rows(folder)
    assert [row["id"] for row in found if "#" not in row["id"]] == [str(n) for n in range(400)]
    assert found[3]["text"].startswith("P2 is page 2. word2 word2")
    content = account(folder)
    assert content["words"] == sum(len(row["text"].split()) for row in found)
    assert (content["engine"], content["headings"], content["templates"]) == ("fast", True, False)
    assert content["extractor"].startswith("ulmfit ")


@pytest.mark.usefixtures("small_chunks")
@pytest.mark.parametrize("limit", [{"max_documents": 40}, {"max_tokens": 900}])
def test_a_sample_is_the_beginning_in_the_order_of_hashes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, limit: dict[str, int]
) -> None:
    monkeypatch.setattr(sampling, "FEWEST_MERGED", 1)
    dump = File(path=write_dump(tmp_path / "xxwiki.xml.bz2", *mixed_pages(400)))
    results = []
    for workers in (1, 3):
        stage = WikipediaCorpus(dump=dump, language="xx", engine="fast", workers=workers, **limit)
        folder = Runner(runs=tmp_path / f"runs{workers}").build(stage)
        results.append(files_of(folder))
    assert results[0] == results[1]
    whole = Runner(runs=tmp_path / "whole").build(WikipediaCorpus(dump=dump, language="xx", engine="fast"))
    order = sorted(
        rows(whole), key=lambda row: sampling.salted_hash("ulmfit sample", row["id"].partition("#")[0])
    )
    kept = [row["id"] for row in rows(folder)]
    assert sorted(kept) == sorted(row["id"] for row in order[: len(kept)])
    words = [len(row["text"].split()) for row in order]
    if "max_documents" in limit:
        assert len(kept) == 40
    else:
        assert sum(words[: len(kept)]) >= 900 > sum(words[: len(kept) - 1])
    assert left_out(folder)["outside the sample"] > 300


@pytest.mark.usefixtures("small_chunks")
def test_what_the_sample_cannot_need_is_not_stored(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sampling, "FEWEST_MERGED", 1)
    pages = [page(f"P{n}", f"Text {n}. " + "word " * 100, number=n) for n in range(600)]
    (tmp_path / "store").mkdir()
    extraction = FastExtraction(
        [write_dump(tmp_path / "x.xml", *pages)],
        tmp_path / "store",
        selection=Selection(max_documents=10),
        headings=True,
        workers=1,
        page_seconds=10,
        memory_megabytes=1024,
        log=quiet,
        warn=quiet,
    )
    extraction.run()
    stored = [sum(1 for text in table.column("text").to_pylist() if text) for table in extraction.tables()]
    assert sum(stored) < 120
    assert sum(stored[-20:]) <= 10
    assert sum(table.num_rows for table in extraction.tables()) == 600


def test_our_engine_is_the_default(tmp_path: Path) -> None:
    dump = write_dump(tmp_path / "x.xml", page("A", "Some -{zh-hans:text;zh-hant:x}- here.", number=1))
    extract(dump, tmp_path / "out", log=quiet)
    assert account(tmp_path / "out")["engine"] == "fast"
    assert texts(tmp_path / "out") == {"1": "Some text here."}
    assert WikipediaCorpus(dump=File(path=dump), language="xx").engine == "fast"


def test_headings_are_a_setting(tmp_path: Path) -> None:
    dump = write_dump(tmp_path / "x.xml", page("A", "Begin.\n== Head ==\nEnd.", number=1))
    extract(dump, tmp_path / "with", engine="fast", log=quiet)
    extract(dump, tmp_path / "without", engine="fast", headings=False, log=quiet)
    assert texts(tmp_path / "with") == {"1": "Begin.\nHead\nEnd."}
    assert texts(tmp_path / "without") == {"1": "Begin.\nEnd."}
    assert account(tmp_path / "without")["headings"] is False


def test_settings_without_effect_and_unknown_engines_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="templates has no effect with engine='fast'"):
        WikipediaCorpus(dump=File(path=Path("x")), language="xx", engine="fast", templates=False)
    with pytest.raises(InputError, match="engine 'quick' is unknown; expected wikiextractor or fast"):
        extract(tmp_path, tmp_path / "out", engine="quick", log=quiet)


# --- Pages that our engine cannot cope with -----------------------------------------------------------------

BAD_ENGINE = """
import os, re, signal, sys
from ulmfit.corpus.dumps import reader as dump_reader
from ulmfit.corpus.fast import text as fast_text
sound, sound_pages = fast_text.article_text, dump_reader.chunk_pages
def chunk_pages(data, site):
    if b"UNREADABLE" in data:
        os._exit(9)
    return sound_pages(data, site)
def article_text(wikitext, names, *, headings=True):
    word = wikitext.split()[0]
    if word == "RAISES":
        raise ValueError("cannot be read\\nat all")
    if word == "HANGS":
        while True: pass
    if word == "BACKTRACKS":
        open(os.environ["FLAG_FILE"], "w").close()
        re.match("(a+)+$", "a" * 60 + "b")
    if word == "EATS":
        return [bytearray(1 << 24) for _ in range(1 << 20)]
    if word == "DIES":
        os.kill(os.getpid(), signal.SIGKILL)
    if word == "HALF":
        return "half of a pair: \\ud800"
    if word == "ONCE":
        flag = os.environ["FLAG_FILE"]
        if not os.path.exists(flag):
            open(flag, "w").close()
            os.kill(os.getpid(), signal.SIGKILL)
    return sound(wikitext, names, headings=headings)
fast_text.article_text, dump_reader.chunk_pages = article_text, chunk_pages
"""


@pytest.fixture
def bad_engine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Have the worker processes start with an engine that some words upset."""
    (tmp_path / "sitecustomize.py").write_text(BAD_ENGINE)
    root = Path(dump_chunks.__file__).parents[3]
    monkeypatch.setenv("PYTHONPATH", f"{tmp_path}:{root}")
    monkeypatch.setenv("FLAG_FILE", str(tmp_path / "flag"))


def extract_words(tmp_path: Path, words: list[str], log: Log) -> Path:
    pages = [page(f"P{n}", f"{word} is a word.", number=n) for n, word in enumerate(words)]
    dump = write_dump(tmp_path / "xx.xml", *pages)
    limits = Limits(workers=2, page_seconds=0.5, memory_megabytes=400)
    extract(dump, tmp_path / "out", engine="fast", limits=limits, log=log)
    return tmp_path / "out"


@pytest.mark.usefixtures("bad_engine")
@pytest.mark.parametrize(
    ("word", "verdict"),
    [
        ("RAISES", "ValueError: cannot be read"),
        ("HANGS", "time"),
        ("BACKTRACKS", "time"),
        ("EATS", "MemoryError"),
        ("DIES", "its worker ended with SIGKILL"),
        ("HALF", "UnicodeEncodeError: "),
        ("UNREADABLE", "its worker ended with exit status 9"),
    ],
)
def test_a_bad_page_costs_itself_alone(tmp_path: Path, word: str, verdict: str) -> None:
    said: list[str] = []
    out = extract_words(tmp_path, ["one", "two", word, "four"], said.append)
    assert list(texts(out)) == ["0", "1", "3"]
    assert account(out)["left_out"] == {"extraction failed": {"count": 1, "pages": ["2"]}}
    (line,) = (line for line in said if "extraction failed for" in line)
    assert line.startswith(f"warning: extraction failed for page 2 ('P2'): {verdict}")
    assert "\n" not in line


@pytest.mark.usefixtures("bad_engine", "small_chunks")
def test_many_bad_pages_in_many_chunks(tmp_path: Path) -> None:
    words = ["fine"] * 60
    words[5], words[6], words[30], words[31], words[59] = "DIES", "HANGS", "RAISES", "DIES", "HALF"
    out = extract_words(tmp_path, words, quiet)
    bad = {"5", "6", "30", "31", "59"}
    assert list(texts(out)) == [str(n) for n in range(60) if str(n) not in bad]
    assert set(account(out)["left_out"]["extraction failed"]["pages"]) == bad


@pytest.mark.usefixtures("bad_engine")
def test_a_worker_that_dies_once_costs_nothing(tmp_path: Path) -> None:
    out = extract_words(tmp_path, ["one", "ONCE", "three"], quiet)
    assert (tmp_path / "flag").exists()
    assert list(texts(out)) == ["0", "1", "2"]
    assert not account(out)["left_out"]


@pytest.mark.usefixtures("bad_engine")
def test_a_worker_dies_with_its_parent_even_inside_of_a_regular_expression(tmp_path: Path) -> None:
    dump = write_dump(tmp_path / "x.xml", page("A", "BACKTRACKS", number=1))
    command = [sys.executable, "-m", "ulmfit", "extract", str(dump), str(tmp_path / "out")]
    process = subprocess.Popen([*command, "--engine", "fast"], stdout=subprocess.DEVNULL)
    assert wait_until(lambda: (tmp_path / "flag").exists())
    processes = family(process.pid)
    assert len(processes) >= 2
    process.kill()
    process.wait()
    assert wait_until(lambda: not living(processes), seconds=5)


def test_workers_that_cannot_start_are_no_pages_fault(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "sitecustomize.py").write_text("raise SystemExit('a library is missing')")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    with pytest.raises(
        StageFailed, match=r"^xx\.xml at byte \d+ cannot be extracted: .*a library is missing$"
    ):
        extract_words(tmp_path, ["one"], quiet)
    monkeypatch.undo()
    assert texts(extract_words(tmp_path, ["one"], quiet)) == {"0": "one is a word."}


def test_an_error_of_the_workers_disk_is_raised_here(tmp_path: Path) -> None:
    job = Job(str(tmp_path / "x.chunk"), str(tmp_path / "missing/x.shard"), "", "", {}, headings=True)
    with WorkerPool(1, page_seconds=10, memory_megabytes=1024) as pool:
        with pytest.raises(FileNotFoundError, match=r"x\.shard"):
            pool.submit(job, "x").result()
        (tmp_path / "x.chunk").write_bytes(b"")
        with pytest.raises(FileNotFoundError, match=r"missing/x\.shard"):
            pool.submit(job, "x").result()
        (tmp_path / "missing").mkdir()
        assert pool.submit(job, "x").result() == []


class FullMemory(bytearray):
    """Bytes that take no more."""

    def __iadd__(self, other: object) -> FullMemory:
        raise MemoryError


def test_a_row_that_does_not_fit_into_memory_leaves_no_part_of_itself(tmp_path: Path) -> None:
    shard = ShardWriter()
    shard.add_document("1", "A", "one", 7)
    strings = list(shard._strings)
    shard._strings[2] = FullMemory(strings[2])
    with pytest.raises(MemoryError):
        shard.add_document("2", "B", "two", 8)
    shard._strings[2] = strings[2]
    shard.leave_out("2", "extraction failed")
    shard.write(tmp_path / "x.shard")
    rows = read_shard(tmp_path / "x.shard").to_pylist()
    assert [(row["id"], row["text"], row["left_out"]) for row in rows] == [
        ("1", "one", ""),
        ("2", "", "extraction failed"),
    ]


def test_two_extractions_into_one_folder_are_refused(tmp_path: Path) -> None:
    dump = write_dump(tmp_path / "x.xml", page("A", "Text.", number=1))
    (tmp_path / "out").mkdir()
    with (
        FileLock(tmp_path / "out" / ".extraction.lock"),
        pytest.raises(InputError, match="another extraction"),
    ):
        extract(dump, tmp_path / "out", engine="fast")
    extract(dump, tmp_path / "out", engine="fast")
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["account.json", "documents.parquet"]


def test_the_command_has_the_settings(tmp_path: Path) -> None:
    dump = write_dump(tmp_path / "x.xml", page("A", "Begin.\n== Head ==\nEnd.", number=1))
    command = [sys.executable, "-m", "ulmfit", "extract", str(dump), str(tmp_path / "out")]
    command += ["--engine", "fast", "--no-headings", "--workers", "1"]
    subprocess.run(command, check=True, capture_output=True)
    assert texts(tmp_path / "out") == {"1": "Begin.\nEnd."}
    refused = subprocess.run([*command[:6], "--engine", "none"], capture_output=True, text=True)
    assert refused.returncode == 2
    assert refused.stderr == "ulmfit: engine 'none' is unknown; expected wikiextractor or fast\n"
