"""Runs cases of a fuzz test in a program of its own, whose memory and time are bounded.

From the folder `tests`, `python -m corpus.fuzzing MODULE:FUNCTION SEED` runs one case again.
"""

from __future__ import annotations

import faulthandler
import importlib
import json
import os
import re
import resource
import signal
import subprocess
import sys
import tempfile
import threading
import time
import traceback
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from ulmfit.pipeline.errors import InputError

TESTS = Path(__file__).parents[1]
CASE_CPU_SECONDS = 20
LONGEST_MESSAGE = 1_000
MOST_LISTED = 25
CASE_WALL_SECONDS = 300
MEMORY_BYTES = 1 << 30
"""Address space that the cases may take beside what the program has at its start."""

_PLAIN_WORD = re.compile(r"(?<![\w./'])[A-Za-z]+(?![\w./'])")

Case = Callable[[int, Path], str]
"""Runs the case of a seed in an empty folder and returns, in a few words, how it ended."""


@dataclass(frozen=True)
class Outcome:
    """How the case of one seed ended; `failure` is a traceback, empty where nothing is wrong."""

    seed: int
    said: str
    failure: str
    cpu_seconds: float
    peak_bytes: int


def outcomes(case: str, first: int, last: int) -> list[Outcome]:
    """Run the cases `first` to `last` of `MODULE:FUNCTION`; AssertionError names the seeds that failed."""
    found = list(_outcomes(case, first, last))
    failed = [outcome for outcome in found if outcome.failure]
    assert not failed, "\n".join(f"{case} {outcome.seed}: {outcome.failure}" for outcome in failed)
    return found


def _outcomes(case: str, first: int, last: int) -> Iterator[Outcome]:
    command = [sys.executable, "-m", "corpus.fuzzing", case, str(first), str(last)]
    # Arrow's other allocators reserve address space by the gigabyte.
    environment = {**os.environ, "ARROW_DEFAULT_MEMORY_POOL": "system"}
    with tempfile.TemporaryFile("w+") as errors:
        process = subprocess.Popen(
            command, cwd=TESTS, env=environment, stdout=subprocess.PIPE, stderr=errors, text=True
        )
        assert process.stdout
        for seed in range(first, last + 1):
            watch = threading.Timer(CASE_WALL_SECONDS, process.kill)
            watch.start()
            line = process.stdout.readline()
            watch.cancel()
            if not line:
                code = process.wait()
                errors.seek(0)
                yield Outcome(seed, "", f"the program ended with {code}\n{errors.read()[-4000:]}", 0, 0)
                return
            yield Outcome(**json.loads(line))
        process.communicate()


def summary(found: list[Outcome]) -> str:
    """Return how often each end came, and what the cases took."""
    counts = Counter(outcome.said for outcome in found).most_common()
    lines = [f"{count:6,}  {said}" for said, count in counts[:MOST_LISTED]]
    if rest := counts[MOST_LISTED:]:
        lines.append(f"{sum(count for _, count in rest):6,}  refused for {len(rest)} other reasons")
    seconds = sum(outcome.cpu_seconds for outcome in found)
    slowest = max(found, key=lambda outcome: outcome.cpu_seconds)
    peak = max(outcome.peak_bytes for outcome in found)
    lines.append(
        f"{len(found):,} cases, {seconds:.0f} s of CPU time, the slowest {slowest.cpu_seconds:.1f} s "
        f"(seed {slowest.seed}); memory up to {peak / 1e6:.0f} MB"
    )
    return "\n".join(lines)


def refusal(error: InputError) -> str:
    """Return the first words of a refusal that are the same in all such cases; it has to be a short line."""
    message = str(error)
    assert len(message.splitlines()) == 1, f"not one line: {message!r}"
    assert message.encode() and len(message) < LONGEST_MESSAGE, f"too long: {message[:500]!r}"
    return "refused: " + " ".join(_PLAIN_WORD.findall(message)[:7])


def run(case: Case, first: int, last: int) -> None:
    """Run cases and print a line of JSON for each; a hang ends the program, with a traceback."""
    faulthandler.enable()
    faulthandler.register(signal.SIGXCPU, chain=True)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_AS, (_address_space() + MEMORY_BYTES, resource.RLIM_INFINITY))
    for seed in range(first, last + 1):
        started = time.process_time()
        limit = int(started) + 1 + CASE_CPU_SECONDS
        resource.setrlimit(resource.RLIMIT_CPU, (limit, resource.RLIM_INFINITY))
        said = failure = ""
        with tempfile.TemporaryDirectory() as folder:
            try:
                said = case(seed, Path(folder))
            except Exception:
                failure = traceback.format_exc()
        seconds = time.process_time() - started
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
        print(json.dumps(vars(Outcome(seed, said, failure, seconds, peak))), flush=True)


def _address_space() -> int:
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    return pages * resource.getpagesize()


if __name__ == "__main__":
    module, _, function = sys.argv[1].partition(":")
    seeds = [int(seed) for seed in sys.argv[2:]]
    run(getattr(importlib.import_module(module), function), seeds[0], seeds[-1])
