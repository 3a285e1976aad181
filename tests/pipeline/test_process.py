"""How programs begin and end: output of any encoding, signals while Python ends, output that nobody reads."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from cli_for_tests import ENVIRONMENT, RECIPE

from ulmfit.pipeline.process import ignore_stop_signals

ENDING = """
import atexit, os, signal, sys
import typer
from ulmfit.cli.errors import guarded
from ulmfit.pipeline.errors import InputError
program = typer.Typer(pretty_exceptions_enable=False)
@program.command()
def command(kind: str) -> None:
    if kind == "fails":
        raise InputError("a was b: expected c")
    if kind == "is stopped":
        os.kill(os.getpid(), signal.SIGTERM)
def late() -> None:
    for number in (signal.SIGTERM, signal.SIGINT):
        os.kill(os.getpid(), number)
    print("reached the end")
atexit.register(late)
guarded(program)
"""
STOPPED = "\nulmfit: stopped; the same command goes on from the last checkpoint\n"


@pytest.mark.parametrize(
    ("kind", "status", "errors"),
    [("succeeds", 0, ""), ("fails", 2, "ulmfit: a was b: expected c\n"), ("is stopped", 143, STOPPED)],
)
def test_a_signal_while_python_ends_changes_neither_status_nor_output(
    kind: str, status: int, errors: str
) -> None:
    done = subprocess.run(
        [sys.executable, "-c", ENDING, kind], capture_output=True, text=True, env=ENVIRONMENT
    )
    assert (done.returncode, done.stdout, done.stderr) == (status, "reached the end\n", errors)


def test_both_signals_are_ignored_and_not_left_to_the_system() -> None:
    before = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]
    try:
        ignore_stop_signals()
        assert [signal.getsignal(n) for n in (signal.SIGINT, signal.SIGTERM)] == [signal.SIG_IGN] * 2
    finally:
        for number, handler in zip((signal.SIGINT, signal.SIGTERM), before, strict=True):
            signal.signal(number, handler)


PRINTING = """
import typer
from ulmfit.cli.errors import guarded
program = typer.Typer(pretty_exceptions_enable=False)
@program.command()
def command() -> None:
    print("84.06 ± 0.95 of 'Łódź' \\udcff")
guarded(program)
"""


@pytest.mark.parametrize(
    ("encoding", "expected"),
    [
        ("ascii", rb"84.06 \xb1 0.95 of '\u0141\xf3d\u017a' \udcff"),
        ("latin-1", b"84.06 \xb1 0.95 of '\\u0141\xf3d\\u017a' \\udcff"),
        ("utf-8", "84.06 ± 0.95 of 'Łódź' \\udcff".encode()),
    ],
)
def test_no_encoding_of_the_output_ends_a_run(encoding: str, expected: bytes) -> None:
    environment = {**ENVIRONMENT, "PYTHONIOENCODING": encoding}
    done = subprocess.run([sys.executable, "-c", PRINTING], capture_output=True, env=environment)
    assert (done.returncode, done.stdout.rstrip(b"\n"), done.stderr) == (0, expected, b"")


@pytest.mark.parametrize("buffered", [True, False])
def test_an_output_that_nobody_reads_is_one_line(buffered: bool) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    environment = {**ENVIRONMENT, "PYTHONUNBUFFERED": "" if buffered else "1"}
    command = [sys.executable, "-m", "ulmfit.cli", "plan", str(RECIPE)]
    done = subprocess.run(command, stdout=writer, stderr=subprocess.PIPE, text=True, env=environment)
    os.close(writer)
    assert done.returncode == 1
    assert done.stderr == "ulmfit: the output was closed before its end: nobody reads it any more\n"


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_an_output_on_a_full_disk_is_one_line() -> None:
    with open("/dev/full", "w") as full:
        command = [sys.executable, "-m", "ulmfit.cli", "plan", str(RECIPE)]
        done = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, text=True, env=ENVIRONMENT)
    assert done.returncode == 1
    assert done.stderr == "ulmfit: the disk is full: free some space and run the same command again\n"
