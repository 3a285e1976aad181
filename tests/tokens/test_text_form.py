"""What SentencePiece sees of a text can always be read back."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from texts_for_tests import any_texts

from ulmfit.pipeline.errors import InputError
from ulmfit.tokens.marks import MAJ, MARK_NAMES, REP, REPEAT_MARK_NAMES, UP, WREP, normalize
from ulmfit.tokens.text_form import Rules, TextForm, read_rules

ALL_RULES = st.builds(
    Rules,
    language=st.sampled_from(["de", "tr", "el", "az-Latn", "ff", "ja"]),
    marks=st.booleans(),
    repeats=st.booleans(),
)
EVERYTHING = Rules(language="de", repeats=True)
MARKS = "".join({**MARK_NAMES, **REPEAT_MARK_NAMES})


@given(any_texts, ALL_RULES)
def test_reading_inverts_writing(text, rules):
    form = TextForm(rules)
    assert form.read(form.write(text)) == normalize(text)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("SOOOO", "⟨up⟩ s⟨rep⟩4o"),
        ("Aaaaa!!!!", "⟨maj⟩ ⟨rep⟩5a⟨rep⟩4!"),
        ("so Ha Ha Ha", " so⟨wrep⟩ 3⟨maj⟩ ha"),
        ("NEIN NEIN NEIN", "⟨wrep⟩ 3⟨up⟩ nein"),
        ("HAAAA HAAAA HAAAA", "⟨wrep⟩ 3⟨up⟩ h⟨rep⟩4a"),
        ("ΣΣΣΣΣ", "⟨up⟩ ⟨rep⟩4σς"),
        ("aaaaB", " ⟨rep⟩4aB"),
        ("  a\u00a0a\na ", "⟨wrep⟩ 3 a"),
        ("", ""),
    ],
)
def test_marks_of_several_kinds(text, expected):
    written = TextForm(EVERYTHING).write(text)
    for mark, name in {MAJ: "maj", UP: "up", REP: "rep", WREP: "wrep"}.items():
        written = written.replace(mark, f"⟨{name}⟩")
    assert written == expected


@given(any_texts, any_texts)
def test_words_are_written_singly_as_in_a_text(first, second):
    form = TextForm(EVERYTHING)
    words = normalize(f"{first} {second}").split()
    assert form.write_words("".join(f" {word}" for word in words)) == "".join(
        form.write_words(f" {word}") for word in words
    )


@given(st.text(alphabet=f"{MARKS} aBß.12"))
def test_what_a_language_model_writes_has_no_marks_in_the_end(text):
    assert not set(MARKS) & set(TextForm(EVERYTHING).read(text))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"marks": 1}, "marks"),
        ({"language": None}, "language"),
        ({"repeats": "no", "marks": None}, "marks and rep"),
    ],
)
def test_rules_that_are_not_there(tmp_path, changes, message):
    with pytest.raises(InputError, match=message):
        read_rules(
            {"language": "de", "marks": True, "repeats": False, **changes}, tmp_path / "tokenizer.json"
        )
