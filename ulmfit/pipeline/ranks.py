"""Reads torchrun's environment variables for this process, without torch."""

from __future__ import annotations

import os

from ulmfit.pipeline.errors import InputError

TIMEOUT_VARIABLE = "ULMFIT_RANK_TIMEOUT"
"""Environment variable: seconds after which a process that others wait for counts as lost."""

TIMEOUT_SECONDS = 1800.0
"""Longer than any work of one process while the others wait, such as encoding a corpus again."""


def is_rank() -> bool:
    """Return whether this process is one of several that train together."""
    return int(os.environ.get("WORLD_SIZE", "1")) > 1 and "RANK" in os.environ


def is_first_rank() -> bool:
    """Return whether this process is the one that writes files and speaks to the user."""
    return not is_rank() or os.environ["RANK"] == "0"


def timeout_seconds() -> float:
    """Return the seconds after which a process that others wait for counts as lost."""
    given = os.environ.get(TIMEOUT_VARIABLE) or str(TIMEOUT_SECONDS)
    try:
        seconds = float(given)
    except ValueError:
        seconds = 0.0
    if not 0 < seconds < 1e7:
        raise InputError(f"{TIMEOUT_VARIABLE}={given}: expected a number of seconds, such as 1800")
    return seconds
