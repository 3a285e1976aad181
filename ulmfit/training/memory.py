"""The largest memory that a piece of work takes."""

from __future__ import annotations

import re
from contextlib import suppress
from pathlib import Path

import torch

CLEAR_PEAK = "5"
"""Written to /proc/self/clear_refs, this makes Linux start a new peak."""


class PeakMemory:
    """The peak since it was made: of the process (where Linux counts it), and of torch on a GPU."""

    def __init__(self, device: torch.device) -> None:
        self.device = device
        # Elsewhere than on Linux, or where it is not allowed, it is the peak since the process began.
        with suppress(OSError):
            Path("/proc/self/clear_refs").write_text(CLEAR_PEAK)
        if device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(device)

    def measures(self) -> dict[str, float]:
        """Return bytes: `peak_memory_bytes`, and on a GPU `peak_gpu_memory_bytes`."""
        found: dict[str, float] = {}
        try:
            status = Path("/proc/self/status").read_text(encoding="utf-8")
        except OSError:
            status = ""
        if peak := re.search(r"^VmHWM:\s+(\d+) kB$", status, re.MULTILINE):
            found["peak_memory_bytes"] = 1024 * int(peak[1])
        if self.device.type == "cuda":
            found["peak_gpu_memory_bytes"] = torch.cuda.max_memory_allocated(self.device)
        return found
