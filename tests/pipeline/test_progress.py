"""Bars on a terminal, lines elsewhere, and a sign of life where a stage says nothing."""

from __future__ import annotations

import io
import sys
import threading
import time

import pytest

from ulmfit.pipeline import progress
from ulmfit.pipeline.progress import Heartbeat, Progress, duration


class Terminal(io.StringIO):
    """Standard error that is a terminal."""

    def isatty(self) -> bool:
        return True


def on_terminal(monkeypatch: pytest.MonkeyPatch) -> Terminal:
    """Put a terminal in the place of standard error; in a fixture pytest would put its own back."""
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    return terminal


def test_a_bar_shows_share_rate_and_time_left_on_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = on_terminal(monkeypatch)
    lines: list[str] = []
    shown = Progress(100, "steps", "pretrain", lines.append)
    shown._shown -= 1
    shown.advance(25, "loss 5.0")
    assert "pretrain: [#####---------------] 25% of 100 steps, " in terminal.getvalue()
    assert terminal.getvalue().endswith(" left, loss 5.0") and not lines
    shown.close()
    assert terminal.getvalue().endswith("\r\x1b[K")


def test_there_is_no_bar_without_a_total_and_none_in_a_file(monkeypatch: pytest.MonkeyPatch) -> None:
    on_terminal(monkeypatch)
    assert Progress(None, "MB", "download", print).bar() == ""
    assert Progress(3, "texts", "a", print, done=9).bar() == f"[{'#' * 20}] "
    monkeypatch.setattr(sys, "stderr", io.StringIO())
    lines: list[str] = []
    shown = Progress(100, "steps", "pretrain", lines.append)
    shown._shown -= progress.LINE_EVERY_SECONDS
    shown.advance(25)
    assert len(lines) == 1 and lines[0].startswith("25% of 100 steps")
    assert sys.stderr.getvalue() == ""  # type: ignore[attr-defined]


def beats(monkeypatch: pytest.MonkeyPatch) -> tuple[list[str], threading.Event]:
    """Return the lines that heartbeats say from now on, and what is set by the first."""
    lines: list[str] = []
    said = threading.Event()

    def note(line: str) -> None:
        lines.append(line)
        said.set()

    monkeypatch.setattr(progress, "say", note)
    return lines, said


def test_a_stage_that_says_nothing_shows_that_it_is_at_work(monkeypatch: pytest.MonkeyPatch) -> None:
    lines, said = beats(monkeypatch)
    with Heartbeat("tokenizer", 0.01):
        assert said.wait(60)
    assert lines[0] == "tokenizer: still working, 0:00"


def test_on_a_terminal_the_sign_of_life_stands_where_a_bar_would_and_goes(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    terminal = on_terminal(monkeypatch)
    with Heartbeat("tokenizer", 0.01) as heartbeat:
        while not heartbeat._drawn:
            time.sleep(0.01)
    assert "\r\x1b[Ktokenizer: still working, " in terminal.getvalue()
    assert terminal.getvalue().endswith("\r\x1b[K")


def test_nothing_is_said_beside_what_a_stage_says_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    lines, _ = beats(monkeypatch)
    with Heartbeat("tokenizer", 1_000) as heartbeat:
        heartbeat.touch()
    assert lines == []
    assert not heartbeat._thread.is_alive()


def test_every_advance_of_a_stage_counts_as_a_sign_of_life() -> None:
    alive: list[int] = []
    Progress(9, "texts", "a", print, alive=lambda: alive.append(1)).advance(1)
    assert alive == [1]


def test_durations_are_minutes_or_hours() -> None:
    assert [duration(s) for s in (5, 754, 3_723, float("inf"))] == ["0:05", "12:34", "1:02:03", "?"]
