"""The tokenizer: round trips, special tokens, saving and loading."""

import hashlib
import io
import json
import random

import numpy as np
import pytest
import sentencepiece
from hypothesis import given
from hypothesis import strategies as st

from ulmfit.errors import InputError
from ulmfit.tokens import tokenizer as module
from ulmfit.tokens.marks import Marker, normalize
from ulmfit.tokens.tokenizer import Tokenizer, training_lines

WORDS = (  # noqa: SIM905  # a string reads better than thirty of them
    "der Hund Łódź ŁÓDŹ Straße STRASSE McDonald İstanbul Istanbul ırak Σίσυφος ΟΔΥΣΣΕΥΣ РОССИЯ Москва "
    "日本語 हिन्दी العربية xxmaj xxbos xxunk ﬁnden x² … \u200bnull ǅep ¿Qué? 3,14 ½ 😀"
).split()


def corpus(language: str = "de", documents: int = 300) -> list[str]:
    chosen = random.Random(0)
    return [" ".join(chosen.choices(WORDS, k=30)) + ".\nZweiter  Absatz\tfolgt." for _ in range(documents)]


def trained(language: str = "de", **settings) -> Tokenizer:
    return Tokenizer.train(corpus(), language, **{"vocab_size": 300, "character_coverage": 1.0, **settings})


@pytest.fixture(scope="module")
def tokenizers() -> dict[str, Tokenizer]:
    return {
        "de": trained(),
        "tr": trained("tr"),
        "bpe": trained(model_type="bpe"),
        "no marks": trained(marks=False),
    }


COVERED = sorted(set("".join(corpus()).replace("\t", " ")))


@pytest.mark.parametrize("name", ["de", "tr", "bpe", "no marks"])
@given(text=st.one_of(st.text(alphabet=COVERED), st.lists(st.sampled_from(WORDS)).map(" ".join)))
def test_round_trip_of_covered_characters(tokenizers, name, text):
    tokenizer = tokenizers[name]
    (ids,) = tokenizer.encode([text])
    assert ids[0] == tokenizer.bos_id
    if tokenizer.unk_id not in ids:
        assert tokenizer.decode(ids) == normalize(text)
    assert (tokenizer.unk_id in ids) == (not set(tokenizer.prepare(text)) <= set("".join(tokenizer._texts)))


@given(text=st.text())
def test_any_text_is_encoded(tokenizers, text):
    (ids,) = tokenizers["de"].encode([text])
    assert list(ids[:1]) == [2]
    assert (tokenizers["de"].decode(ids) == normalize(text)) or 0 in ids


def test_special_tokens_are_registered_once(tokenizers):
    vocabulary = tokenizers["de"].vocabulary
    assert vocabulary[:6] == ["xxunk", "xxpad", "xxbos", "xxeos", "xxmaj", "xxup"]
    assert len(vocabulary) == len(set(vocabulary)) == tokenizers["de"].size
    assert tokenizers["no marks"].vocabulary[4] not in ("xxmaj", "xxup")


def test_literal_names_of_special_tokens_are_text(tokenizers):
    (ids,) = tokenizers["de"].encode(["xxmaj xxbos xxunk xxup"])
    assert not set(ids[1:]) & set(range(6))
    assert tokenizers["de"].decode(ids) == "xxmaj xxbos xxunk xxup"


def test_capitals_share_the_pieces_of_small_letters(tokenizers):
    tokenizer = tokenizers["de"]
    small, capital, capitals = tokenizer.encode(["straße hund", "Straße Hund", "straße HUND"])
    assert [i for i in capital if i != 4] == list(small)
    assert [i for i in capitals if i != 5] == list(small)


def test_decode_shows_unknown_characters_and_drops_special_tokens(tokenizers):
    tokenizer = tokenizers["de"]
    (ids,) = tokenizer.encode(["der 中 Hund"])
    assert tokenizer.decode([*ids, 1, 3]) == "der \ufffd Hund"
    assert tokenizer.decode([]) == ""
    assert [list(ids) for ids in tokenizer.encode(["", " \n"])] == [[2], [2]]
    assert tokenizer.encode([]) == []


def test_threads_do_not_change_the_ids(tokenizers):
    texts = corpus()
    one, more = tokenizers["de"].encode(texts), tokenizers["de"].encode(texts, threads=3)
    assert all(np.array_equal(a, b) for a, b in zip(one, more, strict=True))


