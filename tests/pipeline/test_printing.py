"""What others wrote is shown, and does nothing to a terminal."""

from __future__ import annotations

import io
import sys
from pathlib import Path

import pytest
from evaluation.samples import made_up_predictions, made_up_record

from ulmfit.cli import errors as cli_errors
from ulmfit.evaluation.record import RowResult, row_result
from ulmfit.experiments.verify import Figure, table
from ulmfit.pipeline.printing import printable, printable_page, show, show_data
from ulmfit.pipeline.progress import Progress, say
from ulmfit.report.leaderboard import Source, html_leaderboard, leaderboard, markdown_leaderboard
from ulmfit.report.markdown import escape, markdown_table
from ulmfit.report.report import render_html
from ulmfit.report.text_table import text_table

ACTING = "\x00\x07\x08\r\x1b\x7f\x85\x9b\u061c\u200e\u200f\u2028\u2029\u202a\u202e\u2066\u2069\ufeff\udcff"
HOSTILE = f"ULMFiT {ACTING}[2J end"


def acts(text: str) -> list[str]:
    """Return what a terminal or a page would not show but do."""
    return [character for character in text if character in ACTING]


def hostile_row() -> RowResult:
    return row_result(HOSTILE, [(0, made_up_predictions(0.8, 0))])


def test_every_character_that_acts_is_made_visible() -> None:
    assert printable("\x1b[31m\x07 \x9b2J \u202eabc \n") == r"\u001b[31m\u0007 \u009b2J \u202eabc \u000a"
    assert not acts(printable(HOSTILE))


def test_spelling_stays_as_it_is() -> None:
    text = "Łódź mi\u200cravam क्\u200dष 👩\u200d💻 soft\u00adhyphen 10\u00a0km שָׁלוֹם العربية"
    assert printable(text) == text


@pytest.mark.parametrize("write", [say, show, lambda text: show(text, sys.stdout)])
def test_lines_for_a_person_do_nothing(write, capsys: pytest.CaptureFixture[str]) -> None:
    write(HOSTILE)
    (line,) = capsys.readouterr().out.splitlines()
    assert not acts(line) and "ULMFiT" in line and "end" in line


def test_data_is_data_but_for_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    for is_terminal in (False, True):
        output = io.StringIO()
        output.isatty = lambda answer=is_terminal: answer  # type: ignore[misc]
        monkeypatch.setattr(sys, "stdout", output)
        show_data(f"a\t{HOSTILE}\nb\n")
        assert bool(acts(output.getvalue())) is not is_terminal
        assert output.getvalue().startswith("a\tULMFiT") and output.getvalue().endswith("\nb\n")


def test_the_title_of_a_progress_bar_does_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = io.StringIO()
    terminal.isatty = lambda: True  # type: ignore[method-assign]
    monkeypatch.setattr(sys, "stderr", terminal)
    bar = Progress(2, "MB", HOSTILE, lambda line: None)
    bar._shown -= 1
    bar.advance(1, HOSTILE)
    assert not acts(terminal.getvalue().removeprefix("\r\x1b[K"))


def test_tables_of_a_record_do_nothing() -> None:
    base = made_up_record()
    record = base.changed(rows=(hostile_row(),), comparisons=(), labels=(HOSTILE,), title=HOSTILE)
    for text in (markdown_table(record), text_table(record), text_table(record, 60), render_html(record)):
        assert not acts(text) and "ULMFiT" in text
    assert not acts(escape(HOSTILE))


def test_a_leaderboard_does_nothing() -> None:
    record = made_up_record().changed(
        rows=(hostile_row(),), comparisons=(), labels=(HOSTILE,), recipe=HOSTILE, commit=HOSTILE
    )
    board = leaderboard([Source(record, HOSTILE, "", "record.json")])
    for text in (markdown_leaderboard(board), html_leaderboard(board, HOSTILE)):
        assert not acts(text) and "ULMFiT" in text


def test_a_page_keeps_its_lines_and_tabs() -> None:
    assert printable_page("one\n\ttwo\u202e\r") == "one\n\ttwo\\u202e\\u000d"


def test_figures_of_verify_do_nothing_and_stay_aligned() -> None:
    figures = [Figure(HOSTILE, 0.5, 0.5, "same", "equal"), Figure("b", 0.5, None, "outside", "missing")]
    lines = table(figures)
    assert not acts("".join(lines))
    assert lines[1].index("0.500000") == lines[2].index("0.500000")


def test_errors_of_other_libraries_do_nothing(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def program(arguments: list[str]) -> None:
        raise OSError(2, "gone", str(Path("a") / HOSTILE.replace("\x00", "")))

    monkeypatch.setattr(sys, "argv", ["ulmfit", "--debug"])
    monkeypatch.setattr(cli_errors.signal, "signal", lambda *_: None)
    with pytest.raises(SystemExit):
        cli_errors.guarded(program)  # type: ignore[arg-type]
    errors = capsys.readouterr().err
    assert "Traceback" in errors and "ulmfit: " in errors
    assert not acts(errors)
