"""A program that runs another program and its children, and never leaves any of them behind.

It is started as a script with one argument, a JSON object (see `main`), and needs nothing but the standard
library. It watches the processes of the program's group: one that ran too long on a single piece of output,
a dead worker that is waited for, a standstill. Its standard input is a pipe from the process that started
it: the pipe's end means that this process is gone, however it died, and so the program is ended too.
It prints the id of the process group and, at the end, a verdict.
"""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import resource
import select
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import NamedTuple

PR_SET_PDEATHSIG, PR_SET_CHILD_SUBREAPER = 1, 36
FASTEST_POLL, SLOWEST_POLL = 0.02, 0.25
DEAD_WORKER_SECONDS = 2.0
BUSY_SHARE = 0.05
WALL_FACTOR = 3.0
CPU_HOURS = 12


class Process(NamedTuple):
    """One process of the group: state as in /proc, seconds of CPU time."""

    pid: int
    parent: int
    state: str
    cpu: float


def group_processes(group: int) -> list[Process]:
    """Return the processes of a group; an empty list where there is no /proc."""
    tick = os.sysconf("SC_CLK_TCK")
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            fields = (folder / "stat").read_text(errors="replace").rpartition(")")[2].split()
        except OSError:
            continue
        if int(fields[2]) == group:
            cpu = (int(fields[11]) + int(fields[12])) / tick
            found.append(Process(int(folder.name), int(fields[1]), fields[0], cpu))
    return found


class Watch:
    """Decides whether the program still gets on, from its output's size and its processes."""

    def __init__(self, leader: int, page_seconds: float, idle_seconds: float, start_seconds: float) -> None:
        self.leader = leader
        self.page_seconds, self.idle_seconds, self.start_seconds = page_seconds, idle_seconds, start_seconds
        self.size = -1
        self.cpu_at_growth: dict[int, float] = {}
        self.grown = self.active = time.monotonic()
        self.total_cpu = 0.0
        self.dead_since: float | None = None

    def verdict(self, size: int, processes: list[Process]) -> str:
        """Return why the program has to be ended, or an empty string."""
        now = time.monotonic()
        if size != self.size:
            self.size, self.grown, self.active, self.dead_since = size, now, now, None
            self.cpu_at_growth = {process.pid: process.cpu for process in processes}
            self.total_cpu = sum(self.cpu_at_growth.values())
            return ""
        if not processes:
            return "time" if now - self.grown > WALL_FACTOR * self.page_seconds + self.start_seconds else ""
        return self._too_long(processes) or self._dead_worker(processes, now) or self._idle(processes, now)

    def _too_long(self, processes: list[Process]) -> str:
        for process in processes:
            limit = self.start_seconds if process.pid == self.leader else self.page_seconds
            if process.cpu - self.cpu_at_growth.get(process.pid, 0.0) > limit:
                return "time"
        return ""

    def _dead_worker(self, processes: list[Process], now: float) -> str:
        if not any(process.state == "Z" and process.parent == self.leader for process in processes):
            self.dead_since = None
            return ""
        self.dead_since = self.dead_since or now
        return "worker died" if now - self.dead_since > DEAD_WORKER_SECONDS else ""

    def _idle(self, processes: list[Process], now: float) -> str:
        total = sum(process.cpu for process in processes)
        waiting_for_cpu = any(process.state in "RD" for process in processes)
        if waiting_for_cpu or total - self.total_cpu > BUSY_SHARE * (now - self.active):
            self.active, self.total_cpu = now, total
        return "idle" if now - self.active > self.idle_seconds else ""


def limit_resource(kind: int, wanted: int) -> None:
    """Limit what this process may use: to `wanted`, or to the system's hard limit where that is lower."""
    _, hard = resource.getrlimit(kind)
    limit = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
    resource.setrlimit(kind, (limit, limit))


def limits(memory_bytes: int):
    """Return a function for the child, between fork and exec: limits, and death with the supervisor."""
    libc = ctypes.CDLL(None) if sys.platform == "linux" else None

    def apply() -> None:
        limit_resource(resource.RLIMIT_AS, memory_bytes)
        limit_resource(resource.RLIMIT_CPU, CPU_HOURS * 3600)
        limit_resource(resource.RLIMIT_CORE, 0)
        if libc:
            libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)

    return apply


def end_group(group: int, reap: bool = True) -> None:
    """End every process of a group: politely first, so that Python's tracker frees shared memory.

    With `reap` all children of this process that have ended are waited for.
    """
    for number, seconds in ((signal.SIGTERM, 3.0), (signal.SIGKILL, 3.0)):
        try:
            os.killpg(group, number)
        except (ProcessLookupError, PermissionError):
            return
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            with contextlib.suppress(ChildProcessError):
                while reap and os.waitpid(-1, os.WNOHANG)[0]:
                    pass
            try:
                os.killpg(group, 0)
            except (ProcessLookupError, PermissionError):
                return
            time.sleep(0.01)


def watch(child: subprocess.Popen, output: Path, watcher: Watch) -> str:
    """Wait for the end of the program, for a reason to end it, or for the end of standard input."""
    poll = FASTEST_POLL
    while True:
        readable, _, _ = select.select([0], [], [], poll)
        if readable and not os.read(0, 1):
            return "stopped"
        code = child.poll()
        if code is not None:
            return "finished" if code == 0 else f"exit {code}"
        if reason := watcher.verdict(output.stat().st_size, group_processes(child.pid)):
            return reason
        poll = min(SLOWEST_POLL, poll * 1.5)


def main(argument: str) -> None:
    """Run what the JSON object says.

    Keys: command (list), folder (working folder), output and errors (files), memory_bytes (address space of
    each process), page_seconds (CPU time of one process without new output), start_seconds (the same for the
    program's first process), idle_seconds (time without output and CPU use).
    """
    spec = json.loads(argument)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1)
    output = Path(spec["output"])
    with output.open("wb") as out, Path(spec["errors"]).open("wb") as errors:
        child = subprocess.Popen(
            spec["command"],
            cwd=spec["folder"],
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=errors,
            start_new_session=True,
            preexec_fn=limits(spec["memory_bytes"]),
        )
    try:
        print(child.pid, flush=True)
        watcher = Watch(child.pid, spec["page_seconds"], spec["idle_seconds"], spec["start_seconds"])
        verdict = watch(child, output, watcher)
    finally:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        end_group(child.pid)
    with contextlib.suppress(BrokenPipeError):  # nobody is left to read it
        os.write(sys.stdout.fileno(), f"{verdict}\n".encode())


if __name__ == "__main__":
    main(sys.argv[1])
