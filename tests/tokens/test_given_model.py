"""A SentencePiece model that came with somebody's weights, as a tokenizer of ours."""

from __future__ import annotations

import io
import random
from pathlib import Path

import pytest
import sentencepiece
from stages_for_tests import InventedCorpus

from ulmfit.pipeline.assets import File
from ulmfit.pipeline.errors import InputError
from ulmfit.pipeline.runner import Runner
from ulmfit.tokens.given_model import read_given_model, tokenizer_of_model
from ulmfit.tokens.loading import load_tokenizer
from ulmfit.tokens.sentencepiece_model import SCORE_UNIT
from ulmfit.tokens.stages import EncodeTokens, GivenTokenizer
from ulmfit.tokens.text_form import Rules

FASTAI = [f"▁xx{name}" for name in ("unk", "pad", "bos", "eos", "fld", "rep", "wrep", "up", "maj")]
SYLLABLES = ("haus", "baum", "straße", "lich", "keit", "ver", "ung", "łą", "kind", "er")
GERMAN = Rules(language="de")


def texts(seed: int = 0, count: int = 300) -> list[str]:
    chance = random.Random(seed)
    words = ["".join(chance.choices(SYLLABLES, k=chance.randint(1, 3))) for _ in range(200)]
    return [" ".join(chance.choices(words, k=12)) for _ in range(count)]


def fastai_model(kind: str = "unigram", **options: object) -> bytes:
    """Train a model with the options that fastai v1 and v2 have."""
    model = io.BytesIO()
    fixed = {
        "model_type": kind,
        "vocab_size": 120,
        "hard_vocab_limit": False,
        "unk_id": len(FASTAI),
        "pad_id": -1,
        "bos_id": -1,
        "eos_id": -1,
        "user_defined_symbols": FASTAI,
        "minloglevel": 2,
    }
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(texts()), model_writer=model, **(fixed | options)
    )
    return model.getvalue()


@pytest.mark.parametrize("kind", ["unigram", "bpe"])
def test_words_are_cut_as_by_the_model_that_was_given(kind: str) -> None:
    model = fastai_model(kind)
    theirs = sentencepiece.SentencePieceProcessor(model_proto=model)
    ours = tokenizer_of_model(model, GERMAN)
    new = texts(seed=7, count=200)
    differences = total = 0
    for text, ids in zip(new, ours.encode(new), strict=True):
        expected = theirs.encode(text, out_type=str)
        got = [ours.vocabulary[index] for index in ids[1:]]
        total += len(expected)
        differences += got != expected
        if kind == "bpe":
            assert got == expected
    assert differences <= 2, f"{differences} of {len(new)} texts are cut in another way, of {total} pieces"


@pytest.mark.parametrize("kind", ["unigram", "bpe"])
def test_pieces_keep_their_texts_and_follow_our_special_tokens(kind: str) -> None:
    model = fastai_model(kind)
    theirs = sentencepiece.SentencePieceProcessor(model_proto=model)
    ours = tokenizer_of_model(model, GERMAN)
    ordinary = [theirs.id_to_piece(index) for index in range(len(FASTAI) + 1, theirs.get_piece_size())]
    assert ours.vocabulary[:6] == ["xxunk", "xxpad", "xxbos", "xxeos", "xxmaj", "xxup"]
    assert [piece for piece in ours.vocabulary[6:] if piece in ordinary] == ordinary
    assert set(ours.vocabulary[6:]) - set(ordinary) <= {"▁", "▁xxfld"}
    assert set(FASTAI) & set(ours.vocabulary) == {"▁xxfld"}, "it is a word of texts"


def test_capitals_and_unknown_characters_are_ours() -> None:
    ours = tokenizer_of_model(fastai_model(), GERMAN)
    text = "Haus BAUM straße \u4e2d"
    ids = ours.encode([text])[0]
    assert [ours.vocabulary[index] for index in ids[:2]] == ["xxbos", "xxmaj"]
    assert ours.unk_id in ids
    assert ours.decode(ids) == "Haus BAUM straße \ufffd"


def test_bytes_of_a_model_with_byte_fallback_are_kept() -> None:
    model = fastai_model(byte_fallback=True, vocab_size=400)
    ours = tokenizer_of_model(model, GERMAN)
    assert ours.byte_fallback
    text = "haus \u4e2d\u6587"
    assert ours.decode(ours.encode([text])[0]) == text


def test_scores_are_multiples_of_the_unit_and_sampling_works() -> None:
    ours = tokenizer_of_model(fastai_model(), GERMAN)
    processor = sentencepiece.SentencePieceProcessor(model_proto=ours._model)
    assert all(processor.get_score(index) % SCORE_UNIT == 0 for index in range(ours.size))
    text = "verhausung kindlich"
    samples = {tuple(ours.sample([text], 0.1, seed)[0]) for seed in range(20)}
    assert len(samples) > 1
    assert {ours.decode(sample) for sample in samples} == {text}


def test_the_stage_writes_a_tokenizer_folder(tmp_path: Path) -> None:
    (tmp_path / "spm.model").write_bytes(fastai_model())
    stage = GivenTokenizer(model=File(path=tmp_path / "spm.model"), language="de", repeats=True)
    assert stage.has_subwords
    runner = Runner(tmp_path / "runs")
    folder = runner.build(EncodeTokens(documents=InventedCorpus(documents=10), tokenizer=stage))
    assert (folder / "train.npy").exists()
    tokenizer = load_tokenizer(runner.folder(stage))
    assert tokenizer.vocabulary[4:8] == ["xxmaj", "xxup", "xxrep", "xxwrep"]
    other = stage.changed(repeats=False)
    assert runner.folder(other) != runner.folder(stage)


def test_other_files_are_refused_in_one_line(tmp_path: Path) -> None:
    path = tmp_path / "spm.model"
    whole = fastai_model()
    for content, message in (
        (b"", "not a SentencePiece model"),
        (b"no model at all", "not a SentencePiece model"),
        (fastai_model("char", vocab_size=40), "of whole words or characters"),
        *((whole[:end], "SentencePiece model") for end in range(0, len(whole) // 2, 37)),
    ):
        path.write_bytes(content)
        with pytest.raises(InputError, match=message) as caught:
            read_given_model(path, GERMAN)
        assert "spm.model" in str(caught.value)
    with pytest.raises(InputError, match="cannot be read"):
        read_given_model(tmp_path / "none.model", GERMAN)


def test_altered_files_give_a_tokenizer_or_one_line() -> None:
    whole = fastai_model()
    chance = random.Random(3)
    for _ in range(150):
        mutant = bytearray(whole)
        for _ in range(3):
            mutant[chance.randrange(len(mutant))] = chance.randrange(256)
        try:
            tokenizer_of_model(bytes(mutant), GERMAN)
        except InputError as error:
            assert "\n" not in str(error)


def test_the_mark_of_fields_is_one_piece_and_a_word_of_the_text() -> None:
    tokenizer = tokenizer_of_model(fastai_model(), GERMAN)
    (ids,) = tokenizer.encode(["xxfld haus xxfld kind"])
    assert [tokenizer.vocabulary[index] for index in ids].count("▁xxfld") == 2
    assert tokenizer.decode(ids) == "xxfld haus xxfld kind"
