"""Units and windows, against a plain reading of the rules one character at a time."""

from __future__ import annotations

import unicodedata

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ulmfit.corpus.filtering import shingles
from ulmfit.corpus.filtering.shingles import Units, units_of, windows, windows_of_lengths

LETTERS = "aBžßЖéÉ中々ーのກกิ여ﬁ½２7٣\u0301\u094dह\u00ad\u200d…, .-_\n"
WITHOUT_SPACES = (
    *("THAI ", "LAO ", "TIBETAN ", "MYANMAR ", "KHMER ", "TAI LE ", "NEW TAI LUE ", "TAI THAM "),
    *("BALINESE ", "JAVANESE ", "HIRAGANA ", "KATAKANA", "HENTAIGANA ", "VERTICAL KANA ", "BOPOMOFO "),
    *(
        "CJK UNIFIED IDEOGRAPH",
        "CJK COMPATIBILITY IDEOGRAPH",
        "IDEOGRAPHIC ITERATION",
        "IDEOGRAPHIC CLOSING",
        "IDEOGRAPHIC NUMBER",
    ),
)
"""How Unicode's names of the characters of scripts without spaces begin."""


def stands_alone(character: str) -> bool:
    """Whether a character is a word of its own, by its name and category."""
    category = unicodedata.category(character)
    name = unicodedata.name(character, "")
    return category[0] in "LN" and category != "Nd" and name.startswith(WITHOUT_SPACES)


def words(units: Units) -> list[str]:
    return [spelled.decode("utf-32-le") for spelled in units.spelled(0, len(units))]


def reference(text: str) -> list[str]:
    """Return the units of a text; ALONE are the characters of scripts without spaces."""
    found: list[str] = []
    before = "separator"
    for character in text:
        for folded in unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", character).casefold()):
            category = unicodedata.category(folded)
            if category == "Cf" and folded != "\u200b":
                continue
            kind = {"L": "letter", "N": "letter", "M": "mark"}.get(category[0], "separator")
            kind = "letter" if folded == "_" else kind
            kind = "alone" if stands_alone(folded) else kind
            if kind == "mark" and before == "separator":
                continue
            if kind == "separator":
                before = kind
                continue
            begins = before == "separator" or kind == "alone" or (before == "alone" and kind == "letter")
            found += [folded] if begins else []
            found[-1] += "" if begins else folded
            before = before if kind == "mark" else kind
    return found


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Straße, STRASSE (1.234)", ["strasse", "strasse", "1", "234"]),
        ("soft\u00adhyphen \u200ea\u200db\u200e", ["softhyphen", "ab"]),
        ("हिन्दी में", ["हिन्दी", "में"]),
        ("2003年、東京でＵＮＥＳＣＯ", ["2003", "年", "東", "京", "で", "unesco"]),
        ("กินข้าว", ["กิ", "น", "ข้", "า", "ว"]),
        ("กิa ก_1", ["กิ", "a", "ก", "_1"]),
        ("❤\ufe0f a\u200bb \u0301c", ["a", "b", "c"]),
        ("서울은 크다", ["서울은", "크다"]),
        ("", []),
        ("…!", []),
    ],
)
def test_units(text: str, expected: list[str]) -> None:
    assert words(units_of(text)) == expected


@settings(max_examples=300, deadline=None)
@given(st.text(alphabet=LETTERS, max_size=60) | st.text(max_size=40))
def test_units_follow_the_rules(text: str) -> None:
    text = unicodedata.normalize("NFC", text)
    units = units_of(text)
    expected = reference(text)
    assert words(units) == expected
    assert units.numbers().tolist() == [
        all(unicodedata.category(c) == "Nd" for c in word) for word in expected
    ]
    assert len(set(units.hashes.tolist())) == len(set(expected))


def test_golden_hashes() -> None:
    """What deduplication removes depends on these values."""
    hashes = units_of("Ein Test").hashes
    assert hashes.tolist() == [0xD3845590CC3231CF, 0x45C725B8A402234A]
    assert windows(hashes, 2).tolist() == [0xE5FBD85C4B515151]


def test_every_character_folds_to_characters_that_stay() -> None:
    tables = shingles._tables()
    for code in np.flatnonzero(tables.kinds == shingles.EXPANDED):
        folded = shingles._folded(chr(code))
        assert (tables.kinds[[ord(character) for character in folded]] != shingles.EXPANDED).all(), hex(code)


def test_unicode_names_the_characters_that_stand_alone() -> None:
    tables = shingles._tables()
    assigned = np.flatnonzero(tables.kinds[:0x40000] != shingles.EXPANDED)
    folds, alone = tables.folds[assigned].tolist(), (tables.kinds[assigned] == shingles.ALONE).tolist()
    wrong = [
        hex(fold) for fold, is_alone in zip(folds, alone, strict=True) if stands_alone(chr(fold)) != is_alone
    ]
    assert not wrong


@settings(max_examples=100, deadline=None)
@given(st.lists(st.text(alphabet=LETTERS.replace("\n", ""), max_size=20), max_size=12), st.integers(21, 60))
def test_long_texts_are_read_in_pieces(lines: list[str], characters: int) -> None:
    text = "\n".join(lines)
    whole = units_of(text)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(shingles, "PIECE_CHARACTERS", characters)
        pieces = units_of(text)
    assert words(pieces) == words(whole)
    assert (pieces.hashes == whole.hashes).all()
    assert pieces.length_of(3) == whole.length_of(3)
    assert (pieces.numbers() == whole.numbers()).all()


def test_a_piece_without_an_end_of_line_is_cut_all_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shingles, "PIECE_CHARACTERS", 5)
    assert words(units_of("ab cd ef gh")) == ["ab", "cd", "ef", "g", "h"]
    assert words(units_of("x" * 12)) == ["xxxxx", "xxxxx", "xx"]


@settings(max_examples=100, deadline=None)
@given(st.lists(st.sampled_from("abc"), max_size=30), st.sets(st.integers(1, 9), min_size=1))
def test_windows_differ_where_their_units_do(letters: list[str], lengths: set[int]) -> None:
    hashes = units_of(" ".join(letters)).hashes
    rising = sorted(lengths)
    for length, found in zip(rising, windows_of_lengths(hashes, rising), strict=True):
        assert (found == windows(hashes, length)).all()
        grams = [tuple(letters[start : start + length]) for start in range(len(letters) - length + 1)]
        assert len(found) == len(grams)
        assert len(set(found.tolist())) == len(set(grams))
        assert len(dict(zip(found.tolist(), grams, strict=True))) == len(set(grams))


def test_two_characters_count_as_a_word_where_there_are_no_spaces() -> None:
    assert units_of("東京 UNESCO").length_of(8) == 16
    assert units_of("UNESCO 東").length_of(8) == 8
