"""What is done to texts before their normal form, and what a tokenizer says of it."""

from __future__ import annotations

import json
from pathlib import Path

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from texts_for_tests import any_texts

from ulmfit.corpus.words import count_words
from ulmfit.pipeline.errors import InputError
from ulmfit.tokens import text_form
from ulmfit.tokens.given_model import tokenizer_of_model
from ulmfit.tokens.loading import load_tokenizer
from ulmfit.tokens.marks import normalize
from ulmfit.tokens.reading import mend_html
from ulmfit.tokens.sentencepiece_training import TrainingLines, train_tokenizer
from ulmfit.tokens.text_form import Rules, TextForm
from ulmfit.tokens.tokenizer import Tokenizer
from ulmfit.tokens.word_encoding import WordEncoder
from ulmfit.tokens.words_training import train_words_tokenizer

PLAIN = Rules(language="de")
MULTIFIT = Rules(language="de", repeats=True, moses=True, html=True, nfkc=True)
READINGS = st.builds(
    Rules,
    language=st.sampled_from(["de", "en-GB", "ja", "qaa"]),
    marks=st.booleans(),
    repeats=st.booleans(),
    moses=st.booleans(),
    html=st.booleans(),
    nfkc=st.booleans(),
)
TEXT = 'Das Haus, z. B. "alt" & klein. Und so soooo schön!\nEin ﬁlm (neu).'


def trained(rules: Rules) -> Tokenizer:
    return train_tokenizer([TEXT] * 4, rules, vocab_size=90, character_coverage=1)


@pytest.mark.parametrize(
    ("rules", "expected"),
    [
        (PLAIN, 'Das Haus, z. B. "alt" & klein. Und so soooo schön! Ein ﬁlm (neu).'),
        (
            PLAIN.changed(moses=True),
            "Das Haus , z. B. &quot; alt &quot; &amp; klein . Und so soooo schön ! Ein ﬁlm ( neu ) .",
        ),
        (MULTIFIT, "Das Haus , z. B. &' alt &' && klein . Und so soooo schön ! Ein film ( neu ) ."),
    ],
)
def test_the_normal_form_follows_the_rules(rules: Rules, expected: str) -> None:
    assert TextForm(rules).normal(TEXT) == expected


def test_each_line_is_tokenised_on_its_own() -> None:
    form = TextForm(PLAIN.changed(moses=True))
    assert form.normal("etwa z. B.\nhier") == "etwa z. B. hier"
    assert form.normal("am Ende.\nklein") == "am Ende . klein"
    assert form.normal("am Ende. klein") == "am Ende. klein"


def test_words_are_counted_before_the_steps() -> None:
    texts = ["z.B. ein Haus", "昨天 in 東京", ""]
    encoded = WordEncoder(trained(PLAIN.changed(nfkc=True, html=True))).encode(pa.array(texts))
    assert encoded.words.tolist() == list(map(count_words, texts)) == [3, 5, 0]


@pytest.mark.parametrize(
    ("text", "mended"),
    [
        ("caf&eacute; &#36;5 &#8230;", "café &$5 …"),
        ("it#39;s amp; a<br />b\\nc", "it's & a\nb\nc"),
        ("5 @,@ 000 @-@ mal", "5,000-mal"),
        ("a\\b &nbsp;c", "a \\ b & c"),
        ("<unk>", "<unk>"),
    ],
)
def test_html_is_mended_as_fastai_v1_does(text: str, mended: str) -> None:
    assert mend_html(text) == mended


@settings(max_examples=60)
@given(any_texts, READINGS)
def test_reading_gives_back_the_normal_form_of_what_was_written(text: str, rules: Rules) -> None:
    form = TextForm(rules)
    normal = form.normal(text)
    assert normalize(normal) == normal
    assert form.read(form.write(text)) == normal


