"""Known traps of wikiextractor that no other test of this folder stands for."""

from __future__ import annotations

import importlib.metadata
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from corpus.making import page, texts, write_dump
from corpus.processes import family, living, wait_until
from ulmfit.corpus.extract import extract
from ulmfit.corpus.sampling import Selection
from ulmfit.corpus.wikiextractor import extraction
from ulmfit.corpus.wikiextractor.extraction import Extraction, Limits
from ulmfit.corpus.wikipedia import Extractor, extract_dumps
from ulmfit.pipeline.errors import StageFailed

SHARED_MEMORY = "/dev/shm/"
PROGRAM = """
import sys
from pathlib import Path
from ulmfit.corpus.extract import extract
from ulmfit.corpus.wikiextractor.extraction import Limits
extract(Path(sys.argv[1]), Path(sys.argv[2]), engine="wikiextractor",
        limits=Limits(workers=1, page_seconds=2.0), log=print)
"""


def quiet(_: str) -> None:
    """Log nothing."""


@pytest.mark.parametrize(
    ("version", "message"), [("3.0.6", "3.0.6 is too old: pip install"), (None, "is not installed: pip")]
)
def test_a_wikiextractor_that_cannot_work_is_named_before_the_dump_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, version: str | None, message: str
) -> None:
    def installed(name: str) -> str:
        if version is None:
            raise importlib.metadata.PackageNotFoundError(name)
        return version

    monkeypatch.setattr(importlib.metadata, "version", installed)
    dump = write_dump(tmp_path / "x.xml", page("A", "text", number=1))
    with pytest.raises(StageFailed, match=f"wikiextractor {message}"):
        extract(dump, tmp_path / "out", engine="wikiextractor", log=quiet)
    assert not (tmp_path / "out").exists()


def test_all_cores_are_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    together = threading.Barrier(3, timeout=60)
    supervise = Extraction._supervise

    def meeting(self: Extraction, export: Path, folder: Path) -> str:
        together.wait()
        return supervise(self, export, folder)

    monkeypatch.setattr(extraction.os, "cpu_count", lambda: 3)
    monkeypatch.setattr(Extraction, "_supervise", meeting)
    pages = [page(f"P{n}", f"Text {n}.\n" + "word " * 3000, number=n) for n in range(3)]
    out, scratch = tmp_path / "out", tmp_path / "scratch"
    out.mkdir()
    scratch.mkdir()
    extract_dumps(
        [write_dump(tmp_path / "x.xml", *pages)],
        out,
        scratch,
        language=None,
        selection=Selection(),
        extractor=Extractor("wikiextractor"),
        limits=Limits(),
        shard_bytes=10_000,
        log=quiet,
        warn=quiet,
    )
    assert list(texts(out)) == ["0", "1", "2"]


def segments(processes: list[int]) -> set[Path]:
    """Return the shared memory that processes have mapped, as the files that it is."""
    found = set()
    for pid in processes:
        try:
            lines = Path(f"/proc/{pid}/maps").read_text().splitlines()
        except OSError:
            continue
        found |= {Path(line.split(maxsplit=5)[5]) for line in lines if SHARED_MEMORY in line}
    return {path for path in found if path.exists()}


def supervisor_of(processes: list[int]) -> int:
    """Return the process that runs the supervisor."""
    lines = {pid: Path(f"/proc/{pid}/cmdline").read_bytes() for pid in processes}
    return next(pid for pid, line in lines.items() if b"supervisor.py" in line)


@pytest.mark.skipif(not Path(SHARED_MEMORY).is_dir(), reason="there is no /dev/shm here")
@pytest.mark.parametrize("victim", ["parent", "supervisor"])
def test_no_shared_memory_is_left_behind(tmp_path: Path, victim: str) -> None:
    pages = [
        page("A", "{{T}} {{#expr: 9**9**9}}", number=1),
        page("B", "text {{T}}", number=2),
        page("Template:T", "x" * 50_000, number=3, namespace=10),
    ]
    dump = write_dump(tmp_path / "x.xml", *pages)
    command = [sys.executable, "-u", "-c", PROGRAM, str(dump), str(tmp_path / "out")]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, cwd=Path(__file__).parents[2])
    assert wait_until(lambda: len(segments(family(process.pid))) >= 3)
    processes = family(process.pid)
    mapped = segments(processes)
    os.kill(process.pid if victim == "parent" else supervisor_of(processes), signal.SIGKILL)
    process.wait()
    assert wait_until(lambda: not living(processes))
    assert wait_until(lambda: not any(path.exists() for path in mapped), 5)
    if victim == "supervisor":
        assert texts(tmp_path / "out").keys() == {"2"}
