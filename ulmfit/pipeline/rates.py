"""Rates that were measured on this machine, remembered in the user's cache folder.

They hold for one machine, one torch and one number of threads: with another of these the file counts as
empty, and is written anew.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from ulmfit.pipeline import provenance
from ulmfit.pipeline.files import read_json, write_json
from ulmfit.pipeline.load import THREADS_VARIABLE

RATES = "rates.json"
SETTINGS = (THREADS_VARIABLE, "CUDA_VISIBLE_DEVICES")
"""Variables that change how fast this machine computes."""


def cache_file() -> Path | None:
    """Return the file of the rates; None without a home folder."""
    try:
        root = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    except RuntimeError:
        return None
    return Path(root) / "ulmfit" / RATES


def this_machine(environment: Mapping[str, str] = os.environ) -> dict[str, Any]:
    """Return what rates depend on: machine, torch, threads."""
    here = provenance.hardware()
    found = {name: here[name] for name in ("machine", "processor", "cores", "memory_gib")}
    versions = provenance.versions()
    found |= {name: versions.get(name) for name in ("python", "torch", "ulmfit")}
    return found | {name: environment.get(name) for name in SETTINGS}


class Rates:
    """The remembered rates, units per second by name; `measure` adds those that are missing."""

    def __init__(self, path: Path | None = None) -> None:
        self.path = cache_file() if path is None else path
        self._known = self._read()

    def get(self, name: str) -> float | None:
        """Return a rate; None: it was not measured on this machine."""
        return self._known.get(name)

    def measure(self, name: str, how: Callable[[], float]) -> float:
        """Return a rate, measured now and written down where it is not known."""
        if name not in self._known:
            self._known[name] = how()
            if self.path is not None:
                with contextlib.suppress(OSError):  # it is only a cache
                    self.path.parent.mkdir(parents=True, exist_ok=True)
                    write_json(self.path, {"machine": this_machine(), "rates": self._known})
        return self._known[name]

    def _read(self) -> dict[str, float]:
        try:
            content = read_json(self.path) if self.path is not None else {}
            if content.get("machine") != this_machine():
                return {}
            return {str(name): float(rate) for name, rate in content["rates"].items() if float(rate) > 0}
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            return {}
