"""Cleaning of texts, and what is done to wikitext around wikiextractor."""

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ulmfit.corpus.cleaning import (
    normalise,
    text_key,
    tidied,
    unescape_once,
    without_empty_brackets,
    without_gaps,
    without_title,
)
from ulmfit.corpus.dumps.redirects import redirect_target
from ulmfit.corpus.wikiextractor import wikitext


@pytest.mark.parametrize(
    ("raw", "clean"),
    [
        ("Rome () is", "Rome is"),
        ("Rome ( ; ) is", "Rome is"),
        ("Rome ( , ) is", "Rome is"),
        ("Rome ([]) is", "Rome is"),
        ("Rome (, , born 1950) is", "Rome (born 1950) is"),
        ("Rome (Latin; ) is", "Rome (Latin) is"),
        ("Rome ( Latin ) is", "Rome (Latin) is"),
        ("Rome ((; ) (– ( / ))) is (()x)", "Rome is (x)"),
        ("Rome (:\n) is", "Rome is"),
        ("柏林（；）是（，首都、）", "柏林是（首都）"),
        ("روما (، ؛ ) مدينة", "روما مدينة"),
        ("Москва() стоит", "Москва стоит"),
        ("((a) ()) and b) (", "((a)) and b) ("),
        ("call f() or g(x)", "call f() or g(x)"),
        ("a (1–2) b (a; b)", "a (1–2) b (a; b)"),
        ("smile :) and (:", "smile :) and (:"),
    ],
)
def test_empty_brackets(raw: str, clean: str) -> None:
    assert without_empty_brackets(raw) == clean


@given(st.text())
def test_normalise_is_idempotent_and_nfc(text: str) -> None:
    once = normalise(text)
    assert normalise(once) == once
    assert once == unicodedata.normalize("NFC", once)
    assert "\n\n" not in once
    once.encode("utf-8")


@given(st.text())
def test_no_rule_joins_words_at_white_space(text: str) -> None:
    """Whatever is deleted, what stood between white spaces still does."""
    words = [kept for word in text.split() if (kept := normalise(word))]
    assert normalise(text).split() == words


@pytest.mark.parametrize("space", [chr(code) for code in range(0x3001) if chr(code).isspace()])
def test_both_cleanings_keep_every_white_space(space: str) -> None:
    assert normalise(f"one{space}two").split() == tidied(f"one{space}two").split() == ["one", "two"]


@pytest.mark.parametrize(
    ("raw", "closed"),
    [
        ("area of .", "area of."),
        ("area of , or .\nMore", "area of, or.\nMore"),
        ("Rome, , , is", "Rome, is"),
        ("Rome, .", "Rome."),
        ("It ended. , they say. .", "It ended. they say."),
        ("柏林、、首都", "柏林、首都"),
        ("costs .5 of .NET ,x", "costs .5 of .NET ,x"),
        ("life . . . goes on . . .", "life . . . goes on . . ."),
        ("wait ... and ..", "wait ... and .."),
    ],
)
def test_gaps_before_stops(raw: str, closed: str) -> None:
    assert without_gaps(raw) == closed


def test_tidied() -> None:
    assert (
        tidied("Zu\u0308rich ( ; ) ist\u00a0 die\u200e Stadt .\r\n\n () \n x\t") == "Zürich ist die Stadt.\nx"
    )
    assert (
        tidied("Donau\u00addampf می\u200cخواهم क्\u200dष ភាសា\u200bខ្មែរ")
        == "Donaudampf می\u200cخواهم क्\u200dष ភាសា\u200bខ្មែរ"
    )


BRACKETS = st.text(alphabet="()[]（） .,;:،、，\n a1é\u0301\u200e\xa0–-/\x00\xadx\t\r")


@given(st.one_of(BRACKETS, st.text()))
def test_tidied_is_idempotent_and_nfc(text: str) -> None:
    once = tidied(text)
    assert tidied(once) == once
    assert once == unicodedata.normalize("NFC", once)
    assert normalise(once) == once


@pytest.mark.parametrize(
    "unit", ["(", ")", "()", "(: ", " ,", ", ,", " .", ". .", "（", "[", "[ ]", "(()", ",", " "]
)
def test_tidying_a_megabyte_comes_to_an_end(unit: str) -> None:
    assert tidied(unit * (1_000_000 // len(unit)) + "\nlast words").endswith("last words")
    nested = f"first {unit * 10_000}x{unit[::-1].translate(str.maketrans('([', ')]')) * 10_000}\nlast words"
    assert tidied(nested).startswith("first")


def test_normalise() -> None:
    assert normalise("  Zażo\u0301łć\t x \r\n\r\n \n y\ufeff\x00") == "Zażółć x\ny"


def test_titles_and_references() -> None:
    assert without_title("Rome\nText", "Rome") == "Text"
    assert without_title("Rome is\nText", "Rome") == "Rome is\nText"
    assert unescape_once("AT&amp;amp;T &lt;b&gt;") == "AT&amp;T <b>"
    assert text_key("Ala, ma KOTA!\n") == text_key("ala ma\u00a0kota") == "ala ma kota"
    assert text_key("किला, काला!") != text_key("कला काली") != text_key("कल कल")
    assert text_key("soft\u00adhyphen") == text_key("Softhyphen")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("#REDIRECT [[X]]", True),
        ("#redirect[[X]]", True),
        (" # WEITERLEITUNG: [[X]]", True),
        ("#ПЕРЕНАПРАВЛЕНИЕ [[X]]", True),
        ("#تحويل [[س]]", True),
        ("#转送 [[X]]", True),
        ("# Item [[X]] and more", False),
        ("# [[X]]", False),
        ("text #REDIRECT [[X]]", False),
    ],
)
def test_redirects(text: str, expected: bool) -> None:
    assert (redirect_target(text) is not None) is expected


def test_list_items_are_marked_outside_templates_only_where_safe() -> None:
    text = "* a\n** b\n:# c\n: d\n{{Box\n|x =\n* e\n# f\n}}\n; g\n:{| class\n|}\n*{|\nplain"
    kept = wikitext.marked_lines(text).split("\n")
    mark = wikitext.ITEM
    assert kept[:4] == [f"{mark}a", f"{mark}b", f"{mark}c", ": d"]
    assert kept[6:8] == [f"{mark}e", "# f"]
    assert kept[9] == f"{mark}g"
    assert kept[10:] == [":{| class", "|}", "*{|", "plain"]


@given(st.text(alphabet="*#;: ab\n{}|[]"))
def test_marks_leave_no_trace_and_change_lines_only_at_their_beginning(text: str) -> None:
    marked = wikitext.marked_lines(text).split("\n")
    for before, after in zip(text.split("\n"), marked, strict=True):
        assert before.endswith(wikitext.unmarked(after))


def test_entities_that_wikiextractor_does_not_know() -> None:
    assert wikitext.known_entities("it&apos;s &hellip; &zcaron; &lbrack; &vert; &unknown;") == (
        "it's &hellip; ž &lbrack; &vert; &unknown;"
    )
