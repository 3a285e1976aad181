"""Measures programs, each in a fresh process: wall and CPU time, the machine's other load, peak memory."""

from __future__ import annotations

import contextlib
import json
import os
import resource
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from ulmfit.pipeline.child_processes import safe_environment
from ulmfit.pipeline.errors import StageFailed
from ulmfit.training.openmp import without_brief_waits

LONGEST_SECONDS = 3600
READY = "ready"
SAMPLE_SECONDS = 0.02
MEBIBYTE = 1 << 20

Inspect = Callable[[Path, str], Mapping[str, float]]


@dataclass(frozen=True)
class Program:
    """A program to measure; it is started in an empty folder of its own.

    `inspect` gets that folder and the standard output after the end and returns figures of the result. A
    figure called `seconds` is the program's own clock and takes the place of the seconds from start to end.
    """

    name: str
    command: tuple[str, ...]
    inspect: Inspect


def python_program(name: str, module: str, *arguments: str | Path) -> Program:
    """Return a module of this package as a program; the last line that it prints is JSON, its figures."""
    return Program(name, (sys.executable, "-P", "-m", module, *map(str, arguments)), _last_line)


def _last_line(folder: Path, output: str) -> Mapping[str, float]:
    return json.loads(output.splitlines()[-1])


@dataclass(frozen=True)
class Run:
    """One run: seconds of wall time, seconds of CPU time of all its processes, cores busy with other work."""

    seconds: float
    cpu_seconds: float
    other_load: float | None
    """None where the system does not tell (no /proc/stat)."""
    figures: Mapping[str, float]


@dataclass(frozen=True)
class Memory:
    """Anonymous memory of all processes of a program, in MiB: when it was ready, and at its peak after."""

    base: float
    peak: float


def ready() -> None:
    """Called by a measured program when all is loaded; waits until its memory so far is measured."""
    print(READY, flush=True)
    sys.stdin.readline()


def measure(program: Program, folder: Path) -> Run:
    """Run `program` in the empty `folder`, which is removed; StageFailed when it fails or does not end."""
    busy, own, started = busy_seconds(), _own_seconds(), time.monotonic()
    with finished(program, folder) as output:
        seconds = time.monotonic() - started
        cpu = _own_seconds() - own
        busy_after = busy_seconds()
        figures = dict(program.inspect(folder, output))
    other = None
    if busy is not None and busy_after is not None:
        other = max(0.0, (busy_after - busy - cpu) / seconds)
    return Run(figures.pop("seconds", seconds), cpu, other, figures)


def measure_memory(program: Program, folder: Path) -> Memory:
    """Run a program that calls `ready` and watch its memory closely; its speed is not measured."""
    with _started(program, folder, stdin=subprocess.PIPE) as process:
        assert process.stdout
        assert process.stdin
        said = process.stdout.readline().strip()
        base = peak = anonymous_mebibytes(process.pid)
        with contextlib.suppress(BrokenPipeError):
            print(file=process.stdin, flush=True)
        while process.poll() is None:
            peak = max(peak, anonymous_mebibytes(process.pid))
            time.sleep(SAMPLE_SECONDS)
        _output_at_end(program, process, folder)
    if said != READY:
        raise StageFailed(f"{program.name} did not say when it was ready, but {said!r}")
    return Memory(base, peak)


@contextmanager
def finished(program: Program, folder: Path) -> Iterator[str]:
    """Run `program` to its end in `folder`; yield its standard output; then remove the folder."""
    with _started(program, folder) as process:
        yield _output_at_end(program, process, folder)


@contextmanager
def _started(
    program: Program, folder: Path, stdin: int = subprocess.DEVNULL
) -> Iterator[subprocess.Popen[str]]:
    """Start `program`; whatever happens, none of its processes and files outlive the block."""
    folder.mkdir(parents=True)
    with _errors(folder).open("wb") as errors:
        process = subprocess.Popen(
            program.command,
            cwd=folder,
            stdin=stdin,
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
            start_new_session=True,
            env=without_brief_waits(safe_environment()),
        )
    try:
        yield process
    finally:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
        shutil.rmtree(folder)
        _errors(folder).unlink()


def _errors(folder: Path) -> Path:
    return folder.with_name(f"{folder.name}.errors")


def _output_at_end(program: Program, process: subprocess.Popen[str], folder: Path) -> str:
    try:
        output, _ = process.communicate(timeout=LONGEST_SECONDS)
    except subprocess.TimeoutExpired as error:
        raise StageFailed(f"{program.name} did not end within {LONGEST_SECONDS} s; it was stopped") from error
    if process.returncode:
        lines = _errors(folder).read_text(encoding="utf-8", errors="replace").strip().splitlines()
        reason = lines[-1] if lines else "it says nothing"
        raise StageFailed(f"{program.name} failed with exit status {process.returncode}: {reason}")
    return output


# --- What the system says -----------------------------------------------------------------------------------


def busy_seconds() -> float | None:
    """Return the seconds that all cores together have worked since the system started."""
    try:
        fields = Path("/proc/stat").read_text(encoding="ascii").split("\n", 1)[0].split()[1:]
    except OSError:
        return None
    user, nice, system, _, _, interrupts, soft_interrupts, stolen = map(int, fields[:8])
    return (user + nice + system + interrupts + soft_interrupts + stolen) / os.sysconf("SC_CLK_TCK")


def _own_seconds() -> float:
    """Return the CPU seconds of this process and of those that it has waited for, with theirs."""
    children = resource.getrusage(resource.RUSAGE_CHILDREN)
    return time.process_time() + children.ru_utime + children.ru_stime


def anonymous_mebibytes(root: int) -> float:
    """Return the anonymous memory of a process and its descendants; a page that several share counts once."""
    return sum(_anonymous_kibibytes(process) for process in _tree(root)) / 1024


def _tree(root: int) -> list[int]:
    children: dict[int, list[int]] = {}
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            parent = int((folder / "stat").read_text(errors="replace").rpartition(")")[2].split()[1])
        except OSError:
            continue
        children.setdefault(parent, []).append(int(folder.name))
    found = [root]
    for process in found:
        found += children.get(process, [])
    return found


def _anonymous_kibibytes(process: int) -> int:
    try:
        lines = Path(f"/proc/{process}/smaps_rollup").read_text(encoding="ascii").splitlines()
    except OSError:  # The process has ended meanwhile.
        return 0
    return next((int(line.split()[1]) for line in lines if line.startswith("Pss_Anon:")), 0)
