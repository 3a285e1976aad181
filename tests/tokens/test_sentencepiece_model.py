"""A word's pieces depend on the word alone."""

import random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from texts_for_tests import WORDS, any_texts, corpus, trained

from ulmfit.pipeline.errors import InputError
from ulmfit.tokens.marks import MAJ, normalize
from ulmfit.tokens.sentencepiece_model import (
    LARGEST_EXACT_SUM,
    SCORE_UNIT,
    exact_line_length,
    is_unigram,
    with_exact_sums,
)
from ulmfit.tokens.sentencepiece_tokenizer import SentencePieceTokenizer
from ulmfit.tokens.text_form import Rules

NAMES = ["de", "bpe", "plain", "bytes repeats", "bpe bytes repeats"]


def scores(tokenizer: SentencePieceTokenizer) -> np.ndarray:
    return np.array([tokenizer._processor.get_score(index) for index in range(tokenizer.size)])


@pytest.mark.parametrize("name", NAMES)
@given(texts=st.lists(any_texts, max_size=4))
def test_words_singly_and_many_to_a_line(name, texts):
    tokenizer = trained(name)
    words = normalize(" ".join(texts)).split()
    ids, lengths = tokenizer.encode_words(words)
    singly = [tokenizer.encode_words([word])[0] for word in words]
    assert [len(part) for part in singly] == lengths.tolist()
    assert ids.tolist() == [index for part in singly for index in part]
    assert all(lengths > 0)


@pytest.mark.parametrize("name", NAMES)
def test_sums_stay_exact_in_long_lines(name):
    """Words behind 10,000 others, in lines as long as they may get."""
    tokenizer = trained(name)
    chosen = random.Random(1)
    words = ["".join(chosen.choices("aeinrstuSTΣлж日🦔", k=chosen.randrange(1, 12))) for _ in range(10_000)]
    ids, lengths = tokenizer.encode_words(words)
    ends = np.cumsum(lengths)
    for index in range(0, len(words), 97):
        single, _ = tokenizer.encode_words([words[index]])
        assert np.array_equal(ids[ends[index] - lengths[index] : ends[index]], single)


def test_scores_are_rounded_and_marks_are_ordinary_pieces():
    tokenizer = trained("de")
    assert not (scores(tokenizer) % SCORE_UNIT).any()
    assert tokenizer._processor.get_score(tokenizer._processor.piece_to_id(MAJ)) == 0
    assert with_exact_sums(tokenizer._model) == tokenizer._model


def test_rounding_is_small():
    import io

    import sentencepiece

    model = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(corpus()), model_writer=model, vocab_size=120, minloglevel=3
    )
    raw = sentencepiece.SentencePieceProcessor(model_proto=model.getvalue())
    exact = sentencepiece.SentencePieceProcessor(model_proto=with_exact_sums(model.getvalue()))
    before, after = ([one.get_score(index) for index in range(120)] for one in (raw, exact))
    assert raw.get_piece_size() == exact.get_piece_size() == 120
    assert before != after
    assert np.allclose(before, after, rtol=0, atol=SCORE_UNIT / 2)
    assert [raw.id_to_piece(index) for index in range(120)] == [exact.id_to_piece(i) for i in range(120)]


def test_kinds_of_models():
    assert is_unigram(trained("de")._model)
    assert not is_unigram(trained("bpe")._model)


def test_line_lengths():
    assert exact_line_length([0.0, -14.5]) == int(LARGEST_EXACT_SUM / 24.5)
    with pytest.raises(InputError, match="add up inexactly"):
        exact_line_length([0.0, -14.1])


def test_a_model_with_other_scores_is_refused():
    tokenizer = trained("de")
    index = tokenizer.vocabulary.index("▁der")
    score = np.float32(tokenizer._processor.get_score(index)).tobytes()
    assert score in tokenizer._model
    other = tokenizer._model.replace(score, np.float32(-3.3).tobytes())
    with pytest.raises(InputError, match="add up inexactly"):
        SentencePieceTokenizer(other, Rules(language="de"))


@pytest.mark.parametrize("name", NAMES)
def test_known_words_of_the_corpus(name):
    tokenizer = trained(name)
    ids, lengths = tokenizer.encode_words(WORDS)
    parts = np.split(ids, np.cumsum(lengths)[:-1])
    assert [tokenizer.decode(part) for part in parts] == [normalize(word) for word in WORDS]