def test_training_is_deterministic(tokenizers):
    assert trained()._model == tokenizers["de"]._model


def test_too_small_a_vocabulary_names_the_size_needed():
    with pytest.raises(InputError, match=r"vocab_size 12 is too small: .* alone are \d+"):
        trained(vocab_size=12)


def test_no_text_at_all():
    with pytest.raises(InputError, match="hold no text"):
        Tokenizer.train(["", " \n "], "de")


def test_errors_of_the_reader_are_not_swallowed():
    def broken():
        yield "some text"
        raise InputError("file is gone")

    with pytest.raises(InputError, match="file is gone"):
        Tokenizer.train(broken(), "de", vocab_size=20)


@pytest.mark.parametrize(
    "text", ["Ein Satz, der gut ist. " * 3000, "A B C D " * 5000, "長" * 9000, "x. " + "y" * 9000]
)
def test_long_paragraphs_are_split_not_dropped(text):
    lines = list(training_lines([text], Marker("de")))
    assert max(len(line.encode()) for line in lines) <= module.TRAINING_LINE_BYTES
    joined = "".join(map(Marker("de").unmark, lines))
    assert joined.replace(" ", "") == text.replace(" ", "")
    if text.startswith("Ein Satz"):
        assert all(line.endswith("ist.") for line in lines)
        assert "".join(map(Marker("de").unmark, lines)).strip() == text.strip()


def test_training_silently(capfd):
    trained(vocab_size=100_000)
    captured = capfd.readouterr()
    assert captured.out == captured.err == ""


def test_save_and_load(tokenizers, tmp_path):
    for name, tokenizer in tokenizers.items():
        folder = tmp_path / name
        folder.mkdir()
        tokenizer.save(folder)
        loaded = Tokenizer.load(folder)
        assert loaded.vocabulary == tokenizer.vocabulary
        assert (loaded.language, loaded.marks, loaded.size) == (
            tokenizer.language,
            tokenizer.marks,
            tokenizer.size,
        )
        assert list(loaded.encode(["Łódź"])[0]) == list(tokenizer.encode(["Łódź"])[0])
        rules = json.loads((folder / "tokenizer.json").read_text("utf-8"))
        assert rules["model_sha256"] == hashlib.sha256((folder / "spm.model").read_bytes()).hexdigest()


def damage(folder, **changes):
    path = folder / "tokenizer.json"
    path.write_text(json.dumps({**json.loads(path.read_text("utf-8")), **changes}), "utf-8")


@pytest.mark.parametrize(
    ("harm", "message"),
    [
        (lambda folder: (folder / "spm.model").unlink(), "no tokenizer folder"),
        (lambda folder: (folder / "tokenizer.json").unlink(), "no tokenizer folder"),
        (lambda folder: (folder / "tokenizer.json").write_bytes(b"\xff{"), "damaged"),
        (lambda folder: (folder / "tokenizer.json").write_text("[]"), "no description"),
        (lambda folder: (folder / "spm.model").write_bytes(b"x"), "is not the model"),
        (lambda folder: damage(folder, version=99), "version 99"),
        (lambda folder: damage(folder, marks=False), "does not describe"),
        (lambda folder: damage(folder, marks=1), "no language or no marks"),
        (lambda folder: damage(folder, size=7), "does not describe"),
        (lambda folder: damage(folder, language="tr"), "does not describe"),
        (
            lambda folder: (
                (folder / "spm.model").write_bytes(b"garbage"),
                damage(folder, model_sha256=hashlib.sha256(b"garbage").hexdigest()),
            ),
            "not a SentencePiece model",
        ),
    ],
)
def test_wrong_folders_are_refused_in_one_line(tokenizers, tmp_path, harm, message, capfd):
    tokenizers["de"].save(tmp_path)
    harm(tmp_path)
    with pytest.raises(InputError, match=message) as error:
        Tokenizer.load(tmp_path)
    assert "\n" not in str(error.value)
    assert capfd.readouterr().err == ""


def test_a_foreign_model_is_refused():
    model = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(corpus()), model_writer=model, vocab_size=100, minloglevel=3
    )
    with pytest.raises(InputError, match="other special tokens"):
        Tokenizer(model.getvalue(), "de")
