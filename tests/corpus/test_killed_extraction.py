"""kill -9 at any moment: nothing is left running, and the same command makes the same bytes in the end."""

from __future__ import annotations

import contextlib
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from corpus.making import page, write_dump
from corpus.processes import family, living, wait_until

pytestmark = pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="looks at processes in /proc")

PROGRAM = """
import sys
from pathlib import Path
from ulmfit.corpus.dumps import chunks as dump_chunks
from ulmfit.corpus.wikiextractor.extraction import Limits
from ulmfit.corpus.sampling import Selection
from ulmfit.corpus.wikipedia import Extractor, extract_dumps
dump_chunks.CHUNK_BYTES = 50_000
dump, out, engine = sys.argv[1:]
Path(out, "scratch").mkdir(parents=True, exist_ok=True)
extract_dumps([Path(dump)], Path(out), Path(out, "scratch"), language=None, selection=Selection(),
    extractor=Extractor(engine), limits=Limits(workers=2), shard_bytes=1_000_000, log=print, warn=print)
"""
PAGES = {"fast": 3000, "wikiextractor": 800}
QUICK_MOMENTS = {"fast": 2, "wikiextractor": 1}
ENGINES = list(PAGES)


def big_dump(folder: Path, engine: str) -> Path:
    """Write a dump that takes the engine some seconds and several shards."""
    filler = "'''many''' words [[in a|row]], {{as}} ever. " * 60
    pages = [page(f"P{n}", f"Text {n}.\n== H ==\n* {filler}", number=n) for n in range(PAGES[engine])]
    return write_dump(
        folder / "xxwiki.xml.bz2", *pages, page("Template:as", "as", number=9_999_999, namespace=10)
    )


def start(dump: Path, out: Path, engine: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-u", "-c", PROGRAM, str(dump), str(out), engine]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=Path(__file__).parents[2])


def finish(process: subprocess.Popen[str]) -> str:
    printed, _ = process.communicate(timeout=300)
    assert process.returncode == 0, printed
    return printed


def files_of(out: Path) -> list[bytes]:
    assert sorted(path.name for path in out.iterdir()) == ["account.json", "documents.parquet", "scratch"]
    assert not list((out / "scratch").iterdir())
    return [(out / name).read_bytes() for name in ("documents.parquet", "account.json")]


class Undisturbed:
    """A run that nobody ends: its files, and how long it takes."""

    def __init__(self, folder: Path, engine: str) -> None:
        self.engine, self.folder = engine, folder
        self.dump = big_dump(folder, engine)
        began = time.monotonic()
        finish(self.start("undisturbed"))
        self.seconds = time.monotonic() - began
        self.files = files_of(folder / "undisturbed")

    def start(self, name: str) -> subprocess.Popen[str]:
        return start(self.dump, self.folder / name, self.engine)

    def moments(self, count: int) -> list[float]:
        """Return moments that are spread over the whole of such a run."""
        rng = random.Random(f"{self.engine} {count}")
        return [(place + rng.random()) / count * self.seconds for place in range(count)]


@pytest.fixture(scope="module", params=ENGINES)
def run(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Undisturbed:
    """The undisturbed run of an engine, once for all tests."""
    return Undisturbed(tmp_path_factory.mktemp(request.param), request.param)


def check_killed_parents(run: Undisturbed, count: int) -> None:
    for number, moment in enumerate(run.moments(count)):
        out = f"parent{count}-{number}"
        process = run.start(out)
        time.sleep(moment)
        processes = family(process.pid)
        process.kill()
        process.communicate()
        assert wait_until(lambda started=processes: not living(started)), f"{living(processes)} live on"
        finish(run.start(out))
        assert files_of(run.folder / out) == run.files, f"killed after {moment:.2f} s"


def check_killed_workers(run: Undisturbed, count: int) -> None:
    rng = random.Random(run.engine)
    for number, moment in enumerate(run.moments(count)):
        out = f"worker{count}-{number}"
        process = run.start(out)
        time.sleep(moment)
        if others := family(process.pid)[1:]:
            with contextlib.suppress(ProcessLookupError):
                os.kill(rng.choice(others), signal.SIGKILL)
        finish(process)
        assert files_of(run.folder / out) == run.files, f"a worker killed after {moment:.2f} s"


def test_a_killed_parent(run: Undisturbed) -> None:
    check_killed_parents(run, QUICK_MOMENTS[run.engine])


def test_a_killed_worker(run: Undisturbed) -> None:
    check_killed_workers(run, QUICK_MOMENTS[run.engine])


@pytest.mark.soak
def test_a_parent_killed_at_ten_moments(run: Undisturbed) -> None:
    check_killed_parents(run, 10)


@pytest.mark.soak
def test_a_worker_killed_at_ten_moments(run: Undisturbed) -> None:
    check_killed_workers(run, 10)


def test_done_shards_are_not_extracted_again(tmp_path: Path) -> None:
    dump, out = big_dump(tmp_path, "fast"), tmp_path / "out"
    store = out / "scratch" / "store"
    process = start(dump, out, "fast")
    assert wait_until(lambda: len(list(store.glob("*.shard"))) >= 5)
    process.kill()
    process.communicate()
    done = len(list(store.glob("*.shard")))
    assert f"{done} chunks of the dump were extracted before" in finish(start(dump, out, "fast"))


def test_another_engine_does_not_take_over_what_is_done(tmp_path: Path) -> None:
    dump, out = big_dump(tmp_path, "fast"), tmp_path / "out"
    store = out / "scratch" / "store"
    process = start(dump, out, "fast")
    assert wait_until(lambda: len(list(store.glob("*.shard"))) >= 2)
    process.kill()
    process.communicate()
    other = start(dump, out, "wikiextractor")
    assert wait_until(lambda: bool(list(store.glob("pages-*"))))
    assert not list(store.glob("*.shard"))
    other.kill()
    other.communicate()
    assert "extracted before" not in finish(start(dump, out, "fast"))
