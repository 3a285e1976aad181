"""The tokenizer of whole words: what a word is, round trips, the vocabulary, saving and loading."""

import hashlib
import json
import random
from collections import Counter

import numpy as np
import pandas
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError
from stages_for_tests import InventedCorpus

from ulmfit.corpus.words import words_of
from ulmfit.pipeline.errors import InputError
from ulmfit.pipeline.runner import Runner
from ulmfit.tokens.arrays import TokenArray
from ulmfit.tokens.loading import load_tokenizer
from ulmfit.tokens.marks import MARK_NAMES, REPEAT_MARK_NAMES, normalize
from ulmfit.tokens.stages import EncodeTokens, TrainTokenizer
from ulmfit.tokens.text_form import Rules, TextForm
from ulmfit.tokens.words_tokenizer import WordsTokenizer, cut_words
from ulmfit.tokens.words_training import count_words, train_words_tokenizer

WORDS = (  # noqa: SIM905  # a string reads better than thirty of them
    "der Hund Łódź ŁÓDŹ Straße McDonald İstanbul ırak ΟΔΥΣΣΕΥΣ Москва B2B soooo xxunk (xxunk l'eau L'EAU "
    "हिन्दी किताबें العربية می‌خواهم 日本語 3,14 km² 😀👍🏽 ❤️ e-mail ... ¿Qué? о́кна 𞤀𞤣𞤤"
).split()
LETTERS = "aAbBiIßǅΣσςé\u0301\u200d\u200cहि्日٣4²_-.'’ʼ\ufe0f😀𞤀𞤢 \u00a0"
TEXTS = st.one_of(
    st.text(),
    st.text(alphabet=LETTERS),
    st.lists(st.sampled_from(WORDS)).map(" ".join),
    st.lists(st.sampled_from(["ja", "Ja", "a-a-a-a", "😀"]), max_size=9).map(" ".join),
)
PLAIN, REPEATS, NO_MARKS = (
    Rules(language="de"),
    Rules(language="de", repeats=True),
    Rules(language="de", marks=False),
)


def trained(texts: list[str], rules: Rules = PLAIN, **changes: int) -> WordsTokenizer:
    return train_words_tokenizer(texts, rules, **{"vocab_size": 60_000, "min_count": 1, **changes})[0]


def shown(text: str, rules: Rules = PLAIN, *, characters: bool = False) -> str:
    pieces, _ = cut_words(normalize(text).split(), TextForm(rules), characters=characters)
    names = {**MARK_NAMES, **REPEAT_MARK_NAMES}
    return "|".join(names.get(piece, piece).replace(" ", "▁") for piece in pieces)


@pytest.mark.parametrize(
    ("text", "pieces"),
    [
        ("Ein Haus, (klein).", "xxmaj|▁ein|xxmaj|▁haus|,|▁(|klein|)|."),
        ("ŁÓDŹ Łódź łódź", "xxup|▁łódź|xxmaj|▁łódź|▁łódź"),
        ("l'eau L’Eau don't", "▁l|'|eau|xxmaj|▁l|’|xxmaj|eau|▁don|'|t"),
        ("мʼята м'ята", "▁мʼята|▁м|'|ята"),
        ("हिन्दी किताबें।", "▁हिन्दी|▁किताबें|।"),
        ("தமிழ்நாடு ភាសា", "▁தமிழ்நாடு|▁ភាសា"),
        ("می‌خواهم", "▁می‌خواهم"),
        ("о́кна naïve", "▁о́кна|▁naïve"),
        ("B2B km² ٣٤ 3,14", "xxmaj|▁b2|xxmaj|b|▁km²|▁٣٤|▁3|,|14"),
        ("e-mail snake_case", "▁e|-|mail|▁snake|_|case"),
        ("❤️ 😀👍🏽 a👩‍💻", "▁❤️|▁😀|👍|🏽|▁a|👩‍|💻"),
        ("日本語。", "▁日本語|。"),
        ("… ...", "▁…|▁.|.|."),
        ("𞤀𞤣𞤤", "xxmaj|▁𞤢𞤣𞤤"),
    ],
)
def test_what_a_word_is(text, pieces):
    assert shown(text) == pieces


