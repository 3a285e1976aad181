"""What counts as a word, in scripts with and without spaces."""

from __future__ import annotations

import bz2
import html
import re
import unicodedata
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ulmfit.corpus.cleaning import text_key
from ulmfit.corpus.filtering.shingles import units_of
from ulmfit.corpus.words import UNSPACED, characters, count_words, words_of

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


def test_every_assigned_character_outside_of_private_planes_is_among_the_characters() -> None:
    left_out = set(range(0x110000)) - set(characters(0x10FFFF))
    assert len(left_out) > 800_000
    assert {unicodedata.category(chr(code)) for code in left_out} == {"Cn", "Co"}
    assert list(characters(3)) == [0, 1, 2, 3]


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
        ("กินข้าว", 5),  # vowel signs and tones belong to their consonants
        ("葛\U000e0100城\u200b市", 3),
        ("พ.ศ. ๒๕๖๓", 5),
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
        if unicodedata.category(chr(code))[0] in "LS":
            assert count_words(f"a{chr(code)}b") == 3, hex(code)


def is_unspaced(character: str) -> bool:
    return any(first <= ord(character) <= last for first, last in BLOCKS.values())


letters = st.sampled_from("aąяב한ह😀e\u0301.–") | st.sampled_from(
    [chr(code) for first, last in BLOCKS.values() for code in (first, last)]
)
unmarked = letters.filter(lambda character: unicodedata.category(character)[0] != "M")


@given(st.text(st.one_of(unmarked, st.sampled_from(" \n\u00a0\u3000")), max_size=30))
def test_it_is_as_though_spaces_stood_around_each_of_them(text: str) -> None:
    spread = "".join(f" {character} " if is_unspaced(character) else character for character in text)
    assert count_words(text) == len(spread.split())


@given(st.lists(st.text(letters, min_size=1, max_size=8), max_size=8))
def test_words_of_parts_add_up(parts: list[str]) -> None:
    assert count_words(" ".join(parts)) == sum(map(count_words, parts))


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("Don't stop — 3.5 a_b!", ["Don", "t", "stop", "3", "5", "a_b"]),
        ("हिन्दी में किताब", ["हिन्दी", "में", "किताब"]),
        ("ကျွန်တော်", ["ကျွ", "န်", "တော်"]),
        ("שָׁלוֹם עֲלֵיכֶם", ["שָׁלוֹם", "עֲלֵיכֶם"]),
        ("ọ̀rẹ́ Ọ̀ṣun", ["ọ̀rẹ́", "Ọ̀ṣun"]),
        ("می\u200cخواهم", ["میخواهم"]),
        ("soft\u00adhyphen a\u200bb", ["softhyphen", "a", "b"]),
        ("in東京at กิa ๒๕๖๓", ["in", "東", "京", "at", "กิ", "a", "๒๕๖๓"]),
        ("❤\ufe0fDanke \u0301", ["Danke"]),
        ("", []),
    ],
)
def test_words_keep_their_marks(text: str, words: list[str]) -> None:
    assert words_of(text) == words


def reference(text: str) -> list[str]:
    """Return the words of a text by the rules, a character at a time."""
    found: list[str] = []
    before = "nothing"
    for character in text:
        category = unicodedata.category(character)
        if category == "Cf" and character != "\u200b":
            continue
        if category[0] == "M":
            if before != "nothing":
                found[-1] += character
            continue
        kind = "letter" if category[0] in "LN" or character == "_" else "nothing"
        kind = "alone" if kind == "letter" and UNSPACED.match(character) else kind
        if kind == "letter" and before == "letter":
            found[-1] += character
        elif kind != "nothing":
            found.append(character)
        before = kind
    return found


@given(st.text(letters | st.sampled_from("ิ้๒\u200d\u200b\ufe0f_1²、 ")) | st.text())
def test_words_follow_the_rules(text: str) -> None:
    text = unicodedata.normalize("NFC", text)
    assert words_of(text) == reference(text)
    assert count_words(" ".join(words_of(text))) == len(words_of(text))


def minidumps() -> list[Path]:
    return sorted((Path(__file__).parents[3] / "shared/data/dumps/minidumps").glob("*.xml.bz2"))


@pytest.mark.parametrize("path", minidumps() or [None], ids=lambda path: path and path.name.split(".")[0])
def test_every_language_has_one_definition_of_a_word(path: Path | None) -> None:
    """Copies, keys and sizes count the same words, and no mark is left outside of one."""
    if path is None:
        pytest.skip("../shared/data/dumps/minidumps is not there")
    xml = bz2.decompress(path.read_bytes()).decode()
    texts = re.findall(r"<text[^>]*>([^<]+)</text>", xml)
    text = unicodedata.normalize("NFC", html.unescape("\n".join(texts)))[:200_000]
    assert words_of(text) == reference(text)
    folded = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", text).casefold())
    words = words_of(folded)
    assert words
    assert count_words(" ".join(words)) == len(words)
    assert text_key(text).split(" ") == words_of(unicodedata.normalize("NFKC", text).casefold())
    units = units_of(text)
    assert len(units) == len(words)
    assert [spelled.decode("utf-32-le") for spelled in units.spelled(0, len(units))] == words
