"""Whatever happens to this program or to wikiextractor, no process is left behind and no work is lost."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from corpus.making import account, page, texts, write_dump
from corpus.processes import wait_until
from ulmfit.corpus.extract import SCRATCH, extract
from ulmfit.corpus.wikiextractor import supervisor
from ulmfit.corpus.wikiextractor.extraction import Limits
from ulmfit.pipeline.errors import StageFailed

pytestmark = pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="looks at processes in /proc")

FORKING = "import os,time\nif os.fork()==0: {child}\nelse: {parent}\n"


def processes_naming(word: str) -> Iterator[int]:
    """Yield living processes whose command line holds `word`."""
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            command = (folder / "cmdline").read_bytes()
            state = (folder / "stat").read_text().rpartition(")")[2].split()[0]
        except OSError:
            continue
        if word.encode() in command and state != "Z" and int(folder.name) != os.getpid():
            yield int(folder.name)


def start(tmp_path: Path, program: str, **limits: float) -> subprocess.Popen[bytes]:
    spec = {
        "command": [sys.executable, "-c", program, str(tmp_path)],
        "folder": str(tmp_path),
        "output": str(tmp_path / "output"),
        "errors": str(tmp_path / "errors"),
        "memory_bytes": 1 << 30,
        "page_seconds": 0.5,
        "idle_seconds": 0.5,
        "start_seconds": 5.0,
        **limits,
    }
    command = [sys.executable, "-I", str(Path(supervisor.__file__)), json.dumps(spec)]
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)


@pytest.mark.parametrize(
    ("program", "verdict"),
    [
        ("print('x')", "finished"),
        ("import sys; sys.exit(3)", "exit 3"),
        ("import time; time.sleep(60)", "idle"),
        (FORKING.format(child="\n  while True: pass", parent="os.wait()"), "time"),
        (FORKING.format(child="os._exit(1)", parent="time.sleep(60)"), "idle|worker died"),
        ("x = bytearray(2 << 30)", "exit 1"),
    ],
    ids=["finished", "failed", "standstill", "busy child", "dead worker", "memory"],
)
def test_verdicts(tmp_path: Path, program: str, verdict: str) -> None:
    process = start(tmp_path, program)
    assert process.stdout
    lines = process.stdout.read().decode().split("\n")
    assert lines[1] in verdict.split("|")
    process.wait()
    assert not list(processes_naming(str(tmp_path)))


LIMITED = """
import resource, sys
from ulmfit.corpus.wikiextractor.supervisor import limit_resource
kind = getattr(resource, sys.argv[1])
resource.setrlimit(kind, (int(sys.argv[2]), int(sys.argv[2])))
limit_resource(kind, int(sys.argv[3]))
print(resource.getrlimit(kind))
"""


@pytest.mark.parametrize("kind", ["RLIMIT_AS", "RLIMIT_CPU"])
@pytest.mark.parametrize(("hard", "wanted", "expected"), [(8, 2, 2), (2, 8, 2)])
def test_a_limit_is_never_above_the_systems(kind: str, hard: int, wanted: int, expected: int) -> None:
    unit = 1 << 28 if kind == "RLIMIT_AS" else 100
    command = [sys.executable, "-c", LIMITED, kind, str(hard * unit), str(wanted * unit)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.stdout == f"({expected * unit}, {expected * unit})\n", done.stderr


def test_growing_output_is_progress(tmp_path: Path) -> None:
    program = "import time\nfor n in range(12):\n  print(n, flush=True)\n  time.sleep(.1)"
    process = start(tmp_path, program, idle_seconds=0.6)
    assert process.stdout
    assert process.stdout.read().decode().split("\n")[1] == "finished"


@pytest.mark.parametrize("how", ["stdin closed", "supervisor terminated"])
def test_the_group_dies_with_whoever_started_it(tmp_path: Path, how: str) -> None:
    process = start(
        tmp_path, FORKING.format(child="time.sleep(60)", parent="time.sleep(60)"), idle_seconds=60
    )
    assert process.stdin and process.stdout
    process.stdout.readline()
    assert wait_until(lambda: len(list(processes_naming(str(tmp_path)))) >= 3)
    if how == "stdin closed":
        process.stdin.close()
    else:
        process.terminate()
    process.wait()
    assert wait_until(lambda: not list(processes_naming(str(tmp_path))))


def endless_dump(tmp_path: Path) -> Path:
    """Return a dump of three shards, the second of which has a page without end."""
    filler = "many words in a row. " * 15_000
    pages = [page(f"P{n}", f"Text {n}.\n{filler}", number=n) for n in range(3)]
    pages.insert(1, page("Evil", "{{#expr: 9**9**9}}", number=77))
    return write_dump(tmp_path / "xxwiki.xml", *pages)


PROGRAM = """
import sys
from pathlib import Path
from ulmfit.corpus.documents import Selection
from ulmfit.corpus.wikiextractor.extraction import Limits
from ulmfit.corpus.wikipedia import Extractor, extract_dumps
dump, out, seconds = sys.argv[1:]
Path(out, "scratch").mkdir(parents=True, exist_ok=True)
extract_dumps([Path(dump)], Path(out), Path(out, "scratch"), language=None, selection=Selection(),
    extractor=Extractor("wikiextractor"), limits=Limits(workers=1, page_seconds=float(seconds)),
    shard_bytes=250_000, log=print, warn=print)
