"""Output and signals, at the start and at the end of every program of this project."""

from __future__ import annotations

import atexit
import contextlib
import errno
import io
import os
import signal
import sys
import threading

STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM)


def accept_any_text() -> None:
    """Let standard output and errors take every text; characters that their encoding lacks become `\\xb1`.

    Otherwise a `±` would end a run after hours, if the output is ASCII or Latin-1.
    """
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def ignore_stop_signals() -> None:
    """Ignore Ctrl-C and SIGTERM from here on: the result is decided, and Python only has to end.

    A handler that raises would do so in whatever runs then, such as a callback of `atexit`. The default
    handler would make a program look killed that has ended by itself.
    """
    if threading.current_thread() is threading.main_thread():
        for number in STOP_SIGNALS:
            signal.signal(number, signal.SIG_IGN)


def ignore_stop_signals_at_exit() -> None:
    """Ignore them when Python ends. Registered last, this runs first: callbacks run in reverse order."""
    atexit.unregister(ignore_stop_signals)
    atexit.register(ignore_stop_signals)


def flush_output() -> None:
    """Write out what is buffered; raises OSError where that fails (BrokenPipeError: nobody reads it)."""
    if sys.stdout is not None:
        sys.stdout.flush()


def give_up_output(error: OSError) -> None:
    """Close an output that has failed; otherwise Python would fail on it again at its end."""
    if error.errno not in (errno.EPIPE, errno.ENOSPC, errno.EIO):
        return
    for stream in (sys.stdout, sys.stderr):
        try:
            if stream is not None:
                stream.flush()
        except OSError:
            with contextlib.suppress(OSError, ValueError):
                nowhere = os.open(os.devnull, os.O_WRONLY)
                os.dup2(nowhere, stream.fileno())
                os.close(nowhere)
