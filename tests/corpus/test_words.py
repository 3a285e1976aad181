"""What counts as a word, in scripts with and without spaces."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ulmfit.corpus.words import count_words

BLOCKS = {
    "Thai": (0x0E01, 0x0E3A),
    "Lao": (0x0E81, 0x0EDF),
    "Tibetan": (0x0F00, 0x0FDA),
    "Burmese": (0x1000, 0x109F),
    "Khmer": (0x1780, 0x17F9),
    "Hiragana": (0x3041, 0x309F),
    "Katakana": (0x30A1, 0x30FA),
    "Han": (0x4E00, 0x9FFF),
    "Han, extension A": (0x3400, 0x4DBF),
    "Han, extension B": (0x20000, 0x2A6DF),
}


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", 0),
        (" \n ", 0),
        ("one", 1),
        ("two words", 2),
        ("zażółć\u00a0gęślą\njaźń", 3),
        ("слово за словом", 3),
        ("한국어 위키백과", 2),
        ("שלום עולם", 2),
        ("हिन्दी भाषा", 2),
        ("東京", 2),
        ("in 東京", 3),
        ("in東京at", 4),
        ("東京 2020", 3),
        ("カード、本", 5),  # the comma stands by itself, as it would between spaces
        ("ไทย", 3),
        ("😀 x", 2),
        ("𠀀𠀁y", 3),
        ("e\u0301 a", 2),
    ],
)
def test_counts(text: str, words: int) -> None:
    assert count_words(text) == words


@pytest.mark.parametrize("name", BLOCKS)
def test_every_character_of_a_script_without_spaces_is_a_word(name: str) -> None:
    first, last = BLOCKS[name]
    for code in range(first, last + 1):
        assert count_words(f"a{chr(code)}b") == 3, hex(code)


def is_unspaced(character: str) -> bool:
    return any(first <= ord(character) <= last for first, last in BLOCKS.values())


letters = st.sampled_from("aąяב한ह😀e\u0301.–") | st.sampled_from(
    [chr(code) for first, last in BLOCKS.values() for code in (first, last)]
)


@given(st.text(st.one_of(letters, st.sampled_from(" \n\u00a0\u3000")), max_size=30))
def test_it_is_as_though_spaces_stood_around_each_of_them(text: str) -> None:
    spread = "".join(f" {character} " if is_unspaced(character) else character for character in text)
    assert count_words(text) == len(spread.split())


@given(st.lists(st.text(letters, min_size=1, max_size=8), max_size=8))
def test_words_of_parts_add_up(parts: list[str]) -> None:
    assert count_words(" ".join(parts)) == sum(map(count_words, parts))
