"""The grammar of the invented language: golden inflection tables, and laws that hold for every word."""

import doctest
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ulmfit.toy import grammar
from ulmfit.toy.grammar import CONSONANTS, SUFFIXES, VOWELS, Root, Word, attach, word
from ulmfit.toy.lexicon import lexicon

HOUSE = Root("kamar", "house", "noun")
WATER = Root("vesi", "water", "noun")
BOOK = Root("berek", "book", "noun")
JOY = Root("dögen", "joy", "noun", polarity=1)
PLEASE = Root("molun", "please", "verb", polarity=1)
SEE = Root("köts", "see", "verb")
KIND = Root("tulas", "kind", "adjective", polarity=1)

FIRST_NOUNS = "rüsöl köštün onzu nümyöt zöszür nöböš lüsö ilpö lirbes tillus"
CASES = ("", "ACC", "GEN", "DAT", "LOC", "ABL", "INS", "ESS")


def is_harmonic(form):
    """Whether a form has no back vowel beside a front one."""
    letters = set(form.lower())
    return not (letters & set(grammar.BACK) and letters & set(grammar.FRONT))


def paradigm(root, *labels):
    """Yield every inflected form of a root, or of the stem that derivational labels make of it."""
    by_label = {suffix.label: suffix for suffix in SUFFIXES}
    yield from inflected(Word(root, tuple(by_label[label] for label in labels)))


def inflected(stem):
    if stem.state not in grammar._UNFINISHED:
        yield stem
    for suffix in SUFFIXES:
        if stem.state in suffix.after and not suffix.derives:
            yield from inflected(Word(stem.root, (*stem.suffixes, suffix)))


def test_docstring_examples_are_true():
    result = doctest.testmod(grammar)
    assert result.attempted >= 8
    assert result.failed == 0


@pytest.mark.parametrize(
    ("root", "expected"),
    [
        (HOUSE, "kamar kamarat kamaron kamara kamardaš kamardal kamarvol kamargun"),
        (WATER, "vesi vesit vesiyön vesiye vesideš vesidel vesivöl vesigün"),
        (BOOK, "berek bereget beregön berege berekteš berektel berekvöl berekkün"),
    ],
)
def test_cases(root, expected):
    assert [word(root, case).form for case in CASES] == expected.split()


def forms(root, chains):
    return " ".join(word(root, *chain.split()).form for chain in chains.split(", "))


def test_possessors():
    chains = "1SG.POSS, 2SG.POSS, 3SG.POSS, 1PL.POSS, 2PL.POSS, 3PL.POSS"
    assert forms(HOUSE, chains) == "kamarum kamaruš kamari kamarumut kamarušut kamarin"
    assert forms(WATER, chains) == "vesim vesiš vesisi vesimüt vesišüt vesisin"
    assert forms(BOOK, "PL, PL 1SG.POSS, PL 1SG.POSS ABL") == "bereknek bereknegüm bereknegümdel"


@pytest.mark.parametrize(
    ("labels", "form"),
    [
        (["PRS"], "molunor"),
        (["NEG", "PRS"], "molunzor"),
        (["PST", "1SG"], "molungam"),
        (["NEG", "PST", "1SG"], "molunzogam"),
        (["PASS", "NEG", "FUT", "3PL"], "molunulzošinnak"),
        (["CAUS", "PASS", "PRF"], "molunsatulmot"),
        (["NEG", "COND", "2PL"], "molunzohunušut"),
        (["NEG", "PTCP"], "molunzondi"),
        (["PTCP", "ABSTR", "3SG.POSS"], "molunandinoši"),
        (["AGT", "PL"], "molunučinak"),
        (["NEG", "VN", "ACC"], "molunzomat"),
    ],
)
def test_verb_forms(labels, form):
    assert word(PLEASE, *labels).form == form


def test_voiceless_stems_harden_the_past():
    assert word(SEE, "PST").form == "kötske"
    assert word(SEE, "NEG", "PST").form == "kötszöge"


def test_adjectives():
    chains = "CMP, ADV, ABSTR, STAT NEG PRS, CMP STAT PST 3PL"
    assert forms(KIND, chains) == "tulasbar tulaslo tulasnoš tulaslanzor tulasbarlanganak"


def test_paradigms_have_every_combination_once():
    assert len(list(paradigm(HOUSE))) == 2 * 7 * 8
    assert len(list(paradigm(PLEASE))) == 2 * 2 * 2 * 5 * 6
    assert len(list(paradigm(JOY, "PROP", "STAT"))) == 2 * 2 * 2 * 5 * 6
    assert [made.form for made in paradigm(JOY, "PROP")] == ["dögenlük", "dögenlükber"]
    assert all(word(PLEASE, *[suffix.label for suffix in made.suffixes]) == made for made in paradigm(PLEASE))


def test_negation_turns_the_value_of_every_verb_form_round():
    for made in paradigm(PLEASE):
        negated = "NEG" in made.gloss.split("-")
        assert made.value == (-1 if negated else 1)
        assert ("zo" in made.form) == negated


def test_negation_and_privative_add_up():
    chains = (["PROP"], ["PRIV"], ["PROP", "STAT", "NEG", "PST"], ["PRIV", "STAT", "NEG", "PST"])
    assert [word(JOY, *chain).value for chain in chains] == [1, -1, -1, 1]


@pytest.mark.parametrize(
    "chain", [("LOC", "PL"), ("PST",), ("PL", "PL"), ("3SG.POSS", "1SG.POSS"), ("DAT", "ACC")]
)
def test_impossible_nouns_are_refused(chain):
    with pytest.raises(ValueError, match="cannot follow"):
        word(HOUSE, *chain)


def test_impossible_verbs_are_refused():
    with pytest.raises(ValueError, match="without a tense"):
        word(PLEASE, "NEG")
    with pytest.raises(ValueError, match="cannot follow"):
        word(PLEASE, "PST", "NEG")


@given(data=st.data())
def test_harmony_holds_for_every_word(data):
    made = Word(data.draw(st.sampled_from(lexicon().roots())))
    for _ in range(data.draw(st.integers(0, 9))):
        possible = [suffix for suffix in SUFFIXES if made.state in suffix.after]
        if not possible:
            break
        made = Word(made.root, (*made.suffixes, data.draw(st.sampled_from(possible))))
    assert is_harmonic(made.form)
    assert set(made.form.lower()) <= set(VOWELS + CONSONANTS)
    assert made.form[0].isupper() == (made.root.kind == "name")


@given(st.text("kamešpiö", min_size=2, max_size=8), st.sampled_from(SUFFIXES))
def test_attach_changes_no_sound_but_a_final_k(stem, suffix):
    joined = attach(stem, suffix.shape)
    assert joined.startswith(stem[:-1])
    assert joined[len(stem) - 1] in (stem[-1], "g")
    assert len(joined) > len(stem)


def test_roots_are_many_harmonic_and_none_begins_with_another():
    roots = lexicon().roots()
    forms = sorted(root.form.lower() for root in roots)
    assert len(forms) > 500
    assert all(is_harmonic(form) for form in forms)
    assert not any(later.startswith(earlier) for earlier, later in pairwise(forms))


def test_the_lexicon_is_fixed():
    themes = lexicon().themes
    assert [theme.nouns[0].form for theme in themes] == FIRST_NOUNS.split()
    assert lexicon(2).themes[0].nouns[0] != lexicon(1).themes[0].nouns[0]
