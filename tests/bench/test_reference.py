"""Words, their hashes, and recall and precision in order."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from corpus.making import page, write_dump
from hypothesis import given
from hypothesis import strategies as st

from ulmfit.bench.reference import (
    HASH_BYTES,
    Reference,
    Score,
    common_in_order,
    convert,
    load_references,
    score,
    word_hashes,
    words,
)
from ulmfit.pipeline.errors import InputError


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Ala ma 2 koty, nie-psy.", ["Ala", "ma", "2", "koty", "nie", "psy"]),
        ("", []),
        ("  \n— …!", []),
        ("cafe\u0301 = caf\u00e9", ["caf\u00e9", "caf\u00e9"]),
        ("snake_case can't", ["snake", "case", "can", "t"]),
        ("\u0939\u093f\u0928\u094d\u0926\u0940 x\u0302", ["\u0939\u093f\u0928\u094d\u0926\u0940", "x\u0302"]),
        ("in東京に2年", ["in", "東", "京", "に", "2", "年"]),
        ("カナ・ｶﾅ ー", ["カ", "ナ", "ｶ", "ﾅ", "ー"]),
        ("서울 대학", ["서울", "대학"]),
        ("½ Ⅷ ²", ["½", "Ⅷ", "²"]),
        ("\u200dשלום\u200f׳", ["שלום"]),
        ("\U00020000\U00020001a", ["\U00020000", "\U00020001", "a"]),
    ],
)
def test_words(text: str, expected: list[str]) -> None:
    assert words(text) == expected


def test_hashes_are_short_and_fixed() -> None:
    """They stand in files: another hash would make every reference useless."""
    assert word_hashes("Ala ma Ala ala") == ("e2fd97", "ccffae", "e2fd97", "3b2f62")
    assert all(len(one) == 2 * HASH_BYTES for one in word_hashes("jeden dwa trzy"))


def slow_common(one: list[int], other: list[int]) -> int:
    """The textbook's table, to compare with."""
    lengths = [[0] * (len(other) + 1) for _ in range(len(one) + 1)]
    for i, left in enumerate(one):
        for j, right in enumerate(other):
            lengths[i + 1][j + 1] = (
                lengths[i][j] + 1 if left == right else max(lengths[i][j + 1], lengths[i + 1][j])
            )
    return lengths[-1][-1]


items = st.lists(st.integers(0, 4), max_size=90)


@given(items, items)
def test_common_in_order_is_the_longest_common_subsequence(one: list[int], other: list[int]) -> None:
    left, right = list(map(str, one)), list(map(str, other))
    assert common_in_order(left, right) == common_in_order(right, left) == slow_common(one, other)


@pytest.mark.parametrize(
    ("expected", "found", "recall", "precision"),
    [
        ("a b c d", "a b c d", 1, 1),
        ("a b c d", "a b", 0.5, 1),
        ("a b", "a b c d", 1, 0.5),
        ("a b c d", "d c b a", 0.25, 0.25),
        ("a b c d", "x a y c z d", 0.75, 0.5),
        ("a b", "", 0, 1),
        ("", "a", 1, 0),
        ("", "", 1, 1),
        ("a", "A", 0, 0),
    ],
)
def test_scores(expected: str, found: str, recall: float, precision: float) -> None:
    result = score(word_hashes(expected), word_hashes(found))
    assert (result.recall, result.precision) == (recall, precision)


def test_scores_add_up_by_words() -> None:
    total = sum([Score(9, 10, 9), Score(0, 1, 0), Score(0, 0, 3)], Score())
    assert total == Score(9, 11, 12)
    assert (total.recall, total.precision) == (9 / 11, 9 / 12)


def test_the_references_that_come_along_hold_hashes_and_no_text() -> None:
    references = load_references()
    assert len(references) >= 30
    assert len({reference.wiki for reference in references}) >= 8
    for reference in references:
        assert reference.hashes
        assert all(re.fullmatch("[0-9a-f]{6}", one) for one in reference.hashes)
        assert reference.dump.endswith(".xml.bz2")


def test_the_references_are_of_pages_in_the_dumps(shared_data: Path) -> None:
    missing = [
        reference.name
        for reference in load_references()
        if not (shared_data / "dumps" / reference.dump).is_file()
    ]
    assert not missing


def test_a_text_becomes_a_reference(tmp_path: Path) -> None:
    write_dump(tmp_path / "xxwiki.xml.bz2", page("Other", "a", number=6), page("A & B", "b", number=7))
    text = tmp_path / "be-x-old-7.txt"
    text.write_text("xxwiki.xml.bz2\nA & B\nJeden.\n\nDwa dwa\n", encoding="utf-8")
    reference = convert(text, tmp_path)
    assert reference == Reference("be-x-old", "xxwiki.xml.bz2", "7", "A & B", word_hashes("Jeden Dwa dwa"))
    assert reference.name == text.stem
    with pytest.raises(InputError, match="has no page with the id 8 and the title"):
        convert(text.rename(tmp_path / "be-x-old-8.txt"), tmp_path)


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"hashes": 3}', '{"hashes": [], "text": "x"}'])
def test_a_damaged_reference_is_named(content: str, tmp_path: Path) -> None:
    (tmp_path / "xx-1.json").write_text(content, encoding="utf-8")
    with pytest.raises(InputError, match=r"xx-1\.json is no reference") as caught:
        load_references(tmp_path)
    assert "\n" not in str(caught.value)


def test_references_are_read_as_they_were_written(tmp_path: Path) -> None:
    content = {"wiki": "xx", "dump": "d", "page_id": "1", "title": "Ż", "hashes": ["00ff00", "0a0b0c"]}
    (tmp_path / "xx-1.json").write_text(json.dumps(content), encoding="utf-8")
    assert load_references(tmp_path) == [Reference("xx", "d", "1", "Ż", ("00ff00", "0a0b0c"))]
