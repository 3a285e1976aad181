"""Reads a pickled list of strings, and nothing else, without running anything that a pickle can ask for.

Vocabularies of fastai are published as pickles (`itos.pkl`), and a pickle is a program: unpickling one runs
what its author wished. This reader knows the dozen instructions that a list of strings is made of; at every
other one it stops, so that classes are neither imported nor made. Time and memory are bounded by the sizes
below, whatever the file says about itself.
"""

from __future__ import annotations

import pickletools
from collections.abc import Callable
from pathlib import Path

from ulmfit.pipeline.errors import InputError

LARGEST_FILE = 64_000_000
"""Bytes; a vocabulary of a million words has 30 million."""
MOST_STEPS = 2_500_000
"""Instructions; a string takes two. Nothing grows by more than one entry a step."""
LONGEST_STRING = 1_000
"""Characters."""
MOST_CHARACTERS = 64_000_000
"""Of all entries together: a string that is named again and again takes room where it is written down."""
LONGEST_NUMBER = 10
LATEST_PROTOCOL = 5


def read_string_list(path: Path) -> list[str]:
    """Return the list of strings pickled in `path`; raises InputError when it is anything else."""
    try:
        size = path.stat().st_size
        if size > LARGEST_FILE:
            raise InputError(
                f"{path} has {size:,} bytes, more than the {LARGEST_FILE:,} of any list of words"
            )
        content = path.read_bytes()
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror or error}") from error
    try:
        return _Interpreter(content).run()
    except _Refused as error:
        raise InputError(
            f"{path} is no pickled list of strings: {error}; nothing in it was run. "
            f"Expected fastai's itos.pkl, or a JSON list of the words"
        ) from error


class _Refused(Exception):
    """What is wrong with the pickle, in words."""


class _Mark:
    """Where the items of a list begin on the stack."""


MARK = _Mark()
Entry = str | list[str] | _Mark


