"""The encoding of texts, held against the words one by one."""

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from texts_for_tests import any_texts, corpus, trained

from ulmfit.corpus.words import count_words
from ulmfit.tokens import word_encoding
from ulmfit.tokens.marks import normalize, without_half_surrogates
from ulmfit.tokens.repeats import collapse_words
from ulmfit.tokens.tokenizer import Tokenizer
from ulmfit.tokens.word_encoding import WordEncoder

NAMES = ["de", "tr", "bpe", "plain", "repeats", "bytes", "bpe bytes repeats"]
REPEATING = ["repeats", "bytes repeats", "bpe bytes repeats"]


def by_words(tokenizer: Tokenizer, text: str) -> list[int]:
    """Return what the encoding is defined as."""
    ids = [tokenizer.bos_id]
    words, numbers = collapse_words(normalize(text).split())
    if tokenizer.repetition_id is None:
        words, numbers = normalize(text).split(), []
    for index, word in enumerate(words):
        ids += [tokenizer.repetition_id] * (index in numbers)
        ids += tokenizer.encode_words([word])[0].tolist()
    return ids


@pytest.mark.parametrize("name", NAMES)
@given(texts=st.lists(any_texts, max_size=5))
@example(texts=["", " ", "a", "", "a b\n", "\n"])
@example(texts=["ha ha", "ha ha ha", "ha", "ha"])
@example(texts=["e\u0301\u00a0é \u2003é", "a\x00a a\x00\x00a"])
def test_texts_are_encoded_word_by_word(name, texts):
    encoded = trained(name).encode(texts)
    assert [ids.tolist() for ids in encoded] == [by_words(trained(name), text) for text in texts]
    assert all(ids.dtype == np.int32 for ids in encoded)


@pytest.mark.parametrize("name", REPEATING)
@given(text=any_texts)
def test_one_line_of_sentencepiece_says_the_same(name, text):
    tokenizer = trained(name)
    line = tokenizer._processor.encode(tokenizer.form.write(text))
    assert tokenizer.encode([text])[0].tolist() == [tokenizer.bos_id, *line]


@pytest.mark.parametrize("name", ["de", "bytes repeats"])
@given(text=any_texts)
def test_the_normal_form_has_the_same_ids(name, text):
    first, second = trained(name).encode([text, normalize(text)])
    assert first.tolist() == second.tolist()


@pytest.mark.parametrize("name", ["de", "bytes repeats"])
@given(texts=st.lists(any_texts, min_size=1, max_size=6), rounds=st.integers(1, 4))
def test_what_is_remembered_changes_nothing(name, texts, rounds):
    """Nor do the batches: one encoder for many, with room for three chunks, and a fresh one for each."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(word_encoding, "REMEMBERED_CHUNKS", 3)
        patch.setattr(word_encoding, "BLOCK", 2)
        encoder = WordEncoder(trained(name))
        for _ in range(rounds):
            together = encoder.encode(pa.array(texts, pa.string()))
            assert len(encoder._known) <= 3
    singly = [WordEncoder(trained(name)).encode(pa.array([text], pa.string())) for text in texts]
    assert together.tokens.tolist() == [index for one in singly for index in one.tokens]
    assert np.diff(together.offsets).tolist() == [len(one.tokens) for one in singly]
    assert together.words.tolist() == list(map(count_words, texts))


@given(texts=st.lists(any_texts, max_size=6), first=st.integers(0, 3))
def test_a_slice_of_an_array(texts, first):
    array = pa.array(texts, pa.string())[first:]
    encoded = WordEncoder(trained("de")).encode(array)
    assert len(encoded.offsets) == len(array) + 1
    assert encoded.tokens.tolist() == [i for ids in trained("de").encode(texts[first:]) for i in ids]


def test_remembered_words_are_not_encoded_again(monkeypatch):
    tokenizer = trained("de")
    seen: list[str] = []
    monkeypatch.setattr(
        type(tokenizer),
        "encode_words",
        lambda self, words: seen.extend(words) or (np.full(len(words), 7), np.ones(len(words), int)),
    )
    encoder = WordEncoder(tokenizer)
    encoder.encode(pa.array(["der Hund und der Hund", "und noch ein Hund"], pa.string()))
    assert sorted(seen) == [
        "Hund",
        "Hund",
        "der",
        "ein",
        "noch",
        "und",
    ]  # "Hund" with a space behind, and without
    seen.clear()
    encoder.encode(pa.array(["der Hund und die Katze"], pa.string()))
    assert sorted(seen) == ["Katze", "die"]


def test_the_frequent_chunks_are_remembered(monkeypatch):
    monkeypatch.setattr(word_encoding, "REMEMBERED_CHUNKS", 2)
    encoder = WordEncoder(trained("de"))
    encoder.encode(pa.array([f"a b a c b a d {'x' * 65} " * 3], pa.string()))
    assert encoder._known.text.to_pylist() == [b"a ", b"b "]
    assert encoder._known.hits.tolist() == [9, 6]


def test_half_surrogates_are_replaced():
    text = "a\ud800b \udfff"
    assert (
        trained("bytes").encode([text])[0].tolist()
        == trained("bytes").encode([without_half_surrogates(text)])[0].tolist()
    )
    assert trained("bytes").decode(trained("bytes").encode([text])[0]) == "a\ufffdb \ufffd" == normalize(text)


def test_lists_are_encoded_in_batches(monkeypatch):
    texts = corpus(20)
    together = trained("de").encode(texts)
    monkeypatch.setattr(word_encoding, "LIST_BATCH_CHARACTERS", 400)
    assert [ids.tolist() for ids in trained("de").encode(texts)] == [ids.tolist() for ids in together]
    assert trained("de").encode([]) == []
