"""Progress of a stage: a bar on a terminal, plain lines elsewhere."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable

from ulmfit.pipeline.printing import printable

LINE_EVERY_SECONDS = 30.0


def say(message: str) -> None:
    """Print one line at once, so that logs of a killed run are complete."""
    print(printable(message), flush=True)


class Progress:
    """Counts `unit`s up to `total` and shows share, rate and time left; None: the total is not known."""

    def __init__(
        self, total: int | None, unit: str, title: str, log: Callable[[str], None], done: int = 0
    ) -> None:
        self.total, self.unit, self.title = total, unit, title
        self.done = self._first = done
        self._log = log
        self._bar = sys.stderr.isatty()
        self._started = self._shown = time.monotonic()

    def advance(self, count: int, note: str = "") -> None:
        """Count `count` more units; `note` is shown beside the figures."""
        self.done += count
        now = time.monotonic()
        if now - self._shown < (0.2 if self._bar else LINE_EVERY_SECONDS):
            return
        self._shown = now
        if self._bar:
            print(
                f"\r\x1b[K{printable(self.title)}: {printable(self.describe(note))}",
                end="",
                file=sys.stderr,
                flush=True,
            )
        else:
            self._log(self.describe(note))

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
        if self._bar:
            print("\r\x1b[K", end="", file=sys.stderr, flush=True)


def duration(seconds: float) -> str:
    """Return seconds as 0:05, 12:34 or 1:02:03; infinity is a question mark."""
    if seconds == float("inf"):
        return "?"
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"