"""


def run(dump: Path, out: Path, seconds: float) -> subprocess.Popen[str]:
    command = [sys.executable, "-u", "-c", PROGRAM, str(dump), str(out), str(seconds)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=Path(__file__).parents[2])


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT, signal.SIGTERM])
def test_a_killed_extraction_leaves_no_process_and_goes_on(tmp_path: Path, number: signal.Signals) -> None:
    dump, out = endless_dump(tmp_path), tmp_path / "out"
    first = run(dump, out, 600)
    store = out / "scratch" / "store"
    assert wait_until(
        lambda: (store / "texts-00000.jsonl").exists() and (store / "run-00001/output.jsonl").exists()
    )
    assert list(processes_naming(str(tmp_path)))
    first.send_signal(number)
    first.communicate()
    assert wait_until(lambda: not list(processes_naming(str(tmp_path))))
    assert not (out / "documents.parquet").exists()
    second = run(dump, out, 1)
    printed, _ = second.communicate()
    assert "1 of 3 shards were extracted before" in printed
    assert list(texts(out)) == ["0", "1", "2"]
    assert account(out)["left_out"] == {"extraction failed": {"count": 1, "pages": ["77"]}}


def test_a_worker_that_is_killed_costs_nothing(tmp_path: Path) -> None:
    pages = [
        page(f"P{n}", f"Text {n}.\n" + "'''word''' [[link|text]] {{x}} " * 5_000, number=n) for n in range(12)
    ]
    dump, out = write_dump(tmp_path / "xxwiki.xml", *pages), tmp_path / "out"
    process = run(dump, out, 60)
    output = out / "scratch/store/run-00000/output.jsonl"
    assert wait_until(lambda: output.exists() and output.stat().st_size > 0)
    workers = [pid for pid in processes_naming("WikiExtractor") if str(tmp_path).encode() in _command(pid)]
    os.kill(max(workers), signal.SIGKILL)
    process.communicate()
    assert list(texts(out)) == [str(n) for n in range(12)]
    assert not account(out)["left_out"]


def _command(pid: int) -> bytes:
    return Path(f"/proc/{pid}/cmdline").read_bytes()


def test_a_wikiextractor_that_does_not_work_is_not_the_pages_fault(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    broken = tmp_path / "wikiextractor"
    broken.mkdir()
    (broken / "__init__.py").write_text("")
    (broken / "WikiExtractor.py").write_text("raise SystemExit('no such option: --json')")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    dump = write_dump(tmp_path / "x.xml", page("A", "text", number=1))
    with pytest.raises(StageFailed, match=r"does not work here .exit 1.: no such option"):
        extract(dump, tmp_path / "out", engine="wikiextractor", log=lambda _: None)
    monkeypatch.setattr(sys, "executable", "/bin/false")
    with pytest.raises(StageFailed, match="does not work here"):
        extract(dump, tmp_path / "out", engine="wikiextractor", log=lambda _: None)
    monkeypatch.undo()
    extract(dump, tmp_path / "out", engine="wikiextractor", log=lambda _: None)
    assert texts(tmp_path / "out") == {"1": "text"}


def test_templates_too_large_for_shared_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda _: shutil._ntuple_diskusage(1 << 20, 0, 1 << 20))
    template = page("Template:T", "x" * 100_000, number=2, namespace=10)
    dump = write_dump(tmp_path / "x.xml", page("A", "text {{T}}", number=1), template)
    with pytest.raises(StageFailed, match=r"need 2 MiB of /dev/shm, which has 1: enlarge it"):
        extract(dump, tmp_path / "out", engine="wikiextractor", log=lambda _: None)


def test_another_dump_in_the_same_folder_does_not_take_over_old_texts(tmp_path: Path) -> None:
    out = tmp_path / "out"
    stale = out / SCRATCH / "store"
    stale.mkdir(parents=True)
    (stale / "store.json").write_text('{"identity": {"format": 0}}')
    (stale / "texts-00000.jsonl").write_text('[0, "stale"]\n')
    dump = write_dump(tmp_path / "b.xml", page("B", "fresh", number=1))
    extract(dump, out, engine="wikiextractor", limits=Limits(), log=lambda _: None)
    assert texts(out) == {"1": "fresh"}
    assert sorted(path.name for path in out.iterdir()) == ["account.json", "documents.parquet"]


def test_folders_may_be_relative(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_dump(tmp_path / "dump.xml", page("Title", "Some text with words.", number=1))
    monkeypatch.chdir(tmp_path)
    extract(Path("dump.xml"), Path("out"), engine="wikiextractor", log=lambda line: None)
    assert list(texts(tmp_path / "out").values()) == ["Some text with words."]
