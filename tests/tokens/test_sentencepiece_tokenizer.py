"""The SentencePiece tokenizer: round trips, special tokens, saving and loading."""

import hashlib
import io
import json

import pytest
import sentencepiece
from hypothesis import example, given
from hypothesis import strategies as st
from texts_for_tests import COVERED, TOKENIZERS, WORDS, any_texts, corpus, repetitions, trained

from ulmfit.pipeline.errors import InputError
from ulmfit.tokens.loading import load_tokenizer
from ulmfit.tokens.marks import normalize
from ulmfit.tokens.sentencepiece_tokenizer import SentencePieceTokenizer
from ulmfit.tokens.text_form import Rules

NAMES = list(TOKENIZERS)
WITH_BYTES = [name for name in NAMES if "bytes" in name]


@pytest.mark.parametrize("name", NAMES)
@given(
    text=st.lists(
        st.one_of(
            st.text(alphabet=COVERED),
            st.sampled_from([*WORDS, " ", "\n\n"]),
            repetitions.filter(lambda text: set(normalize(text)) <= set(COVERED)),
        )
    ).map("".join)
)
def test_covered_characters_come_back(name, text):
    """Exactly; a letter whose small form no text had is not covered once it is marked."""
    tokenizer = trained(name)
    (ids,) = tokenizer.encode([text])
    assert ids[0] == tokenizer.bos_id
    seen = set(tokenizer.form.write(text)) - {" "}
    covered = tokenizer.byte_fallback or seen <= set("".join(tokenizer._pieces))
    assert (tokenizer.unk_id in ids) == (not covered)
    if covered:
        assert tokenizer.decode(ids) == normalize(text)


@pytest.mark.parametrize("name", WITH_BYTES)
@given(text=any_texts)
@example("<0x41> \u2581 \ue0f1 xxrep 4 o \U0010ffff \u0345")
def test_with_bytes_every_text_comes_back(name, text):
    tokenizer = trained(name)
    (ids,) = tokenizer.encode([text])
    assert tokenizer.unk_id not in ids
    assert tokenizer.decode(ids) == normalize(text)


@pytest.mark.parametrize("name", ["de", "repeats"])
@given(text=any_texts)
def test_any_text_is_encoded(name, text):
    (ids,) = trained(name).encode([text])
    assert list(ids[:1]) == [2]
    assert trained(name).decode(ids) == normalize(text) or 0 in ids


@pytest.mark.parametrize("name", NAMES)
@given(data=st.data())
def test_any_ids_are_decoded(name, data):
    """A language model writes what it likes."""
    tokenizer = trained(name)
    ids = data.draw(st.lists(st.integers(0, tokenizer.size - 1)))
    assert not set(tokenizer.rules.mark_names()) & set(tokenizer.decode(ids))
    tokenizer.decode(ids).encode()


def test_bytes_that_are_no_text_are_shown_as_such():
    tokenizer = trained("bytes")
    ids = [tokenizer.vocabulary.index(f"<0x{byte:02X}>") for byte in b"\xe6\x97\xa5\xe6\x97\xff"]
    assert tokenizer.decode(ids[:3]) == "日"
    assert tokenizer.decode(ids) == "日\ufffd\ufffd"


@pytest.mark.parametrize(
    ("name", "first"),
    [
        ("de", ["xxunk", "xxpad", "xxbos", "xxeos", "xxmaj", "xxup"]),
        ("repeats", ["xxunk", "xxpad", "xxbos", "xxeos", "xxmaj", "xxup", "xxrep", "xxwrep"]),
        ("plain bytes", ["xxunk", "xxpad", "xxbos", "xxeos", "<0x00>", "<0x01>"]),
        ("bytes repeats", ["xxunk", "xxpad", "xxbos", "xxeos", "xxmaj", "xxup", "xxrep", "xxwrep", "<0x00>"]),
    ],
)
def test_special_tokens_are_registered_once(name, first):
    vocabulary = trained(name).vocabulary
    assert vocabulary[: len(first)] == first
    assert len(vocabulary) == len(set(vocabulary)) == trained(name).size


@pytest.mark.parametrize("name", ["de", "repeats"])
def test_literal_names_of_special_tokens_are_text(name):
    text = "xxmaj xxbos xxunk xxup"
    (ids,) = trained(name).encode([text])
    assert not set(ids[1:]) & set(range(8))
    assert trained(name).decode(ids) == text


