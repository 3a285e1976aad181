"""A program that extracts chunks of a dump with this project's own engine; `worker_pool` starts it.

Its argument is a JSON object: `memory_bytes`, the address space that it may use, and `page_seconds`, the CPU
time of one page. It reads jobs from standard input, a line of JSON each (see `Job`), writes a shard for each,
and answers with lines of JSON:

- `{"page": number}` before each page of the chunk is begun, where the job says so;
- `{"warnings": [...]}` when the shard is written;
- `{"errno": ..., "error": ...}` when a file cannot be read or written.

A page that raises an exception is left out. One that takes too long ends the program, by a signal that
nothing can hold up; whoever started it then knows which page it was, and has the chunk done without it. The
end of standard input ends the program at once: whoever started it is gone.
"""

from __future__ import annotations

import ctypes
import json
import os
import queue
import resource
import signal
import sys
import threading
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import IO

from ulmfit.corpus.dumps.reader import (
    DamagedPage,
    Page,
    Site,
    chunk_pages,
    damaged_page,
    left_out_reason,
    page_pieces,
)
from ulmfit.corpus.fast.shards import DAMAGED_PAGE, EMPTY_AFTER, EXTRACTION_FAILED, ShardWriter
from ulmfit.corpus.fast.text import LinkNames, article_text
from ulmfit.corpus.sampling import OUTSIDE_SAMPLE, SAMPLE_SALT, CountedIn, salted_hash
from ulmfit.corpus.wikiextractor.supervisor import limit_resource

PR_SET_PDEATHSIG = 1
TIMER = signal.ITIMER_PROF
OUT_OF_TIME = signal.SIGPROF


@dataclass(frozen=True)
class Job:
    """What is to be done: read the file `chunk`, write the file `shard`.

    `dbname`, `base` and `namespaces` are those of the dump's `Site`; without `headings` these are dropped.
    Articles whose sampling hash is above `threshold` are left out unread; the size of the others is counted
    as `counted_in` says. `careful` asks for the number of
    each page before it is read; `given_up` has the numbers of those that have ended a worker, and how.
    """

    chunk: str
    shard: str
    dbname: str
    base: str
    namespaces: dict[int, str]
    headings: bool
    threshold: int | None = None
    counted_in: CountedIn = "words"
    given_up: dict[int, str] = field(default_factory=dict)
    careful: bool = False

    def as_line(self) -> bytes:
        """Return the job as a line of JSON."""
        return json.dumps(asdict(self)).encode() + b"\n"

    @classmethod
    def of_line(cls, line: bytes) -> Job:
        """Return the job that a line of JSON describes; JSON's keys are strings, these are numbers."""
        content = json.loads(line)
        for name in ("namespaces", "given_up"):
            content[name] = {int(key): value for key, value in content[name].items()}
        return cls(**content)


def main(argument: str) -> None:
    """Work until the end of standard input."""
    limits = json.loads(argument)
    limit_resource(resource.RLIMIT_AS, limits["memory_bytes"])
    limit_resource(resource.RLIMIT_CORE, 0)
    if sys.platform == "linux":  # where the end of standard input may have to wait for a long call into C
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    jobs: queue.SimpleQueue[Job] = queue.SimpleQueue()
    threading.Thread(target=_receive, args=(sys.stdin.buffer, jobs), daemon=True).start()
    while True:
        job = jobs.get()
        try:
            _answer({"warnings": _done(job, limits["page_seconds"])})
        except OSError as error:
            _answer({"errno": error.errno, "error": error.strerror or str(error)})


def _receive(stream: IO[bytes], jobs: queue.SimpleQueue[Job]) -> None:
    """Pass on the jobs; at the end of the stream end the program, whatever it is doing."""
    for line in stream:
        jobs.put(Job.of_line(line))
    os._exit(0)


def _answer(content: dict[str, object]) -> None:
    print(json.dumps(content), flush=True)


def _done(job: Job, page_seconds: float) -> list[str]:
    """Do a job and return the warnings; raises OSError where a file cannot be read or written."""
    extraction = _ChunkExtraction(job, page_seconds)
    data = Path(job.chunk).read_bytes()
    try:
        if job.careful:
            extraction.read_carefully(data)
        else:
            extraction.read(data)
    finally:
        signal.setitimer(TIMER, 0)
    extraction.shard.write(Path(job.shard))
    return extraction.warnings


class _ChunkExtraction:
    """The pages of one chunk on their way into a shard; starts the timer for each of them."""

    def __init__(self, job: Job, page_seconds: float) -> None:
        self.shard = ShardWriter(job.counted_in)
        self.warnings: list[str] = []
        self._job, self._page_seconds = job, page_seconds
        self._site = Site(job.dbname, job.base, job.namespaces)
        self._names = LinkNames.of(job.namespaces)

    def read(self, data: bytes) -> None:
        """Take in all pages."""
        signal.setitimer(TIMER, self._page_seconds)
        for page in chunk_pages(data, self._site):
            self._take(page)
            signal.setitimer(TIMER, self._page_seconds)

    def read_carefully(self, data: bytes) -> None:
        """Take in the pages one by one, with their numbers said; those given up are not even parsed."""
        for number, piece in enumerate(page_pieces(data)):
            _answer({"page": number})
            signal.setitimer(TIMER, self._page_seconds)
            if number in self._job.given_up:
                page = damaged_page(piece, self._job.given_up[number])
                self._fail(page.id or page.title, page.title, page.reason)
            else:
                for found in chunk_pages(piece, self._site):
                    self._take(found)

    def _take(self, page: Page | DamagedPage) -> None:
        identifier = page.id or page.title
        if isinstance(page, DamagedPage):
            self.shard.leave_out(identifier, DAMAGED_PAGE)
            self.warnings.append(f"damaged page {identifier!r} ({page.title!r}): {page.reason}")
            return
        try:
            self._extract(page, identifier)
        except Exception as error:  # whatever is wrong, one page is not worth the rest of the dump
            self._fail(identifier, page.title, f"{type(error).__name__}: {error}".partition("\n")[0])

    def _extract(self, page: Page, identifier: str) -> None:
        if reason := left_out_reason(page):
            self.shard.leave_out(identifier, reason)
            return
        sample_hash = salted_hash(SAMPLE_SALT, identifier)
        if self._job.threshold is not None and sample_hash > self._job.threshold:
            self.shard.leave_out(identifier, OUTSIDE_SAMPLE, sample_hash)
        elif text := article_text(page.text, self._names, headings=self._job.headings):
            self.shard.add_document(identifier, page.title, text, sample_hash)
        else:
            self.shard.leave_out(identifier, EMPTY_AFTER, sample_hash)

    def _fail(self, identifier: str, title: str, reason: str) -> None:
        self.shard.leave_out(identifier, EXTRACTION_FAILED, salted_hash(SAMPLE_SALT, identifier))
        self.warnings.append(f"extraction failed for page {identifier} ({title!r}): {reason}")
