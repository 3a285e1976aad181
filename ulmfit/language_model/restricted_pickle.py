"""Reads a pickled list of strings, and nothing else, without running anything that a pickle can ask for.

Vocabularies of fastai are published as pickles (`itos.pkl`), and a pickle is a program: unpickling one runs
what its author wished. So its instructions are looked at first, without being run. Only those of a list of
strings are let through, which call nothing; the sizes below bound time and memory, whatever the file says
about itself.
"""

from __future__ import annotations

import io
import pickle
import pickletools
from pathlib import Path
from typing import Any, NoReturn

from ulmfit.pipeline.errors import InputError
from ulmfit.pipeline.files import read_bytes

LARGEST_FILE = 64_000_000
"""Bytes; a vocabulary of a million words has 30 million."""
MOST_STEPS = 2_500_000
"""Most instructions that are run; a string takes two. Each adds one entry at most."""
LONGEST_STRING = 1_000
"""Characters."""
MOST_CHARACTERS = 64_000_000
"""Of all entries together: a string that is named again and again takes room where it is written down."""

STRINGS = frozenset({"UNICODE", "BINUNICODE", "BINUNICODE8", "SHORT_BINUNICODE"})
KEEPING = frozenset({"PUT", "BINPUT", "LONG_BINPUT"})
RECALLING = frozenset({"GET", "BINGET", "LONG_BINGET"})
LISTS = frozenset({"MARK", "EMPTY_LIST", "LIST", "APPEND", "APPENDS"})
ALLOWED = STRINGS | KEEPING | RECALLING | LISTS | {"PROTO", "FRAME", "MEMOIZE", "STOP"}


def read_string_list(path: Path) -> list[str]:
    """Return the list of strings pickled in `path`; raises InputError when it is anything else."""
    try:
        size = path.stat().st_size
        if size > LARGEST_FILE:
            raise InputError(
                f"{path} has {size:,} bytes, more than the {LARGEST_FILE:,} of any list of words"
            )
        content = read_bytes(path)
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror or error}") from error
    try:
        _check(content)
        return _strings(_Unpickler(io.BytesIO(content)).load())
    except Exception as error:
        # pickle raises errors of many kinds for instructions in a wrong order.
        reason = error if isinstance(error, _Refused) else f"it is damaged or cut off ({error})"
        raise InputError(
            f"{path} is no pickled list of strings: {reason}; nothing in it was run. "
            f"Expected fastai's itos.pkl, or a JSON list of the words"
        ) from error


class _Refused(Exception):
    """What is wrong with the pickle, in words."""


class _Unpickler(pickle.Unpickler):
    """The second door: no instruction that comes here names anything."""

    def find_class(self, module: str, name: str) -> NoReturn:
        raise _Refused(f"it names the class or function {module}.{name}")

    def persistent_load(self, pid: object) -> NoReturn:
        raise _Refused("it names something outside of it")


def _check(content: bytes) -> None:
    """Look at every instruction without running it; raises _Refused, or what pickletools raises."""
    stream = io.BytesIO(content)
    last = ["", ""]  # strings: what STACK_GLOBAL would put together
    for steps, (opcode, value, _) in enumerate(pickletools.genops(stream), 1):
        name = opcode.name
        argument: Any = value
        if name not in ALLOWED:
            raise _Refused(_what_it_asks_for(name, argument, last))
        if steps > MOST_STEPS:
            raise _Refused(f"it has more than {MOST_STEPS:,} instructions")
        if name in STRINGS:
            argument.encode()  # halves of surrogate pairs can be written, and are no text
            if len(argument) > LONGEST_STRING:
                raise _Refused(f"it has a string of {len(argument):,} characters: no word is as long")
            last = [last[1], argument]
        elif name in RECALLING:
            last = [last[1], "?"]
        elif name in KEEPING and argument > steps:
            raise _Refused(f"it keeps an entry {argument:,}, which asks for as much memory")
        elif name == "PROTO" and argument > pickle.HIGHEST_PROTOCOL:
            raise _Refused(f"it is written in protocol {argument}, Python knows {pickle.HIGHEST_PROTOCOL}")
    if rest := len(content) - stream.tell():
        raise _Refused(f"it goes on for {rest:,} bytes after its end")


def _what_it_asks_for(name: str, argument: Any, last: list[str]) -> str:
    if name in ("GLOBAL", "INST"):
        return f"it names the class or function {argument.replace(' ', '.')[:200]!r}"
    if name == "STACK_GLOBAL":
        return f"it names the class or function {'.'.join(last)[:200]!r}"
    return f"it has the instruction {name}, which no list of strings needs"


def _strings(found: Any) -> list[str]:
    if not isinstance(found, list):
        raise _Refused("it holds something else than one list")
    if any(isinstance(entry, list) for entry in found):
        raise _Refused("it has a list within a list")
    if sum(map(len, found)) > MOST_CHARACTERS:
        raise _Refused(f"its strings have more than {MOST_CHARACTERS:,} characters")
    return found
