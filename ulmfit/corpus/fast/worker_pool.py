"""Processes that run `worker`: one thread here per process; none outlives this process."""

from __future__ import annotations

import collections
import contextlib
import json
import signal
import subprocess
import threading
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace

from ulmfit.corpus.fast.worker import OUT_OF_TIME, Job
from ulmfit.pipeline.child_processes import SAFE_PYTHON, safe_environment, safe_path
from ulmfit.pipeline.errors import StageFailed

MOST_UNEXPLAINED_DEATHS = 3
START_WORKER = (
    "import json, sys; sys.path[:] = json.loads(sys.argv[1]); "
    "from ulmfit.corpus.fast.worker import main; main(sys.argv[2])"
)
"""Not by multiprocessing, whose workers would import the program that runs here, whatever that is."""


class _WorkerDied(Exception):
    """A worker has ended; `page` is the last page that it named."""

    def __init__(self, page: int | None, code: int, said: str) -> None:
        self.page = page
        self.out_of_time = code == -OUT_OF_TIME
        self.verdict = "time" if self.out_of_time else f"its worker ended with {_exit_name(code)}"
        super().__init__(f"{self.verdict}: {said}" if said else self.verdict)


def _exit_name(code: int) -> str:
    with contextlib.suppress(ValueError):
        return signal.Signals(-code).name
    return f"exit status {code}"


class WorkerPool:
    """A thread for every worker process; a worker that dies is replaced, and what it did is done again."""

    def __init__(self, size: int, page_seconds: float, memory_megabytes: int) -> None:
        self.size = size
        self._limits = {"memory_bytes": memory_megabytes << 20, "page_seconds": page_seconds}
        self._threads = ThreadPoolExecutor(size)
        self._own = threading.local()
        self._lock = threading.Lock()
        self._workers: set[_Worker] = set()
        self._stopped = False

    def __enter__(self) -> WorkerPool:
        return self

    def __exit__(self, *_: object) -> None:
        with self._lock:
            self._stopped = True
            for worker in self._workers:
                worker.kill()
        self._threads.shutdown(wait=True, cancel_futures=True)
        for worker in self._workers:
            worker.close()

    def submit(self, job: Job, place: str) -> Future[list[str]]:
        """Run a job; the result is its warnings. `place` names the chunk in messages."""
        return self._threads.submit(self._do, job, place)

    def _do(self, job: Job, place: str) -> list[str]:
        """Do a job, without the pages that cannot be done.

        The first death of a worker is blamed on no page. The second time the worker names each page before it
        begins; the page that it then dies of is given up, unless something else may have ended it: then it
        has another chance.
        """
        deaths: collections.Counter[int | None] = collections.Counter()
        while True:
            try:
                return self._worker().do(job)
            except _WorkerDied as death:
                self._discard()
                deaths[death.page] += 1
                if death.page in job.given_up or deaths[None] > MOST_UNEXPLAINED_DEATHS:
                    raise StageFailed(f"{place} cannot be extracted: {death}") from death
                given_up = job.given_up
                if death.page is not None and (death.out_of_time or deaths[death.page] > 1):
                    given_up = {**given_up, death.page: death.verdict}
                job = replace(job, careful=True, given_up=given_up)

    def _worker(self) -> _Worker:
        """Return the worker of this thread."""
        with self._lock:
            if self._stopped:
                raise StageFailed("the extraction was stopped")
            if getattr(self._own, "worker", None) is None:
                self._own.worker = _Worker(self._limits)
                self._workers.add(self._own.worker)
            return self._own.worker

    def _discard(self) -> None:
        with self._lock:
            self._workers.discard(self._own.worker)
        self._own.worker.close()
        self._own.worker = None


class _Worker:
    """One worker process."""

    def __init__(self, limits: dict[str, float]) -> None:
        # A session of its own: Ctrl-C at a terminal is for this process, which then ends its workers.
        self._process = subprocess.Popen(
            [*SAFE_PYTHON, "-c", START_WORKER, json.dumps(safe_path()), json.dumps(limits)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            env={**safe_environment(), "PYTHONHASHSEED": "0"},
        )

    def do(self, job: Job) -> list[str]:
        """Run a job; return its warnings. Raises _WorkerDied, and OSError, for example for a full disk."""
        assert self._process.stdin and self._process.stdout
        with contextlib.suppress(BrokenPipeError):
            self._process.stdin.write(job.as_line())
            self._process.stdin.flush()
        page, said = None, ""
        for line in self._process.stdout:
            if not (line.startswith(b"{") and line.endswith(b"\n")):
                said = line.decode("utf-8", "replace").strip()  # a warning, or the last words of a worker
                continue
            answer = json.loads(line)
            if "page" in answer:
                page = answer["page"]
            elif "error" in answer:
                raise OSError(answer["errno"], answer["error"], job.shard)
            else:
                return answer["warnings"]
        raise _WorkerDied(page, self._process.wait(), said)

    def kill(self) -> None:
        """End the process."""
        self._process.kill()

    def close(self) -> None:
        """End the process and free what belongs to it."""
        self._process.kill()
        for stream in (self._process.stdin, self._process.stdout):
            if stream:
                with contextlib.suppress(BrokenPipeError):  # the worker did not read all of it
                    stream.close()
        self._process.wait()
