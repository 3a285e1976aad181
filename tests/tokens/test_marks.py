"""The normal form of texts and the marks for capitals."""

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st
from texts_for_tests import any_texts

from ulmfit.tokens.casing import Marker
from ulmfit.tokens.marks import (
    MAJ,
    REP,
    REPLACEMENT,
    UP,
    WREP,
    are_normal_words,
    normalize,
    without_half_surrogates,
)

SCRIPTS = st.sampled_from(
    ["de", "tr", "az-Latn", "el", "ru", "ff", "hr", "ka", "ar", "hi", "ja", "chr", "lt", "en"]
)
LETTERS = "aAbBiIıİßẞǄǅǆſΣσςÉéÅ\u212a\u0345\u0301ﬁŉАяѝᾼᾳ𞤀𞤢𐐀𐐨ᲐაᎠꭰℂ𝐀Ⅳͅΐꟊ日あ5²_-.' \u200d"
LETTERS += "\u00ad\ufe0f\u0323\u093f\U000e0100\u20e3"
TEXTS = st.one_of(
    st.text(), st.text(alphabet=LETTERS), st.text(alphabet=st.characters(categories=["Lu", "Ll", "Lt"]))
)


def shown(language: str, text: str) -> str:
    return Marker(language).mark(f" {normalize(text)}").replace(MAJ, "⟨maj⟩").replace(UP, "⟨up⟩")


@pytest.mark.parametrize(
    ("language", "text", "expected"),
    [
        ("pl", "Łódź", "⟨maj⟩ łódź"),
        ("pl", "ŁÓDŹ", "⟨up⟩ łódź"),
        ("ru", "РОССИЯ и Россия", "⟨up⟩ россия и⟨maj⟩ россия"),
        ("tr", "İstanbul Irak IRAK İİ", "⟨maj⟩ istanbul⟨maj⟩ ırak⟨up⟩ ırak⟨up⟩ ii"),
        ("tr-TR", "İstanbul", "⟨maj⟩ istanbul"),
        ("de", "İstanbul", " İstanbul"),
        ("de", "Straße STRASSE STRAßE", "⟨maj⟩ straße⟨up⟩ strasse STRAßE"),
        ("el", "Σίσυφος ΣΊΣΥΦΟΣ ΣΑΣ. Σ", "⟨maj⟩ σίσυφος⟨up⟩ σίσυφος⟨up⟩ σας.⟨maj⟩ σ"),
        ("hr", "ǅep Ǆep ǄEP", " ǅep⟨maj⟩ ǆep⟨up⟩ ǆep"),
        ("ff", "𞤀𞤣𞤤𞤢𞤥 𞤀𞤁", "⟨maj⟩ 𞤢𞤣𞤤𞤢𞤥⟨up⟩ 𞤢𞤣"),
        ("en", "McDonald iPhone (Ann) A B2B", " McDonald iPhone (⟨maj⟩ann)⟨maj⟩ a⟨maj⟩ b2⟨maj⟩b"),
        ("en", "xxmaj ann ℂ 日本", " xxmaj ann ℂ 日本"),
        ("yo", "Ọ̀RẸ́ Ọ̀rẹ́ ọ̀RẸ́", "⟨up⟩ ọ̀rẹ́⟨maj⟩ ọ̀rẹ́ ọ̀RẸ́"),
        ("de", "DONAU\u00adDAMPF Auf\u200clage", "⟨up⟩ donau\u00addampf⟨maj⟩ auf\u200clage"),
        ("de", "❤️Danke 1️⃣Platz 😀️Gut", " ❤️⟨maj⟩danke 1️⃣⟨maj⟩platz 😀️⟨maj⟩gut"),
    ],
)
def test_marks_of_known_words(language, text, expected):
    assert shown(language, text) == expected


@given(TEXTS, SCRIPTS)
def test_unmark_inverts_mark(text, language):
    marker = Marker(language)
    text = normalize(text)
    assert marker.unmark(marker.mark(text)) == text
    assert marker.unmark(marker.mark(f" {text}")) == f" {text}"


@given(TEXTS)
def test_normal_form(text):
    normal = normalize(text)
    assert normalize(normal) == normal
    assert unicodedata.is_normalized("NFC", normal)
    assert normal == " ".join(normal.split())
    normal.encode()
    assert not {MAJ, UP, REP, WREP, "\u2581"} & set(normal)
    assert not any(unicodedata.category(character) == "Cc" for character in normal)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (" a\u00a0b\u3000\r\n\tc\u2028", "a b c"),
        ("a\x00b\x85c", "a b c"),
        ("e\u0301", "é"),
        ("▁", "_"),
        (f"{MAJ}a{UP}\ud800", f"{REPLACEMENT}a{REPLACEMENT}{REPLACEMENT}"),
        (f"{REP}4o{WREP}", f"{REPLACEMENT}4o{REPLACEMENT}"),
        ("ﬁ ² … \u200b x", "ﬁ ² … \u200b x"),
        ("", ""),
    ],
)
def test_normal_form_of_known_texts(text, expected):
    assert normalize(text) == expected


@given(any_texts)
def test_the_normal_form_is_the_words_normal_forms(text):
    """What stands between white space is normalised on its own."""
    words = [word for raw in text.split() for word in normalize(raw).split()]
    assert normalize(text) == " ".join(words)
    assert all(are_normal_words([word]) for word in words)


@given(st.lists(st.one_of(st.text(), any_texts).map(lambda text: text.replace(" ", "")), min_size=1))
def test_normal_words_are_told_from_others(words):
    assert are_normal_words(words) == all(word and normalize(word) == word for word in words)


@given(st.text(alphabet=st.characters()))
def test_half_surrogates(text):
    replaced = without_half_surrogates(text)
    replaced.encode()
    assert len(replaced) == len(text)
    assert normalize(replaced) == normalize(text)


@given(st.text(alphabet=f"{MAJ}{UP} aBß.1"))
def test_unmark_takes_any_sequence(text):
    """A language model may write marks anywhere."""
    assert not {MAJ, UP} & set(Marker("de").unmark(text))
