"""The errors that the command line turns into one line and an exit status."""

from __future__ import annotations

import errno

from ulmfit.pipeline.printing import printable

USERS_ERRORS = frozenset(
    {
        errno.EACCES,
        errno.EPERM,
        errno.EROFS,
        errno.EEXIST,
        errno.ENOTDIR,
        errno.EISDIR,
        errno.ENAMETOOLONG,
    }
)
"""System errors that a path of the user causes, such as missing rights, or a file in place of a folder."""

OUT_OF_MEMORY = ("out of memory", "can't allocate memory", "cannot allocate memory", "not enough memory")
"""What torch and the operating system say when there is no more memory, on a GPU or in the machine."""
LONGEST_BEGINNING, LONGEST_END = 600, 300


class _OneLineError(Exception):
    """An error whose message is one printable line, also if it quotes names from files."""

    def __init__(self, message: str) -> None:
        super().__init__(_one_line(message))


class InputError(_OneLineError):
    """The user's input is wrong (exit status 2).

    The message is one line: what is wrong, where, what was expected, what to do.
    """


class DamagedModel(InputError):
    """The weights of a model are damaged, as its predictions show: no request or text is wrong."""


class StageFailed(_OneLineError):
    """A stage could not be finished for a reason that is not the user's input (exit status 1)."""


def says_out_of_memory(message: str) -> bool:
    """Return whether a message says that memory ran out: torch raises plain RuntimeErrors for it."""
    return any(words in message.lower() for words in OUT_OF_MEMORY)


def _one_line(message: str) -> str:
    line = printable(" ".join(message.split()))
    if len(line) <= LONGEST_BEGINNING + LONGEST_END:
        return line
    return f"{line[:LONGEST_BEGINNING]} … {line[-LONGEST_END:]}"
