"""What ends a line and what is a space, for every text that is read."""

import sys

from ulmfit.pipeline.white_space import plain_white_space


def test_every_white_space_stays_white_space_and_nothing_else_changes():
    for code in range(sys.maxunicode + 1):
        character = chr(code)
        plain = plain_white_space(f"a{character}b")
        if not character.isspace():
            assert plain == f"a{character}b"
        elif character == "\t":
            assert plain == "a\tb"
        else:
            assert plain == ("a\nb" if character.splitlines() == [""] else "a b"), hex(code)


def test_both_characters_of_a_line_end_are_one():
    assert plain_white_space("a\r\nb\r\rc\n\rd é\r\n") == "a\nb\n\nc\n\nd é\n"
