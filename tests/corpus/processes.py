"""Looks at the processes that a program has started."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path


def wait_until(condition: Callable[[], bool], seconds: float = 30.0) -> bool:
    """Wait for a condition; return whether it came true in time."""
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        if condition():
            return True
        time.sleep(0.01)
    return condition()


def family(root: int) -> list[int]:
    """Return `root` and the processes that it has started, directly or not."""
    children: dict[int, list[int]] = {}
    for pid, fields in _statistics():
        children.setdefault(int(fields[1]), []).append(pid)
    found, todo = [], [root]
    while todo:
        found.append(todo.pop())
        todo += children.get(found[-1], [])
    return found


def living(processes: list[int]) -> list[int]:
    """Return those of the processes that still run."""
    states = {pid: fields[0] for pid, fields in _statistics()}
    return [pid for pid in processes if states.get(pid, "Z") not in "ZX"]


def anonymous_bytes(root: int) -> int:
    """Return the memory of a process and those that it has started, apart from what maps files.

    A process that is being started has its parent's command and memory until it is another program, and for
    long on a busy machine: where the parent is `root`, it is passed over, or that memory would count twice.
    """
    command, own = _command(root), _anonymous(root)

    def is_being_started(pid: int) -> bool:
        return pid != root and _command(pid) == command and abs(_anonymous(pid) - own) <= own / 20

    return sum(_anonymous(pid) for pid in family(root) if not is_being_started(pid))


def _command(pid: int) -> bytes:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return b""


def _anonymous(pid: int) -> int:
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except OSError:
        return 0
    return sum(1024 * int(line.split()[1]) for line in lines if line.startswith("RssAnon:"))


def _statistics() -> Iterator[tuple[int, list[str]]]:
    """Yield the id of every process and its fields in /proc from the state on."""
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            yield int(folder.name), (folder / "stat").read_text(errors="replace").rpartition(")")[2].split()
        except OSError:
            continue
