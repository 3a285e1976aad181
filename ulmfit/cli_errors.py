"""How a command ends: one line for every error, an exit status, and what signals do.

Exit status: 0 done, 2 wrong input, 130 Ctrl-C, 143 SIGTERM, 1 anything else.
"""

from __future__ import annotations

import errno
import os
import signal
import sys
import traceback
from typing import NoReturn

import typer

from ulmfit.errors import USERS_ERRORS, InputError, StageFailed
from ulmfit.printing import printable, show

OUT_OF_MEMORY = ("out of memory", "can't allocate memory")
"""What torch says of a GPU's memory and of the machine's."""


def guarded(program: typer.Typer) -> NoReturn:
    """Run `program`; every error is one line and an exit status, `--debug` anywhere shows its traceback."""
    debug = "--debug" in sys.argv
    arguments = [argument for argument in sys.argv[1:] if argument != "--debug"]
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, stop)
    try:
        program(arguments)
    except Exception as error:
        if debug:
            show(traceback.format_exc(), sys.stderr)
        show(f"ulmfit: {printable(describe(error))}", sys.stderr)
        sys.exit(2 if isinstance(error, InputError) or is_of_users_path(error) else 1)
    sys.exit(0)


def is_of_users_path(error: BaseException) -> bool:
    """Return whether the system has refused a path that the user has chosen, or what lies there."""
    return isinstance(error, OSError) and error.errno in USERS_ERRORS


def describe(error: BaseException) -> str:
    """Return an error on one line, with what to do where that is known."""
    if isinstance(error, OSError) and error.errno == errno.ENOSPC:
        place = f" ({error.filename})" if error.filename else ""
        return f"the disk is full{place}: free some space and run the same command again"
    if isinstance(error, OSError) and error.errno in USERS_ERRORS:
        reason = os.strerror(error.errno).lower()
        return f"{error.filename or 'a file'} cannot be used: {reason}"
    # fastai puts a line of its own before the message of an error in a callback.
    lines = [line.strip() for line in str(error).splitlines() if "Exception occured in `" not in line] or [""]
    if isinstance(error, (InputError, StageFailed)):
        return lines[0]
    if isinstance(error, MemoryError) or any(words in str(error).lower() for words in OUT_OF_MEMORY):
        return f"out of memory: try a smaller batch_size ({lines[0]})"
    return f"{type(error).__name__}: {lines[0]} (--debug shows where)"


def stop(signal_number: int, frame: object) -> NoReturn:
    """End the process as the signal asks; training has written a checkpoint by then."""
    print("\nulmfit: stopped; the same command goes on from the last checkpoint", file=sys.stderr)
    sys.exit(128 + signal_number)
