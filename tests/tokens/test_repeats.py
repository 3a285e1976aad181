"""Marks for repeated characters and words."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from texts_for_tests import any_texts

from ulmfit.tokens.marks import MARK_NAMES, REP, REPEAT_MARK_NAMES, WREP, normalize
from ulmfit.tokens.repeats import (
    LARGEST_COUNT,
    collapse_characters,
    collapse_words,
    collapse_words_of,
    expand_characters,
    expand_words,
)

MARKS = "".join({**MARK_NAMES, **REPEAT_MARK_NAMES})


def shown(text: str) -> str:
    return text.replace(REP, "⟨rep⟩").replace(WREP, "⟨wrep⟩")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("soooo", "s⟨rep⟩4o"),
        ("soooogar!!!!!", "s⟨rep⟩4ogar⟨rep⟩5!"),
        ("www ... III Schifffahrt", "www ... III Schifffahrt"),
        ("1000000 ٤٤٤٤", "1000000 ٤٤٤٤"),
        ("4oooo", "4⟨rep⟩4o"),
        ("ßßßß😀😀😀😀", "⟨rep⟩4ß⟨rep⟩4😀"),
        ("OOOO o o o o", "⟨rep⟩4O o o o o"),
        ("a" * 1000, "⟨rep⟩999aa"),
        ("a" * 2500, "⟨rep⟩999a⟨rep⟩999a⟨rep⟩502a"),
    ],
)
def test_repeated_characters(text, expected):
    assert shown(collapse_characters(text)) == expected
    assert expand_characters(collapse_characters(text)) == text


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("so very very very good", " so⟨wrep⟩ 3 very good"),
        ("very very good", " very very good"),
        ("Ha ha ha ha", " Ha⟨wrep⟩ 3 ha"),
        ("- - - -", "⟨wrep⟩ 4 -"),
        ("7 7 7 x", "⟨wrep⟩ 3 7 x"),
        ("a a a b b b", "⟨wrep⟩ 3 a⟨wrep⟩ 3 b"),
        (" ".join("a" * 1001), "⟨wrep⟩ 999 a a a"),
        ("a", " a"),
    ],
)
def test_repeated_words(text, expected):
    assert shown(collapse_words_of(text)) == expected
    assert expand_words(collapse_words_of(text)) == f" {text}"


@given(any_texts)
def test_nothing_is_lost(text):
    text = normalize(text)
    assert expand_characters(collapse_characters(text)) == text
    if text:
        assert expand_words(collapse_words_of(text)) == f" {text}"


@given(st.lists(st.sampled_from("abc"), max_size=30))
def test_the_words_that_are_left(words):
    collapsed, numbers = collapse_words(words)
    restored = []
    for index, word in enumerate(collapsed):
        if index in numbers:
            restored += [collapsed[index + 1]] * (int(word) - 1)
        else:
            restored.append(word)
    assert restored == words
    assert all(3 <= int(collapsed[index]) <= LARGEST_COUNT for index in numbers)


@given(st.text(alphabet=f"{MARKS}12 90ab"))
def test_any_sequence_of_a_language_model_is_read(text):
    """No marks are left, and no number asks for more than it may."""
    left = expand_words(expand_characters(text))
    assert not {REP, WREP} & set(left)
    assert len(left) <= len(text) * LARGEST_COUNT**2


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (f"{REP}4o", "oooo"),
        (f"{REP}1o", "o"),
        (f"{REP}12345o", "12345o"),
        (f"{REP}0o", "0o"),
        (f"{REP}4 o", "4 o"),
        (f"{REP}4{REP}5o", "4ooooo"),
        (f"{WREP} 4 ha", " ha ha ha ha"),
        (f"{WREP} ha", " ha"),
        (f"{WREP}{WREP} 2 x", " x x"),
        (f"{WREP} 9999 x", " 9999 x"),
    ],
)
def test_marks_out_of_place(text, expected):
    assert expand_words(expand_characters(text)) == expected