def test_a_tokenizer_decodes_to_the_normal_form_and_samples_it() -> None:
    tokenizer = train_tokenizer([TEXT] * 4, MULTIFIT, vocab_size=360, byte_fallback=True)
    texts = [TEXT, "", "Neu: „x“ < 3 …", "so so so aaaaa!"]
    expected = [tokenizer.form.normal(text) for text in texts]
    assert [tokenizer.decode(ids) for ids in tokenizer.encode(texts)] == expected
    assert [tokenizer.decode(ids) for ids in tokenizer.sample(texts, 0.2, 1)] == expected


def test_words_are_those_of_the_normal_form() -> None:
    tokenizer, _ = train_words_tokenizer([TEXT] * 4, MULTIFIT, vocab_size=60, min_count=1)
    assert tokenizer.decode(tokenizer.encode([TEXT])[0]) == tokenizer.form.normal(TEXT)
    assert "▁," in tokenizer.vocabulary and "," not in tokenizer.vocabulary


def test_a_sign_after_a_word_is_a_piece_of_its_own_with_released_pieces() -> None:
    model = trained(PLAIN.changed(moses=True))._model
    pieces = {}
    for name, rules in (("own", PLAIN), ("multifit", MULTIFIT)):
        tokenizer = tokenizer_of_model(model, rules)
        ids = tokenizer.encode(["haus,"])[0][1:]
        pieces[name] = "".join(tokenizer.vocabulary[index] for index in ids)
    assert pieces == {"own": "▁haus,", "multifit": "▁haus▁,"}


def test_words_are_counted_in_the_raw_text() -> None:
    from ulmfit.tokens.word_encoding import WordEncoder, arrow_strings

    encoder = WordEncoder(trained(MULTIFIT))
    assert encoder.encode(arrow_strings([TEXT, ""])).words.tolist() == [len(TEXT.split()), 0]


def test_training_reads_whole_lines_in_their_normal_form() -> None:
    form = TextForm(MULTIFIT)
    lines = list(TrainingLines([TEXT, "a &#9605; b"], form))
    assert lines == [*map(form.write, TEXT.split("\n")), " a && # 9605 ; b"]
    assert list(TrainingLines(["a &#9605; b"], TextForm(PLAIN.changed(html=True)))) == [" a b"]


def test_the_folder_says_what_is_done_to_texts(tmp_path: Path) -> None:
    tokenizer = trained(MULTIFIT)
    tokenizer.save(tmp_path)
    description = json.loads((tmp_path / "tokenizer.json").read_text())
    assert {name: description[name] for name in ("moses", "html", "nfkc")} == dict.fromkeys(
        ("moses", "html", "nfkc"), True
    )
    assert "Moses" in description["rules"][0]
    loaded = load_tokenizer(tmp_path)
    assert loaded.encode([TEXT])[0].tolist() == tokenizer.encode([TEXT])[0].tolist()
    assert loaded.fingerprint() == tokenizer.fingerprint()


def test_steps_that_are_not_taken_are_not_named(tmp_path: Path) -> None:
    trained(PLAIN).save(tmp_path)
    assert not {"moses", "html", "nfkc", "moses_version"} & set(
        json.loads((tmp_path / "tokenizer.json").read_text())
    )


def test_another_version_of_moses_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    trained(MULTIFIT).save(tmp_path)
    monkeypatch.setattr(text_form, "moses_version", lambda: "9.9")
    with pytest.raises(InputError, match=r"made with sacremoses .*, installed is 9\.9"):
        load_tokenizer(tmp_path)


def test_the_fingerprint_tells_readings_apart() -> None:
    model = trained(PLAIN)._model
    marks = [tokenizer_of_model(model, PLAIN.changed(**one)) for one in ({}, {"nfkc": True}, {"moses": True})]
    assert len({tokenizer.fingerprint() for tokenizer in marks}) == 3
    assert len({json.dumps(tokenizer.vocabulary) for tokenizer in marks}) == 1
