"""SIGTERM and SIGINT in training: the running step is finished first."""

from __future__ import annotations

import signal
import threading
import time
from types import FrameType
from typing import Any

SIGNALS = (signal.SIGINT, signal.SIGTERM)

SAME_REQUEST_SECONDS = 2.0
"""Launchers and schedulers send a signal twice: to a process and to its group, or two kinds of it."""


class StopRequest:
    """Handles SIGTERM and SIGINT while training runs; a second signal ends the process without waiting.

    While `deferred` is set (a step is running) the first signal is only noted, in `number`; otherwise it
    raises SystemExit at once. `release` puts the handlers back that were there before, and `deliver` hands
    them the signal, so that the command line, a notebook or a scheduler's library ends the process as it
    always does. Only the main thread gets signals: in another one nothing is installed.
    """

    def __init__(self) -> None:
        self.number: int | None = None
        self.repeated = False
        self._noted = 0.0
        self.deferred = False
        self._before: dict[int, Any] = {}

    def install(self) -> None:
        """Take the handlers of both signals over."""
        if threading.current_thread() is threading.main_thread():
            self._before = {number: signal.signal(number, self._note) for number in SIGNALS}

    def release(self) -> None:
        """Put the earlier handlers back."""
        for number, handler in self._before.items():
            # None: a handler that was not installed from Python, which cannot be named.
            signal.signal(number, signal.SIG_DFL if handler is None else handler)
        self._before = {}

    def deliver(self) -> None:
        """Hand the signal to the handler that was there before; one that returns is not asked twice."""
        if self.number is not None:
            signal.raise_signal(self.number)
            raise SystemExit(128 + self.number)

    def _note(self, number: int, frame: FrameType | None) -> None:
        now = time.monotonic()
        if self.number is not None and now - self._noted < SAME_REQUEST_SECONDS:
            return
        self.repeated = self.number is not None
        self.number, self._noted = number, now
        if self.repeated or not self.deferred:
            raise SystemExit(128 + number)