@pytest.mark.parametrize(
    ("text", "pieces"),
    [
        ("日本語。", "▁日|本|語|。"),
        ("in東京at", "▁in|東|京|at"),
        ("กินข้าว ภาษา2", "▁กิ|น|ข้|า|ว|▁ภ|า|ษ|า|2"),
        ("ភាសា 2003年、カード", "▁ភា|សា|▁2003|年|、|カ|ー|ド"),
        ("Ein Haus, हिन्दी 한국어", "xxmaj|▁ein|xxmaj|▁haus|,|▁हिन्दी|▁한국어"),
    ],
)
def test_without_spaces_each_character_is_a_word(text, pieces):
    assert shown(text, characters=True) == pieces


@settings(deadline=None)
@given(text=st.text(alphabet="aé1日本กินข้าភาカード 、。한ह्"))
def test_words_without_spaces_are_those_of_the_corpus(text):
    text = normalize(text)
    pieces, _ = cut_words(text.split(), TextForm(NO_MARKS), characters=True)
    words = [words_of(piece) for piece in pieces]
    assert max(map(len, words), default=0) <= 1
    assert [word for found in words for word in found] == words_of(text)


def test_the_language_says_whether_there_are_spaces(tmp_path):
    texts = ["今日は、日本語。", "日本の今日"]
    japanese = trained(texts, PLAIN.changed(language="ja-JP"))
    assert {"▁今", "▁日", "日", "本", "語"} <= set(japanese.vocabulary)
    assert "▁今日は" in trained(texts).vocabulary
    japanese.save(tmp_path)
    loaded = load_tokenizer(tmp_path)
    assert list(loaded.encode(texts)[0]) == list(japanese.encode(texts)[0])
    assert loaded.unk_id not in loaded.encode(["日本。"])[0]


def test_only_words_without_spaces_have_other_keys():
    def version(**changes: object) -> int:
        return words_stage(**changes).version() - TrainTokenizer.stage_version

    assert (version(), version(language="ja"), version(language="ja", model_type="unigram")) == (0, 1, 0)


def test_numbers_of_repetitions_are_pieces():
    assert shown("soooon 44444 a----b", REPEATS) == "▁s|xxrep|4|on|▁44444|▁a|xxrep|4|-|b"


@pytest.mark.parametrize("rules", [PLAIN, REPEATS, NO_MARKS], ids=["marks", "repeats", "no marks"])
@settings(deadline=None)
@given(texts=st.lists(TEXTS, min_size=1, max_size=4))
def test_round_trip_of_known_words(rules, texts):
    try:
        tokenizer = trained(texts, rules)
    except InputError:
        assert not any(map(normalize, texts))
        return
    for text, ids in zip(texts, tokenizer.encode(texts), strict=True):
        assert ids.dtype == np.int32 and ids[0] == tokenizer.bos_id
        if tokenizer.unk_id not in ids:
            assert tokenizer.decode(ids) == normalize(text)
        else:
            assert "xxunk" in text, "what looks like a special token is no word of the vocabulary"


@settings(deadline=None)
@given(texts=st.lists(TEXTS, max_size=5))
def test_ids_of_a_text_depend_on_the_text_alone(texts):
    tokenizer = known()
    alone = [list(tokenizer.encode([text])[0]) for text in texts]
    assert [list(ids) for ids in tokenizer.encode(texts)] == alone
    word_by_word = [list(tokenizer.encode_words(normalize(text).split())[0]) for text in texts]
    assert [ids[1:] for ids in alone] == word_by_word


def known(rules: Rules = PLAIN) -> WordsTokenizer:
    return trained([" ".join(WORDS)], rules)


@settings(deadline=None)
@given(word=st.text(alphabet=st.characters(exclude_categories=["Cs"]), min_size=1))
def test_lengths_are_those_of_single_words(word):
    words = [*normalize(word).split(), "Hund", "(B2B)"] * 2
    _, lengths = cut_words(words, TextForm(PLAIN))
    assert lengths.tolist() == [len(cut_words([word], TextForm(PLAIN))[0]) for word in words]


