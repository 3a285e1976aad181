"""Another vocabulary for a language model: matched rows are copied exactly, all others are the mean."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from ulmfit.language_model.model import LanguageModel, layer_groups
from ulmfit.language_model.settings import Architecture, Dropouts
from ulmfit.language_model.vocabulary import Vocabulary, VocabularyMatch, adapt_vocabulary
from ulmfit.pipeline.errors import InputError
from ulmfit.tokens.sentencepiece_training import train_tokenizer
from ulmfit.tokens.text_form import Rules
from ulmfit.tokens.words_training import train_words_tokenizer

SIZE = Architecture(embedding_size=6, hidden_size=8, layers=2)
SPECIAL = ("xxunk", "xxpad", "xxbos", "xxeos", "xxmaj", "xxup")


def ours(*pieces: str, whole_words: bool = False) -> Vocabulary:
    """Return a vocabulary as our tokenizers have them: special tokens first."""
    roles = {name: index for index, name in enumerate(SPECIAL)}
    return Vocabulary((*SPECIAL, *pieces), roles, whole_words=whole_words, has_spaces=True)


def model_for(vocabulary: Vocabulary, *, kind: str = "lstm") -> LanguageModel:
    torch.manual_seed(0)
    size = SIZE.changed(kind=kind)
    model = LanguageModel(len(vocabulary.pieces), size, Dropouts(multiplier=0))
    torch.nn.init.normal_(model.decoder.decoder.bias)
    return model


def known(old: Vocabulary, new: Vocabulary) -> dict[str, str | None]:
    """Return for each piece of `new` the piece of `old` whose row it gets."""
    rows = old.rows_for(new)
    return {piece: old.pieces[row] if row >= 0 else None for piece, row in zip(new.pieces, rows, strict=True)}


pieces = st.lists(st.text(st.sampled_from("▁abc,"), min_size=1, max_size=3), unique=True, max_size=25)


@settings(max_examples=60)
@given(old_pieces=pieces, new_pieces=pieces)
def test_rows_go_where_their_pieces_went(old_pieces: list[str], new_pieces: list[str]) -> None:
    old, new = ours(*old_pieces), ours(*new_pieces)
    model = model_for(old)
    weight = model.encoder.encoder.weight.detach().clone()
    bias = model.decoder.decoder.bias.detach().clone()
    match = adapt_vocabulary(model, old, new)
    assert (match is None) == (old_pieces == new_pieces)
    got, got_bias = model.encoder.encoder.weight, model.decoder.decoder.bias
    assert got.shape == (len(new.pieces), 6) and got_bias.shape == (len(new.pieces),)
    for index, piece in enumerate(new.pieces):
        if piece in old.pieces:
            place = old.pieces.index(piece)
            assert torch.equal(got[index], weight[place]) and got_bias[index] == bias[place]
        else:
            torch.testing.assert_close(got[index], weight.mean(0))
            torch.testing.assert_close(got_bias[index], bias.mean())
    if match is not None:
        assert match.matched == len(SPECIAL) + len({*old_pieces} & {*new_pieces})


@pytest.mark.parametrize("kind", ["lstm", "qrnn"])
def test_decoder_and_embedding_stay_one_tensor_and_the_model_trains(kind: str) -> None:
    old, new = ours("▁a", "▁b"), ours("▁c", "▁b", "d", "e")
    model = model_for(old, kind=kind)
    adapt_vocabulary(model, old, new)
    assert model.decoder.decoder.weight is model.encoder.encoder.weight
    assert len({id(p) for group in layer_groups(model) for p in group}) == len(list(model.parameters()))
    logits = model(torch.tensor([[2, 6, 7, 9]])).logits
    assert logits is not None and logits.shape == (1, 4, 10)
    logits.sum().backward()
    assert model.encoder.encoder.weight.grad is not None


def test_the_same_text_gives_the_same_states_under_the_new_ids() -> None:
    old, new = ours("▁a", "▁b", "c"), ours("c", "▁b", "▁a", "x")
    model = model_for(old).eval()
    before = model(torch.tensor([[2, 6, 7, 8]]))
    model.reset()
    adapt_vocabulary(model, old, new)
    after = model(torch.tensor([[2, 8, 7, 6]]))
    assert torch.equal(before.raw, after.raw)
    assert before.logits is not None and after.logits is not None
    torch.testing.assert_close(after.logits[..., [0, 1, 2, 3, 4, 5, 8, 7, 6]], before.logits)


def test_a_list_of_whole_words_is_matched_without_the_sign_of_the_space() -> None:
    foreign = Vocabulary.of_foreign(["xxunk", "xxpad", "xxbos", "xxmaj", "haus", ",", "##", "1990"])
    assert foreign.whole_words and not foreign.has_spaces
    subwords = known(foreign, ours("▁haus", "haus", "▁", ",", "▁,", "1990", "▁häuser"))
    assert subwords["▁haus"] == "haus"
    assert subwords["haus"] is None, "the inside of a longer word is another thing"
    assert subwords[","] == subwords["▁,"] == ","
    assert subwords["1990"] == "1990"
    assert subwords["▁"] is subwords["▁häuser"] is None
    assert known(foreign, ours("haus", whole_words=True))["haus"] == "haus"


def test_our_whole_words_are_no_parts_of_words_either() -> None:
    words = ours("▁haus", "haus", ",", "▁,", whole_words=True)
    found = known(words, ours("▁haus", "haus", ",", "▁,"))
    assert (found["▁haus"], found["haus"], found[","], found["▁,"]) == ("▁haus", None, ",", "▁,")
    found = known(ours("▁haus", "haus"), words)
    assert (found["▁haus"], found["haus"], found[","]) == ("▁haus", "haus", None)


def test_special_tokens_are_matched_by_what_they_stand_for() -> None:
    fastai_v1_words = ["xxunk", "xxpad", "xxbos", "xxeos", "xxfld", "xxmaj", "xxup", "xxrep", "xxwrep", "the"]
    sentencepiece_v1 = [f"▁{name}" for name in fastai_v1_words[:9]] + ["<unk>", "▁the"]
    sentencepiece_v2 = [*fastai_v1_words[:9], "▁the", "▁xxbos", "▁xxmaj", "xxfake", "xxfake"]
    fastai_07 = ["_unk_", "_pad_", "xbos", "t_up", "the"]
    expected = {
        "words": (fastai_v1_words, "xxunk", "xxbos", "xxmaj"),
        "sentencepiece, v1": (sentencepiece_v1, "<unk>", "▁xxbos", "▁xxmaj"),
        "sentencepiece, v2": (sentencepiece_v2, "xxunk", "▁xxbos", "▁xxmaj"),
        "0.7": (fastai_07, "_unk_", "xbos", None),
    }
    for name, (listed, unknown, begin, capital) in expected.items():
        found = known(Vocabulary.of_foreign(listed), ours("▁the"))
        assert (found["xxunk"], found["xxbos"], found["xxmaj"]) == (unknown, begin, capital), name
        assert found["▁the"] in ("the", "▁the"), name


def test_a_text_that_looks_like_a_special_token_is_not_one() -> None:
    old, new = ours("xxbos", "▁a"), ours("▁a", "xxbos")
    rows = old.rows_for(new)
    assert rows[2] == 2 and rows[7] == 6


def test_vocabularies_of_real_tokenizers() -> None:
    texts = ["Das Haus und der Hund bellt", "der Hund und das Haus, das alte Haus"] * 20
    subwords = train_tokenizer(texts, Rules(language="de"), vocab_size=40)
    repeats = train_tokenizer(texts, Rules(language="de", repeats=True), vocab_size=50)
    words, _ = train_words_tokenizer(texts, Rules(language="de"), vocab_size=40, min_count=1)
    first = Vocabulary.of(subwords)
    assert list(first.roles) == list(SPECIAL) and not first.whole_words
    assert list(Vocabulary.of(repeats).roles) == [*SPECIAL, "xxrep", "xxwrep"]
    assert Vocabulary.of(words).whole_words
    found = known(first, Vocabulary.of(repeats))
    assert found["xxmaj"] == "xxmaj" and found["xxrep"] is None
    assert all(old in (None, piece) for piece, old in found.items())


def test_the_share_is_weighted_by_the_tokens_to_come() -> None:
    old, new = ours("▁a"), ours("▁a", "▁b")
    counts = np.array([0, 0, 2, 0, 0, 0, 6, 2])
    match = adapt_vocabulary(model_for(old), old, new, counts)
    assert match == VocabularyMatch(pieces=8, matched=7, old_pieces=7, tokens=10, matched_tokens=8)
    assert "7 of 8 pieces (87.5%), 80.0% of the training tokens, have a row" in str(match)
    assert match.summary()["matched_token_share"] == 0.8
    assert "tokens" not in str(adapt_vocabulary(model_for(old), old, new))


def test_a_vocabulary_of_another_size_is_refused() -> None:
    with pytest.raises(InputError, match="has 8 entries, the embedding 7 rows"):
        adapt_vocabulary(model_for(ours("▁a")), ours("▁a", "▁b"), ours("▁c"))


def test_large_vocabularies() -> None:
    count = 30_000
    old = ours(*(f"▁w{number}" for number in range(count)))
    new = ours(*(f"▁w{number}" for number in range(0, 2 * count, 2)))
    match = adapt_vocabulary(model_for(old), old, new)
    assert match is not None and match.matched == count // 2 + len(SPECIAL)
