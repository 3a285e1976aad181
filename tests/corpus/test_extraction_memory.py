"""Memory does not depend on the size of a dump: 100 MB of XML and 1 GB, on the whole tree of processes."""

from __future__ import annotations

import bz2
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from corpus.processes import anonymous_bytes
from ulmfit.pipeline.files import read_json
from ulmfit.toy.wikipedia import write_dump

pytestmark = pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="looks at processes in /proc")

ARTICLES = 1000
SAMPLED_EVERY_SECONDS = 0.05


class ToyDumps:
    """Dumps of any size: the pages of one toy dump, again and again with other ids."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        write_dump(folder / "toy.xml.bz2", seed=0, articles=ARTICLES)
        text = bz2.decompress((folder / "toy.xml.bz2").read_bytes())
        start, end = text.index(b"  <page>"), text.rindex(b"</page>") + len(b"</page>\n")
        self._head, self._tail = text[:start], text[end:]
        self._between_ids = re.split(rb"(?<=</ns>\n    <id>)", text[start:end])

    def write(self, megabytes: int) -> Path:
        """Write a dump of at least so many MB of XML; return its path."""
        path = self._folder / f"toywiki-{megabytes}.xml.bz2"
        with path.open("wb") as file:
            for part in self._parts(megabytes * 1_000_000):
                file.write(bz2.compress(part, 1))
        return path

    def _parts(self, size: int) -> Iterator[bytes]:
        yield self._head
        round_number = written = 0
        while written < size:
            round_number += 1
            part = b"%d0" % round_number
            pages = part.join(self._between_ids)
            written += len(pages)
            yield pages
        yield self._tail


def peak_of_extraction(dump: Path, out: Path, engine: str) -> int:
    """Extract a dump; return the largest sum of anonymous memory over all processes, in bytes."""
    command = [sys.executable, "-m", "ulmfit", "extract", str(dump), str(out)]
    process = subprocess.Popen([*command, "--engine", engine, "--workers", "2"], stdout=subprocess.DEVNULL)
    peak = 0
    while process.poll() is None:
        peak = max(peak, anonymous_bytes(process.pid))
        time.sleep(SAMPLED_EVERY_SECONDS)
    assert process.returncode == 0
    return peak


@pytest.mark.soak
@pytest.mark.parametrize(("engine", "sizes"), [("fast", (100, 1000)), ("wikiextractor", (30, 300))])
def test_ten_times_the_dump_takes_a_fifth_more_memory_at_most(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], engine: str, sizes: tuple[int, int]
) -> None:
    dumps = ToyDumps(tmp_path)
    peaks = []
    for megabytes in sizes:
        dump = dumps.write(megabytes)
        began = time.monotonic()
        peaks.append(peak_of_extraction(dump, tmp_path / "out", engine))
        with capsys.disabled():
            seconds = time.monotonic() - began
            print(f"\n{engine}: {peaks[-1] / 1e6:.0f} MB for {megabytes} MB of XML, in {seconds:.0f} s")
        written = read_json(tmp_path / "out" / "account.json")["documents_written"]
        assert written == pq.read_metadata(tmp_path / "out" / "documents.parquet").num_rows
        assert written > 100 * megabytes
        dump.unlink()
    assert peaks[1] < 1.2 * peaks[0]