def test_the_most_frequent_words_are_kept_in_order():
    texts = ["c c c b b b a a a d d e f"] * 2
    assert trained(texts, vocab_size=11).vocabulary[6:] == ["▁a", "▁b", "▁c", "▁d", "▁e"]
    assert trained(texts, min_count=3).vocabulary[6:] == ["▁a", "▁b", "▁c", "▁d"]
    shuffled = ["f a b c", "a b c d", "d e c a b"] * 2
    assert trained(shuffled).vocabulary == trained(shuffled[::-1]).vocabulary


def test_coverage_by_hand():
    tokenizer, coverage = train_words_tokenizer(
        ["Der Hund, der Hund", "der Bär"], PLAIN, vocab_size=99, min_count=2
    )
    assert tokenizer.vocabulary[6:] == ["▁der", "▁hund"]
    assert (coverage.distinct, coverage.words, coverage.kept, coverage.known) == (4, 7, 2, 5)
    assert str(coverage) == "2 of 4 different words kept, which are 71.43% of 7 words; 28.57% are unknown"


@pytest.mark.parametrize("rules", [PLAIN, REPEATS])
def test_counts_are_those_of_the_encoding(rules, monkeypatch):
    chosen = random.Random(1)
    texts = [" ".join(chosen.choices([*WORDS, "ja", "ja ja ja"], k=40)) for _ in range(40)]
    monkeypatch.setattr("ulmfit.tokens.words_training.COUNTED_TOGETHER", 5)
    counts = count_words(texts, rules)
    tokenizer, coverage = train_words_tokenizer(texts, rules, vocab_size=999, min_count=60)
    ids = np.concatenate(tokenizer.encode(texts))
    seen = Counter(
        tokenizer.vocabulary[index] for index in ids[ids >= len(tokenizer.vocabulary) - coverage.kept]
    )
    assert seen == {word: count for word, count in counts.items() if count >= 60}
    glued_specials = sum(text.count("(xxunk") for text in texts)
    assert (ids == tokenizer.unk_id).sum() == coverage.words - coverage.known + glued_specials


def test_an_unknown_word_is_one_token_and_keeps_its_mark():
    tokenizer = trained(["der Hund ( )"])
    assert [tokenizer.vocabulary[index] for index in tokenizer.encode(["Der (Bär) ΟΔΥΣΣΕΥΣ"])[0]] == [
        *("xxbos", "xxmaj", "▁der", "▁(", "xxmaj", "xxunk", "xxunk", "xxup", "xxunk")
    ]
    assert tokenizer.decode(tokenizer.encode(["der Bär Hund"])[0]) == "der \ufffd Hund"


def test_literal_names_of_special_tokens_are_text():
    tokenizer = trained(["xxunk xxbos xxmaj (xxunk a-xxup"])
    assert len(set(tokenizer.vocabulary)) == tokenizer.size
    (ids,) = tokenizer.encode(["xxunk xxbos xxmaj"])
    assert tokenizer.decode(ids) == "xxunk xxbos xxmaj" and min(ids[1:]) > 5
    assert list(tokenizer.encode(["(xxunk"])[0][1:]) == [tokenizer.vocabulary.index("▁("), 0]


def test_words_cannot_be_sampled():
    with pytest.raises(InputError, match="no other pieces to choose from") as error:
        known().sample(["der Hund"], 0.1, 0)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("texts", "changes", "message"),
    [
        ([], {}, "hold no text"),
        (["", " \n"], {}, "hold no text"),
        (["a"], {"vocab_size": 6}, "6 is too small"),
    ],
)
def test_what_cannot_be_trained(texts, changes, message):
    with pytest.raises(InputError, match=message):
        trained(texts, **changes)


@pytest.mark.parametrize("rules", [PLAIN, REPEATS, NO_MARKS])
def test_save_and_load(tmp_path, rules):
    tokenizer = known(rules)
    tokenizer.save(tmp_path)
    loaded = load_tokenizer(tmp_path)
    assert isinstance(loaded, WordsTokenizer)
    assert (loaded.vocabulary, loaded.rules) == (tokenizer.vocabulary, rules)
    text = " ".join(WORDS)
    assert list(loaded.encode([text])[0]) == list(tokenizer.encode([text])[0])
    lines = (tmp_path / "words.txt").read_text("utf-8").split("\n")
    assert lines == [*tokenizer.vocabulary, ""]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["tokenizer.json", "words.txt"]


