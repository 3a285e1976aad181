"""Messages of errors are one line, whatever the input put into them."""

from __future__ import annotations

import copy

import pytest

from ulmfit.pipeline.errors import InputError, StageFailed


@pytest.mark.parametrize("error", [InputError, StageFailed])
def test_messages_are_one_line_that_can_be_printed(error: type[Exception]) -> None:
    message = str(error("file a\nb\u2028c\x1b[2J.txt \udcff holds\tno  text: take another"))
    assert message == r"file a b c\u001b[2J.txt \udcff holds no text: take another"


def test_long_messages_keep_their_beginning_and_their_advice() -> None:
    message = str(InputError(f"x.csv has no column 'text', only {'y' * 100_000}: name the right one"))
    assert len(message) < 1000
    assert message.startswith("x.csv has no column 'text', only yyy")
    assert message.endswith("yyy: name the right one")


def test_errors_travel_between_processes() -> None:
    error = copy.copy(InputError("a.txt is empty"))  # by what a process sends to another
    assert isinstance(error, InputError) and str(error) == "a.txt is empty"
