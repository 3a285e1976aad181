"""Extracts dumps with this project's own engine: chunks of a dump go to worker processes, shards come back.

The engine looks at wikitext once and expands no templates (`text`). This process only decompresses and
cuts the dump; the workers (`worker`) parse the pages and write shards. A shard that exists is done:
after a kill the same extraction passes over it. Chunks depend on the dump alone and shards are taken in its
order, so the result is the same for any number of workers.
"""

from __future__ import annotations

import collections
import os
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from ulmfit.corpus.documents import COLLECTED_SCHEMA, DocumentHashes
from ulmfit.corpus.dumps.reader import DumpReader, Site
from ulmfit.corpus.fast.shards import NUMBERS, read_shard
from ulmfit.corpus.fast.worker import Job
from ulmfit.corpus.fast.worker_pool import WorkerPool
from ulmfit.corpus.sampling import SampleBound, Selection
from ulmfit.pipeline.files import remove_temporaries

CHUNKS_A_WORKER = 2
"""Chunks in flight for each worker: one that is worked on, one that is ready."""
SHARD_SUFFIX, CHUNK_SUFFIX = ".shard", ".chunk"
LOG_EVERY_SECONDS = 30.0


class FastExtraction:
    """Extracts every page of `dumps` into shards in `folder`, on `workers` processes (0: one per core).

    One page may take `page_seconds` of CPU time and `memory_megabytes` of address space.
    """

    def __init__(
        self,
        dumps: Sequence[Path],
        folder: Path,
        *,
        selection: Selection,
        headings: bool,
        workers: int,
        page_seconds: float,
        memory_megabytes: int,
        log: Callable[[str], None],
        warn: Callable[[str], None],
    ) -> None:
        self.site = Site()
        self.pages_read = 0
        self._dumps, self._folder = dumps, folder
        self._headings = headings
        self._selection = selection
        self._bound = SampleBound(selection)
        self._shards: list[Path] = []
        self._pool = WorkerPool(workers or os.cpu_count() or 1, page_seconds, memory_megabytes)
        self._log, self._warn = log, warn

    def run(self) -> None:
        """Extract what is missing; raises InputError for a damaged dump, StageFailed where workers fail."""
        remove_temporaries(self._folder)
        for leftover in self._folder.glob(f"*{CHUNK_SUFFIX}"):
            leftover.unlink()
        earlier = sum(1 for _ in self._folder.glob(f"*{SHARD_SUFFIX}"))
        if earlier:
            self._log(f"{earlier} chunks of the dump were extracted before")
        started = shown = time.monotonic()
        pending: collections.deque[tuple[Path, Future[list[str]] | None]] = collections.deque()
        with self._pool:
            for path, future, share in self._submitted():
                pending.append((path, future))
                while len(pending) > CHUNKS_A_WORKER * self._pool.size:
                    self._take(*pending.popleft())
                if time.monotonic() - shown > LOG_EVERY_SECONDS:
                    shown = time.monotonic()
                    self._log(f"extracting: {share:.0%} of the dump, {self.pages_read:,} pages")
            while pending:
                self._take(*pending.popleft())
        seconds = time.monotonic() - started
        self._log(f"extracted {self.pages_read:,} pages in {seconds:.1f} s")

    def tables(self) -> Iterator[pa.Table]:
        """Yield the rows of all pages in the order of the dump, in the form of COLLECTED_SCHEMA."""
        for path in self._shards:
            yield read_shard(path).select(COLLECTED_SCHEMA.names)

    def _submitted(self) -> Iterator[tuple[Path, Future[list[str]] | None, float]]:
        """Yield the shard of every chunk, its extraction where that is missing, the share of the dump."""
        total = sum(path.stat().st_size for path in self._dumps if path.is_file())
        done = 0
        for place, dump in enumerate(self._dumps):
            reader = DumpReader(dump, threads=self._pool.size)
            for chunk in reader.chunks():
                path = self._folder / f"{place:03}-{chunk.number:06}{SHARD_SUFFIX}"
                future = None
                if not path.exists():
                    # By way of a file: chunks that wait in memory would leave it in pieces when they go.
                    chunk_path = path.with_suffix(CHUNK_SUFFIX)
                    chunk_path.write_bytes(chunk.data)
                    job = Job(
                        chunk=str(chunk_path.resolve()),
                        shard=str(path.resolve()),
                        dbname=reader.site.dbname,
                        base=reader.site.base,
                        namespaces=reader.site.namespaces,
                        headings=self._headings,
                        threshold=self._bound.threshold,
                        counted_in=self._selection.counted_in,
                    )
                    future = self._pool.submit(job, f"{dump.name} at byte {chunk.start}")
                yield path, future, (done + reader.position) / max(1, total)
            self.site = self.site if place else reader.site
            done += dump.stat().st_size

    def _take(self, path: Path, future: Future[list[str]] | None) -> None:
        """Add a finished shard; shards come in the order of the dump."""
        if future:
            for warning in future.result():
                self._warn(warning)
            path.with_suffix(CHUNK_SUFFIX).unlink()
        self._shards.append(path)
        table = read_shard(path)
        self.pages_read += table.num_rows
        if self._selection.samples:
            numbers = _document_numbers(table)
            self._bound.add(numbers["hash"], numbers["words"])

    def document_hashes(self) -> DocumentHashes:
        """Return the facts that decide about the documents of `tables`, in their order."""
        # Not collected along the way: small pieces that stay pin the memory of the chunks that go.
        hashes = DocumentHashes()
        for path in self._shards:
            numbers = _document_numbers(read_shard(path))
            hashes.id.frombytes(numbers["hash"].tobytes())
            hashes.title.frombytes(numbers["title_hash"].tobytes())
            hashes.split.frombytes(numbers["split_hash"].tobytes())
            hashes.words.frombytes(numbers["words"].tobytes())
            hashes.fixed.frombytes(np.full(len(numbers["hash"]), -1, np.int8).tobytes())
        return hashes


def _document_numbers(table: pa.Table) -> dict[str, np.ndarray]:
    """Return the number columns of a shard, only for its documents."""
    documents = table.select(NUMBERS).filter(pc.equal(table.column("left_out"), ""))
    return {name: documents.column(name).to_numpy() for name in NUMBERS}
