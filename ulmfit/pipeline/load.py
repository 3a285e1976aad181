"""Whether this machine is busy, and what helps."""

from __future__ import annotations

import os
from collections.abc import Mapping

THREADS_VARIABLE = "OMP_NUM_THREADS"


def usable_cores() -> int:
    """Return the number of cores that this process may run on."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def busy_advice(
    load: float | None = None, available: int | None = None, environment: Mapping[str, str] = os.environ
) -> str:
    """Return a line of advice where other programs use the cores; empty: they are free.

    `load` is the mean of the last minute's running processes, `available` the cores; None: as they are here.
    """
    load = os.getloadavg()[0] if load is None else load
    available = usable_cores() if available is None else available
    if load <= available:
        return ""
    line = f"other programs use this machine (load {load:.1f} on {available} cores): training will be slower"
    if THREADS_VARIABLE in environment or available < 2:
        return line
    return f"{line}; beside them {THREADS_VARIABLE}=1 is often faster than threads that wait for each other"