def test_capitals_share_the_pieces_of_small_letters():
    small, capital, capitals = trained("de").encode(["straße hund", "Straße Hund", "straße HUND"])
    assert [i for i in capital if i != 4] == list(small)
    assert [i for i in capitals if i != 5] == list(small)


def test_repetitions_are_a_mark_and_a_number():
    tokenizer = trained("repeats")
    vocabulary = tokenizer.vocabulary
    (ids,) = tokenizer.encode(["www SOOOO ha ha ha ha 4444"])
    shown = [vocabulary[index] for index in ids]
    assert [piece for piece in shown if piece.startswith("xx")] == ["xxbos", "xxup", "xxrep", "xxwrep"]
    assert shown[shown.index("xxrep") + 1] == "4"
    assert "".join(shown[shown.index("xxwrep") + 1 :]).startswith("▁4▁ha▁4444")


def test_numbers_always_have_pieces():
    tokenizer = trained("repeats")
    assert set("0123456789") <= set("".join(tokenizer._pieces))
    assert tokenizer.decode(tokenizer.encode(["r" * 789])[0]) == "r" * 789


def test_decode_shows_unknown_characters_and_drops_special_tokens():
    tokenizer = trained("de")
    (ids,) = tokenizer.encode(["der 中 Hund"])
    assert tokenizer.decode([*ids, 1, 3]) == "der \ufffd Hund"
    assert tokenizer.decode([]) == ""
    assert [list(ids) for ids in tokenizer.encode(["", " \n"])] == [[2], [2]]


@pytest.mark.parametrize("name", NAMES)
def test_save_and_load(name, tmp_path):
    tokenizer = trained(name)
    tokenizer.save(tmp_path)
    loaded = load_tokenizer(tmp_path)
    assert isinstance(loaded, SentencePieceTokenizer)
    for attribute in ("vocabulary", "rules", "size", "language", "byte_fallback", "repetition_id"):
        assert getattr(loaded, attribute) == getattr(tokenizer, attribute)
    text = "Łódź ŁÓDŹ haaaa ha ha ha 🦔"
    assert list(loaded.encode([text])[0]) == list(tokenizer.encode([text])[0])
    rules = json.loads((tmp_path / "tokenizer.json").read_text("utf-8"))
    assert rules["kind"] == "sentencepiece"
    assert rules["model_sha256"] == hashlib.sha256((tmp_path / "spm.model").read_bytes()).hexdigest()


def damage(folder, **changes):
    path = folder / "tokenizer.json"
    path.write_text(json.dumps({**json.loads(path.read_text("utf-8")), **changes}), "utf-8")


def remove(folder, name):
    path = folder / "tokenizer.json"
    content = json.loads(path.read_text("utf-8"))
    del content[name]
    path.write_text(json.dumps(content), "utf-8")


@pytest.mark.parametrize(
    ("harm", "message"),
    [
        (lambda folder: (folder / "spm.model").unlink(), "no tokenizer folder"),
        (lambda folder: (folder / "tokenizer.json").unlink(), "no tokenizer folder"),
        (lambda folder: (folder / "tokenizer.json").write_bytes(b"\xff{"), "damaged"),
        (lambda folder: (folder / "tokenizer.json").write_text("[]"), "no description"),
        (lambda folder: (folder / "spm.model").write_bytes(b"x"), "is not the file"),
        (lambda folder: damage(folder, version=1), "has version 1, this program reads 2: train"),
        (lambda folder: damage(folder, version=99), "version 99"),
        (lambda folder: damage(folder, kind="other"), "of kind 'other': expected sentencepiece or words"),
        (lambda folder: remove(folder, "kind"), "of kind None"),
        (lambda folder: damage(folder, marks=False), "does not describe"),
        (lambda folder: damage(folder, repeats=True), "other special tokens"),
        (lambda folder: damage(folder, byte_fallback=True), "does not describe"),
        (lambda folder: damage(folder, marks=1), "does not say marks"),
        (lambda folder: remove(folder, "repeats"), "does not say repeats"),
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
def test_wrong_folders_are_refused_in_one_line(tmp_path, harm, message, capfd):
    trained("de").save(tmp_path)
    harm(tmp_path)
    with pytest.raises(InputError, match=message) as error:
        load_tokenizer(tmp_path)
    assert "\n" not in str(error.value)
    assert capfd.readouterr().err == ""


def test_a_foreign_model_is_refused():
    model = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(corpus()), model_writer=model, vocab_size=120, minloglevel=3
    )
    with pytest.raises(InputError, match="other special tokens"):
        SentencePieceTokenizer(model.getvalue(), Rules(language="de"))
