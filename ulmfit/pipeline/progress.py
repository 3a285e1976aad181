"""Progress of a stage: a bar on a terminal, plain lines elsewhere."""

from __future__ import annotations

import contextlib
import sys
import threading
import time
from collections.abc import Callable
from types import TracebackType
from typing import Self

from ulmfit.pipeline.printing import printable

LINE_EVERY_SECONDS = 30.0
SILENT_SECONDS, SILENT_SECONDS_ON_A_TERMINAL = 15.0, 5.0
"""How long a stage may say nothing before a sign of life is shown."""
BAR_WIDTH = 20


def say(message: str) -> None:
    """Print one line at once, so that logs of a killed run are complete."""
    print(printable(message), flush=True)


class Progress:
    """Counts `unit`s up to `total` and shows share, rate and time left; None: the total is not known."""

    def __init__(
        self,
        total: int | None,
        unit: str,
        title: str,
        log: Callable[[str], None],
        done: int = 0,
        alive: Callable[[], None] = lambda: None,
    ) -> None:
        """Begin at `done`; `alive` is told of every advance, shown or not."""
        self.total, self.unit, self.title = total, unit, title
        self.done = self._first = done
        self._log, self._alive = log, alive
        self._on_terminal = sys.stderr.isatty()
        self._started = self._shown = time.monotonic()

    def advance(self, count: int, note: str = "") -> None:
        """Count `count` more units; `note` is shown beside the figures."""
        self.done += count
        self._alive()
        now = time.monotonic()
        if now - self._shown < (0.2 if self._on_terminal else LINE_EVERY_SECONDS):
            return
        self._shown = now
        if self._on_terminal:
            redraw(f"{self.title}: {self.bar()}{self.describe(note)}")
        else:
            self._log(self.describe(note))

    def bar(self) -> str:
        """Return the share that is done as a bar; empty without a total."""
        if not self.total:
            return ""
        full = round(BAR_WIDTH * min(1.0, self.done / self.total))
        return f"[{'#' * full}{'-' * (BAR_WIDTH - full)}] "

    def describe(self, note: str = "") -> str:
        """Return share, rate and time left in words; without a total, count and rate."""
        rate = (self.done - self._first) / max(time.monotonic() - self._started, 1e-9)
        shown_rate = f"{rate:,.0f}" if rate >= 10 else f"{rate:.1f}"
        if self.total is None:
            text = f"{self.done:,} {self.unit}, {shown_rate}/s"
        else:
            left = (self.total - self.done) / rate if rate > 0 else float("inf")
            share = 100 * self.done / max(self.total, 1)
            text = f"{share:.0f}% of {self.total:,} {self.unit}, {shown_rate}/s, {duration(left)} left"
        return f"{text}, {note}" if note else text

    def close(self) -> None:
        """Clear the bar."""
        if self._on_terminal:
            redraw("")


class Heartbeat:
    """Shows that something goes on while nothing else is shown: a line now and then, with the time elapsed.

    On a terminal it stands where a bar would, elsewhere it is a line of the output; no log keeps it. It is
    used as a context around the work, which calls `touch` whenever it says something itself.
    """

    def __init__(self, title: str, seconds: float | None = None) -> None:
        """`seconds` may pass in silence; None: as many as there are for a terminal, or for a file."""
        self.title = title
        self._on_terminal = sys.stderr.isatty()
        usual = SILENT_SECONDS_ON_A_TERMINAL if self._on_terminal else SILENT_SECONDS
        self._silence = usual if seconds is None else seconds
        self._begun = self._last = time.monotonic()
        self._drawn = False
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._beat, name="heartbeat", daemon=True)

    def touch(self) -> None:
        """Note that something was shown."""
        self._last = time.monotonic()

    def __enter__(self) -> Self:
        """Begin to watch."""
        self._begun = self._last = time.monotonic()
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End, and take away what stands on the terminal."""
        self._ended.set()
        self._thread.join()
        if self._drawn:
            redraw("")

    def _beat(self) -> None:
        while not self._ended.wait(self._last + self._silence - time.monotonic()):
            now = time.monotonic()
            if now - self._last < self._silence:
                continue
            self._last = now
            line = f"{self.title}: still working, {duration(now - self._begun)}"
            with contextlib.suppress(OSError, ValueError):  # the output may be closed by now
                if self._on_terminal:
                    self._drawn = True
                    redraw(line)
                else:
                    say(line)


def redraw(line: str) -> None:
    """Put a line in place of the one at the bottom of the terminal; empty: clear it."""
    print(f"\r\x1b[K{printable(line)}", end="", file=sys.stderr, flush=True)


def duration(seconds: float) -> str:
    """Return seconds as 0:05, 12:34 or 1:02:03; infinity is a question mark."""
    if seconds == float("inf"):
        return "?"
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"