class _Interpreter:
    """Runs the instructions of one pickle; there is one list at most, and only strings go into it."""

    def __init__(self, content: bytes) -> None:
        self._content = content
        self._place = 0
        self._stack: list[Entry] = []
        self._memo: dict[int, Entry] = {}
        self._list: list[str] | None = None
        self._instructions: dict[int, Callable[[], None]] = {
            0x80: self._check_protocol,
            0x95: lambda: self._skip(8),  # FRAME
            ord("("): lambda: self._stack.append(MARK),
            ord("]"): self._make_list,
            ord("l"): self._make_list_of_items,
            ord("a"): self._append,
            ord("e"): self._append_items,
            0x8C: lambda: self._push_text(1),  # SHORT_BINUNICODE
            ord("X"): lambda: self._push_text(4),
            0x8D: lambda: self._push_text(8),  # BINUNICODE8
            ord("V"): self._push_escaped_text,
            0x94: lambda: self._keep(len(self._memo)),  # MEMOIZE
            ord("q"): lambda: self._keep(self._number(1)),
            ord("r"): lambda: self._keep(self._number(4)),
            ord("p"): lambda: self._keep(self._written_number()),
            ord("h"): lambda: self._recall(self._number(1)),
            ord("j"): lambda: self._recall(self._number(4)),
            ord("g"): lambda: self._recall(self._written_number()),
        }

    def run(self) -> list[str]:
        for _ in range(MOST_STEPS):
            code = self._number(1)
            if code == ord("."):
                return self._result()
            if code not in self._instructions:
                raise _Refused(self._name(code))
            self._instructions[code]()
        raise _Refused(f"it has more than {MOST_STEPS:,} instructions")

    def _result(self) -> list[str]:
        strings = self._pop()
        if self._stack or not isinstance(strings, list):
            raise _Refused("it ends with something else than one list")
        if self._place != len(self._content):
            raise _Refused(f"it goes on for {len(self._content) - self._place:,} bytes after its end")
        if sum(map(len, strings)) > MOST_CHARACTERS:
            raise _Refused(f"its strings have more than {MOST_CHARACTERS:,} characters")
        return strings

    def _name(self, code: int) -> str:
        """Return what an instruction that is not known here would have done, in words."""
        known = {opcode.code: opcode for opcode in pickletools.opcodes}.get(chr(code))
        if known is None:
            return f"byte {self._place - 1:,} is no instruction of a pickle"
        if known.name == "STACK_GLOBAL" and len(self._stack) > 1:
            module, name = self._stack[-2:]
            return f"it names the class or function {module}.{name}"
        if known.name in ("GLOBAL", "INST"):
            module, name = (self._line(100).decode("ascii", "replace") for _ in range(2))
            return f"it names the class or function {module}.{name}"
        return f"it has the instruction {known.name}, which no list of strings needs"

    def _check_protocol(self) -> None:
        if (protocol := self._number(1)) > LATEST_PROTOCOL:
            raise _Refused(f"it is written in protocol {protocol}, this reader knows {LATEST_PROTOCOL}")

    def _make_list(self) -> None:
        if self._list is not None:
            raise _Refused("it has a list within a list, or a second one")
        self._list = []
        self._stack.append(self._list)

    def _make_list_of_items(self) -> None:
        items = self._items()
        self._make_list()
        self._extend(items)

    def _append(self) -> None:
        self._extend([self._pop()])

    def _append_items(self) -> None:
        self._extend(self._items())

    def _extend(self, items: list[Entry]) -> None:
        if not self._stack or self._stack[-1] is not self._list or self._list is None:
            raise _Refused("it appends to something that is no list")
        for item in items:
            if not isinstance(item, str):
                raise _Refused("its list has an entry that is no string")
            self._list.append(item)

    def _items(self) -> list[Entry]:
        """Take everything above the last mark from the stack, and the mark."""
        items: list[Entry] = []
        while (item := self._pop()) is not MARK:
            items.append(item)
        return items[::-1]

    def _push_text(self, length_bytes: int) -> None:
        self._stack.append(self._checked(lambda: self._take(self._number(length_bytes)).decode("utf-8")))

    def _push_escaped_text(self) -> None:
        def text() -> str:
            decoded = self._line(10 * LONGEST_STRING).decode("raw-unicode-escape")
            decoded.encode("utf-8")  # halves of surrogate pairs can be written, and are no text
            return decoded

        self._stack.append(self._checked(text))

    def _checked(self, text: Callable[[], str]) -> str:
        begin = self._place
        try:
            result = text()
        except UnicodeError as error:
            raise _Refused(f"the string at byte {begin:,} is no Unicode text") from error
        if len(result) > LONGEST_STRING:
            raise _Refused(f"the string at byte {begin:,} has {len(result):,} characters: no word is as long")
        return result

    def _keep(self, number: int) -> None:
        if not self._stack or self._stack[-1] is MARK:
            raise _Refused("it keeps something that is not there")
        self._memo[number] = self._stack[-1]

    def _recall(self, number: int) -> None:
        if number not in self._memo:
            raise _Refused(f"it recalls entry {number}, which was never kept")
        self._stack.append(self._memo[number])

    def _pop(self) -> Entry:
        if not self._stack:
            raise _Refused("it takes something that is not there")
        return self._stack.pop()

    def _number(self, length: int) -> int:
        return int.from_bytes(self._take(length), "little")

    def _written_number(self) -> int:
        text = self._line(LONGEST_NUMBER)
        if not text.isdigit():
            raise _Refused("it has a number that is none")
        return int(text)

    def _line(self, longest: int) -> bytes:
        end = self._content.find(b"\n", self._place, self._place + longest + 1)
        if end < 0:
            raise _Refused("it is cut off, or has a line without an end")
        line = self._content[self._place : end]
        self._place = end + 1
        return line

    def _skip(self, length: int) -> None:
        self._take(length)

    def _take(self, length: int) -> bytes:
        begin = self._place
        if length > len(self._content) - begin:
            raise _Refused(f"it is cut off: {length:,} bytes are missing after byte {begin:,}")
        self._place += length
        return self._content[begin : self._place]
