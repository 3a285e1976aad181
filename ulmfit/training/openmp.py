"""How OpenMP's threads, which torch and this project's engines compute in, wait for each other."""

from __future__ import annotations

import os
from collections.abc import MutableMapping

SPINS_VARIABLE, POLICY_VARIABLE = "GOMP_SPINCOUNT", "OMP_WAIT_POLICY"
SPINS = "1000"
"""Some microseconds: what GNU's OpenMP chooses itself where it has more threads than there are cores."""


def wait_briefly(environment: MutableMapping[str, str] = os.environ) -> None:
    """Let a thread that waits for others fall asleep soon, unless the user has said what it does.

    By default it occupies its core for milliseconds. Where another program has a core, the thread that all
    the others wait for may be the one that gets none: training then takes many times as long.
    The variable is read when torch is imported.
    """
    if SPINS_VARIABLE not in environment and POLICY_VARIABLE not in environment:
        environment[SPINS_VARIABLE] = SPINS
