"""The commands as a user runs them, their output and exit status: in separate processes, or in this one."""

from __future__ import annotations

import contextlib
import io
import os
import subprocess
import sys
from pathlib import Path
from unittest import mock

TESTS = Path(__file__).parent
RECIPE = TESTS / "recipes_for_tests" / "tiny.py"
OWN = {"PYTHONPATH": str(TESTS), "OMP_NUM_THREADS": "1", "COLUMNS": "200"}
ENVIRONMENT = {**os.environ, **OWN}


def start(*arguments: object) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "ulmfit", *map(str, arguments)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, **OWN},
    )


def ulmfit(*arguments: object) -> tuple[int, str, str]:
    process = start(*arguments)
    output, errors = process.communicate(timeout=900)
    return process.returncode, output, errors


def ulmfit_here(*arguments: object) -> tuple[int, str, str]:
    """Run a command in this process, where torch and fastai are imported once for all tests.

    It is for what a command does and says. How a process ends, and what it imports, needs `ulmfit`.
    """
    from ulmfit.cli import app, errors

    output, said = io.StringIO(), io.StringIO()
    with (
        mock.patch.object(sys, "argv", ["ulmfit", *map(str, arguments)]),
        mock.patch.dict(os.environ, {"COLUMNS": "200"}),
        contextlib.redirect_stdout(output),
        contextlib.redirect_stderr(said),
    ):
        status = errors._status(app.app)
    return status, output.getvalue(), said.getvalue()
