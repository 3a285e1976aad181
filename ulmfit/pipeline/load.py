"""Whether this machine is busy, and what helps."""

from __future__ import annotations

import os
from collections.abc import Mapping

THREADS = "OMP_NUM_THREADS"


def cores() -> int:
    """Return the cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def busy_advice(
    load: float | None = None, available: int | None = None, environment: Mapping[str, str] = os.environ
) -> str:
    """Return a line of advice where other programs use the cores; empty: they are free.

    `load` is the mean of the last minute's running processes, `available` the cores; None: as they are here.
    """
    load = os.getloadavg()[0] if load is None else load
    available = cores() if available is None else available
    if load <= available:
        return ""
    line = f"other programs use this machine (load {load:.1f} on {available} cores): training will be slower"
    if THREADS in environment or available < 2:
        return line
    return f"{line}; beside them {THREADS}=1 is often faster than threads that wait for each other"
