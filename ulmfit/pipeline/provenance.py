"""Where a result was made: commit, versions, hardware."""

from __future__ import annotations

import os
import platform
import subprocess
from collections.abc import Iterable, Mapping
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

PACKAGES = (
    "ulmfit",
    "torch",
    "fastai",
    "sentencepiece",
    "pandas",
    "wikiextractor",
    "pyarrow",
    "pydantic",
    "scikit-learn",
    "safetensors",
    "numpy",
)


@cache
def describe() -> dict[str, Any]:
    """Return commit, versions and hardware of this process, for manifests and records."""
    return {"commit": commit(), "versions": versions(), "hardware": hardware()}


def commit() -> str:
    """Return the checkout's commit, with `+changes` when code or recipes differ; empty outside of one."""
    root = Path(__file__).parents[2]
    if not (root / ".git").exists():
        return ""
    head = _git(root, "rev-parse", "HEAD")
    changed = _git(root, "status", "--porcelain", "--", "ulmfit", "recipes", "data_scripts")
    return f"{head}+changes" if changed else head


def is_committed(path: Path) -> bool:
    """Return whether the checkout's commit holds a file as it is now; False outside of the checkout."""
    root, path = Path(__file__).parents[2], path.resolve()
    if not (root / ".git").exists() or not path.is_relative_to(root):
        return False
    name = str(path.relative_to(root))
    return bool(_git(root, "ls-files", "--", name)) and not _git(root, "status", "--porcelain", "--", name)


def versions() -> dict[str, str]:
    """Return the versions of Python and of the packages that results depend on."""
    found = {"python": platform.python_version()}
    for package in PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found


def hardware() -> dict[str, Any]:
    """Return processor, cores, memory and the load average at this moment."""
    return {
        "machine": platform.machine(),
        "processor": _processor(),
        "cores": os.cpu_count(),
        "memory_gib": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30, 1),
        "load_average": round(os.getloadavg()[0], 2),
    }


def together(machines: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    """Return each value that several machines have: one, the lowest and highest number, or all texts."""
    values: dict[str, list[Any]] = {}
    for machine in machines:
        for name, value in machine.items():
            if value not in values.setdefault(name, []):
                values[name].append(value)
    return {name: _spread(found) for name, found in values.items()}


def _spread(values: list[Any]) -> Any:
    if len(values) == 1:
        return values[0]
    if all(isinstance(value, (int, float)) for value in values):
        return f"{min(values)} to {max(values)}"
    return ", ".join(map(str, values))


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor()
    return next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), "")


def _git(root: Path, *arguments: str) -> str:
    try:
        done = subprocess.run(
            ["git", "-C", str(root), *arguments], capture_output=True, text=True, timeout=10
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""
