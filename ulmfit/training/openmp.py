"""How OpenMP's threads, which torch and this project's engines compute in, wait for each other."""

from __future__ import annotations

import os
from collections.abc import Mapping, MutableMapping

from ulmfit.pipeline.load import THREADS_VARIABLE as THREADS_VARIABLE

SPINS_VARIABLE, POLICY_VARIABLE = "GOMP_SPINCOUNT", "OMP_WAIT_POLICY"
SPINS = "1000"
"""Rounds that a thread waits before it sleeps, a few microseconds; GNU's default is 300,000, or 100 where
there are more threads than cores."""


def wait_briefly(environment: MutableMapping[str, str] = os.environ) -> None:
    """Let a thread that waits for others sleep soon, unless the user has set the variable.

    By default it keeps its core busy for milliseconds. If another program uses a core, the thread that all
    others wait for may get none, and training takes many times as long. The variable is read when torch is
    imported.
    """
    if SPINS_VARIABLE not in environment and POLICY_VARIABLE not in environment:
        environment[SPINS_VARIABLE] = SPINS


def without_brief_waits(environment: Mapping[str, str]) -> dict[str, str]:
    """Return an environment without what `wait_briefly` sets: what is measured runs as it does anywhere."""
    return {name: value for name, value in environment.items() if (name, value) != (SPINS_VARIABLE, SPINS)}
