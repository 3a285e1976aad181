"""Prints text that others wrote (names in files, answers of servers) without control characters."""

from __future__ import annotations

import re
import sys
from typing import TextIO

_ACTING = re.compile(
    "[\x00-\x1f\x7f-\x9f"  # control characters: ESC and BEL, and C1, which is ESC and a letter in one
    "\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069"  # directions: what is read is not what is written
    "\u2028\u2029"  # ends of lines and paragraphs
    "\u2060-\u2065\u206a-\u206f\ufeff\ufff9-\ufffb"  # others that nobody sees
    "\ud800-\udfff]"  # bytes of a name that is no UTF-8
)


def printable(text: str) -> str:
    """Return one line in which every control or invisible character is written as its `\\uXXXX`.

    Characters that belong to spelling stay: joiners (U+200C, U+200D), soft hyphens, spaces of any width.
    """
    return _ACTING.sub(lambda match: f"\\u{ord(match[0]):04x}", text)


def printable_lines(text: str) -> str:
    """Return text in which every line is `printable`."""
    return "\n".join(map(printable, text.split("\n")))


def printable_page(text: str) -> str:
    """Return text in which every line is `printable`, and tabs stay."""
    return "\t".join(map(printable_lines, text.split("\t")))


def show(text: str, file: TextIO | None = None) -> None:
    """Print lines at once, each `printable`; to standard output unless `file` is another."""
    print(printable_lines(text), file=file or sys.stdout, flush=True)


def show_data(text: str) -> None:
    """Print lines for other programs at once, as they are; on a terminal each of their fields `printable`."""
    if sys.stdout.isatty():
        lines = text.split("\n")
        text = "\n".join("\t".join(map(printable, line.split("\t"))) for line in lines)
    print(text, end="", flush=True)