def damage(folder, **changes):
    path = folder / "tokenizer.json"
    path.write_text(json.dumps({**json.loads(path.read_text("utf-8")), **changes}), "utf-8")


def replace(folder, content: bytes):
    (folder / "words.txt").write_bytes(content)
    damage(folder, words_sha256=hashlib.sha256(content).hexdigest())


@pytest.mark.parametrize(
    ("harm", "message"),
    [
        (lambda folder: (folder / "words.txt").unlink(), "no tokenizer folder"),
        (lambda folder: (folder / "words.txt").write_bytes(b"x"), "is not the file"),
        (lambda folder: replace(folder, b"\xff\n"), "words.txt"),
        (lambda folder: replace(folder, b"der\nHund\n"), "does not begin with xxunk"),
        (
            lambda folder: replace(folder, (folder / "words.txt").read_bytes() + "▁der\n".encode()),
            "a word twice",
        ),
        (lambda folder: damage(folder, size=7), "does not describe"),
        (lambda folder: damage(folder, language=3), "does not say language"),
        (lambda folder: damage(folder, marks=False), "does not"),
        (lambda folder: damage(folder, kind="letters"), "expected sentencepiece or words"),
    ],
)
def test_wrong_folders_are_refused_in_one_line(tmp_path, harm, message):
    known().save(tmp_path)
    harm(tmp_path)
    with pytest.raises(InputError, match=message) as error:
        load_tokenizer(tmp_path)
    assert "\n" not in str(error.value)


def words_stage(**changes: object) -> TrainTokenizer:
    fields = {
        "corpus": InventedCorpus(),
        "language": "qaa",
        "model_type": "words",
        "vocab_size": 200,
        **changes,
    }
    return TrainTokenizer(**fields)


def test_as_a_stage(tmp_path):
    runner = Runner(tmp_path)
    stage = EncodeTokens(documents=InventedCorpus(), tokenizer=words_stage())
    folder = runner.build(stage)
    tokenizer = load_tokenizer(runner.folder(stage.tokenizer))
    texts = pandas.read_parquet(runner.folder(stage.documents) / "documents.parquet")
    array = TokenArray.open(folder, "valid")
    for index, text in enumerate(texts[texts["split"] == "valid"]["text"]):
        assert list(array.document(index)) == list(tokenizer.encode([text])[0])
    train = " ".join(texts[texts["split"] == "train"]["text"]).split()
    frequent = [count for count in Counter(train).values() if count >= 3]
    assert tokenizer.size == 200 or tokenizer.size == 6 + len(frequent)
    counts = json.loads((folder / "counts.json").read_text("utf-8"))["train"]
    assert counts["unknown"] == counts["words"] - sum(sorted(frequent)[::-1][: tokenizer.size - 6])
    log = (runner.folder(stage.tokenizer) / "log.txt").read_text("utf-8")
    assert f"of {len(set(train)):,} different words kept" in log


def test_a_sparse_corpus_lowers_the_size_or_is_refused(tmp_path):
    stage = words_stage(min_count=40, exact=True)
    with pytest.raises(InputError, match="cannot carry vocab_size 200: set it to"):
        Runner(tmp_path).build(stage)
    folder = Runner(tmp_path).build(stage.changed(exact=False))
    assert load_tokenizer(folder).size < 200


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"character_coverage": 0.99}, "character_coverage has no effect on model_type words"),
        ({"byte_fallback": True}, "byte_fallback has no effect on model_type words"),
        ({"model_type": "unigram", "min_count": 5}, "min_count has no effect on model_type unigram"),
        ({"model_type": "bpe", "min_count": 5}, "min_count has no effect on model_type bpe"),
    ],
)
def test_fields_without_effect_are_refused(fields, message):
    with pytest.raises(ValidationError, match=message):
        words_stage(**fields)
    assert words_stage().changed(vocab_size=300).vocab_size == 300
