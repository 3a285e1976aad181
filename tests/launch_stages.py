"""Stages that are trained in several processes, slow enough to be killed; ranks import them from here."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar

from stages_for_tests import tiny_pretrain

from ulmfit.language_model.stages import Pretrain
from ulmfit.pipeline.errors import InputError
from ulmfit.pipeline.stage import Work

PAUSE = "ULMFIT_TEST_PAUSE"
"""Environment variable: seconds after every step, or a file that training waits for to vanish."""
TOGETHER = {"device": "cpu", "precision": "fp32", "engine": "plain", "gpus": 2}
"""Settings of two processes that begin fast: nothing is compiled."""


class SlowPretrain(Pretrain):
    """A language model whose training pauses after every step."""

    stage_name: ClassVar[str] = "slow_pretrain"
    fault: str = ""
    """What process 1 does at its beginning."""

    def build(self, work: Work) -> None:
        """Train as usual, but slowly."""
        if self.fault and os.environ["RANK"] == "1":
            _do(self.fault)
        if pause := os.environ.get(PAUSE):
            from ulmfit.training.history import History

            _slow_down(History, pause)
        super().build(work)


def _do(fault: str) -> None:
    if fault == "input":
        raise InputError("text 7: expected something better")
    if fault == "bug":
        raise KeyError("no such thing")
    raise OSError(28, "No space left on device", "weights.bin")


def _slow_down(history: type, pause: str) -> None:
    plain = history.after_batch
    file = Path(pause)

    def slowly(self: Any) -> None:
        plain(self)
        if not file.is_absolute():
            time.sleep(float(pause))
        while self.step == 20 and file.is_absolute() and file.exists():
            time.sleep(0.05)

    history.after_batch = slowly


def slow_pretrain(fault: str = "", **changes: object) -> SlowPretrain:
    """Return `tiny_pretrain` in two processes, with a checkpoint every 7 steps."""
    stage = tiny_pretrain(**{**TOGETHER, "checkpoint_steps": 7, **changes})
    return SlowPretrain(tokens=stage.tokens, settings=stage.settings, fault=fault)


def ranks_of(parent: int) -> list[int]:
    """Return the numbers of the training processes that a process has started, in their order."""
    try:
        children = Path(f"/proc/{parent}/task/{parent}/children").read_text().split()
    except OSError:
        return []
    return sorted(int(child) for child in children if _is_rank(int(child)))


def _is_rank(process: int) -> bool:
    try:
        return b"spawn_main" in Path(f"/proc/{process}/cmdline").read_bytes()
    except OSError:
        return False


def is_alive(process: int) -> bool:
    """Return whether a process runs: one that has ended and nobody has asked about does not."""
    try:
        state = Path(f"/proc/{process}/stat").read_text().rsplit(")", 1)[1].split()[0]
    except OSError:
        return False
    return state not in "ZX"


def wait_for(condition: Callable[[], object], seconds: float = 300) -> None:
    """Wait for a condition; fail if it does not come true in time."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.02)
