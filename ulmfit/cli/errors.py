"""How a command ends: one line for every error, an exit status, and what signals do.

Exit status: 0 done, 2 wrong input, 130 Ctrl-C, 143 SIGTERM, 1 anything else.
"""

from __future__ import annotations

import contextlib
import errno
import os
import signal
import sys
import traceback
from typing import Any, NoReturn

import typer

from ulmfit.pipeline.errors import USERS_ERRORS, InputError, StageFailed, says_out_of_memory
from ulmfit.pipeline.files import is_text
from ulmfit.pipeline.printing import printable, show
from ulmfit.pipeline.process import (
    STOP_SIGNALS,
    accept_any_text,
    flush_output,
    give_up_output,
    ignore_stop_signals,
)


def guarded(program: typer.Typer) -> NoReturn:
    """Run `program`; every error is one line and an exit status, `--debug` anywhere shows its traceback."""
    accept_any_text()
    for number in STOP_SIGNALS:
        signal.signal(number, stop)
    try:
        status = _status(program)
    finally:
        ignore_stop_signals()
    sys.exit(status)


def _status(program: typer.Typer) -> int:
    """Run `program` and return its exit status."""
    debug = "--debug" in sys.argv
    arguments = [argument for argument in sys.argv[1:] if argument != "--debug"]
    try:
        _check_text(arguments)
        # Not standalone: it would print errors in boxes of its own, and end the process.
        status = program(arguments, standalone_mode=False)
        flush_output()
    except SystemExit as ended:
        # This is what typer makes of an output that nobody reads.
        if not isinstance(ended.__context__, BrokenPipeError):
            raise
        return _tell(ended.__context__)
    except Exception as error:
        if type(error).__name__ == "NoArgsIsHelpError":
            error.show()  # type: ignore[attr-defined]
            return 2
        if debug:
            show(traceback.format_exc(), sys.stderr)
        return _tell(error)
    return status if isinstance(status, int) else 0


def _tell(error: BaseException) -> int:
    """Say an error in one line; return the exit status that it means."""
    with contextlib.suppress(OSError):  # nobody may read the errors either
        show(f"ulmfit: {printable(describe(error))}", sys.stderr)
    if isinstance(error, OSError):
        give_up_output(error)
    return 2 if is_users(error) else 1


def _check_text(arguments: list[str]) -> None:
    """Raise InputError for an argument that is no text: such a path can stand in no record and no log."""
    for argument in arguments:
        if not is_text(argument):
            raise InputError(f"argument {argument!r} is not UTF-8: rename the file or folder that it names")


def is_users(error: BaseException) -> bool:
    """Return whether the user's input is the reason of an error."""
    return isinstance(error, InputError) or is_usage_error(error) or is_of_users_path(error)


def is_usage_error(error: BaseException) -> bool:
    """Return whether the command line was called wrongly: an error of click, of which typer has a copy."""
    return hasattr(error, "format_message")


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
    if isinstance(error, BrokenPipeError):
        return "the output was closed before its end: nobody reads it any more"
    if isinstance(error, typer.Abort):
        return "not confirmed, nothing was done"
    if is_usage_error(error):
        return _usage(error)
    # fastai puts a line of its own before the message of an error in a callback.
    lines = [line.strip() for line in str(error).splitlines() if "Exception occured in `" not in line] or [""]
    if isinstance(error, (InputError, StageFailed)):
        return lines[0]
    if isinstance(error, MemoryError) or says_out_of_memory(str(error)):
        return f"out of memory: try a smaller batch_size ({lines[0]})"
    return f"{type(error).__name__}: {lines[0]} (--debug shows where)"


def _usage(error: Any) -> str:
    message = " ".join(error.format_message().split()).rstrip(".")
    command = error.ctx.command_path if getattr(error, "ctx", None) else "ulmfit"
    return f"{message}: see {command} --help"


def stop(signal_number: int, frame: object) -> NoReturn:
    """End the process as the signal asks; training has written a checkpoint by then."""
    with contextlib.suppress(OSError, RuntimeError):  # nobody may read it; another print may be under way
        print("\nulmfit: stopped; the same command goes on from the last checkpoint", file=sys.stderr)
    sys.exit(128 + signal_number)
