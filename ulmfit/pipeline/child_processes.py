"""Python in child processes: it imports nothing from the folder that a command is called in.

`python -c` and `python -m`, and so multiprocessing, look for modules there first: a file `json.py` beside the
data would be run. PYTHONSAFEPATH, Python's own switch, reaches the children of children as well.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Mapping, MutableMapping
from contextlib import contextmanager
from pathlib import Path

SAFE_PATH = "PYTHONSAFEPATH"
SAFE_PYTHON = (sys.executable, "-P")
"""How a child's command begins."""


def import_safely(environment: MutableMapping[str, str] = os.environ) -> None:
    """Keep the current folder out of what later children of this process import."""
    environment[SAFE_PATH] = "1"


def safe_environment(environment: Mapping[str, str] = os.environ) -> dict[str, str]:
    """Return the environment for one child."""
    return {**environment, SAFE_PATH: "1"}


@contextmanager
def safe_children() -> Iterator[None]:
    """Start children inside of the block only: multiprocessing gives them this process's environment."""
    before = os.environ.get(SAFE_PATH)
    import_safely()
    try:
        yield
    finally:
        if before is None:
            os.environ.pop(SAFE_PATH, None)
        else:
            os.environ[SAFE_PATH] = before


def safe_path() -> list[str]:
    """Return where a child finds what this process imports: not in the current folder, but this package.

    The package lies in the current folder when that is a checkout; then it comes last.
    """
    package, here = str(Path(__file__).parents[2]), Path.cwd()
    kept = [entry for entry in sys.path if entry and Path(entry).resolve() != here]
    return kept if package in kept else [*kept, package]
