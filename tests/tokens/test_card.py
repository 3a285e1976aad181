"""The tokenizer card: figures worked out by hand, and what it may read."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import ClassVar

import numpy as np
import pandas as pd
import pytest
from evaluation.samples import changed, made_up_tokenizer_card
from hypothesis import given, settings
from hypothesis import strategies as st

from ulmfit.corpus.stages import CorpusStage
from ulmfit.datasets.stages import DatasetStage
from ulmfit.pipeline.errors import InputError
from ulmfit.pipeline.files import read_json, write_json
from ulmfit.pipeline.runner import Runner
from ulmfit.tokens.card import TextSize, TokenizerCard, read_pieces, read_tokenizer_card
from ulmfit.tokens.loading import load_tokenizer
from ulmfit.tokens.stages import TrainTokenizer
from ulmfit.tokens.statistics import (
    Vocabulary,
    measure,
    sample_of_dataset,
    sample_of_documents,
    size_of,
    without_punctuation,
)
from ulmfit.tokens.text_form import Rules, TextForm
from ulmfit.tokens.tokenizer import Tokenizer

PIECES = [
    "xxunk",
    "xxpad",
    "xxbos",
    "xxeos",
    "xxmaj",
    "<0x21>",
    "▁haus",
    "▁see",
    "▁",
    "in",
    "s",
    ".",
    "▁berg",
]
WORDS = "der die das haus häuser straße gehen ging gegangen über und oder nicht am see".split()  # noqa: SIM905


class MadeUpTokenizer(Tokenizer):
    """Cuts words into the longest pieces from the left; `!` is a byte, other characters are unknown."""

    kind = "made up"
    language = "de"
    form = TextForm(Rules(language="de"))
    size = len(PIECES)

    @property
    def vocabulary(self) -> list[str]:
        """The pieces in the order of their ids."""
        return PIECES

    def encode_words(self, words: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
        """Return the ids of words, and how many each has."""
        encoded = [self._word(word) for word in words]
        return np.array([i for ids in encoded for i in ids], np.int32), np.array(
            [len(ids) for ids in encoded]
        )

    def _word(self, word: str) -> list[int]:
        ids = [PIECES.index("xxmaj")] if word[0].isupper() else []
        rest = f"▁{word.lower()}"
        while rest:
            found = max((piece for piece in PIECES if rest.startswith(piece)), key=len, default="")
            if rest[0] == "!":
                found, rest = "<0x21>", f"<0x21>{rest[1:]}"
            ids.append(PIECES.index(found) if found else self.unk_id)
            rest = rest[len(found) or 1 :]
        return ids

    def sample(self, texts, alpha, seed):
        """Not used here."""
        raise NotImplementedError

    decode = content = from_content = sample


TEXT = "Haus haus. Haussee ж! see"
IDS = [
    *("xxmaj ▁haus", "▁haus .", "xxmaj ▁haus s xxunk xxunk", "▁ xxunk <0x21>", "▁see"),
]


def test_the_made_up_tokenizer_cuts_as_the_figures_below_expect():
    ids = MadeUpTokenizer().encode([TEXT])[0]
    assert [PIECES[index] for index in ids] == ["xxbos", *" ".join(IDS).split()]


def test_figures_worked_out_by_hand():
    figures = measure("made up", MadeUpTokenizer(), {"corpus": [TEXT, "see"]}).figures
    assert figures.model_dump() == {
        "kind": "made up",
        "size": 13,
        "learned": 7,
        "unused": 2,  # in, ▁berg
        "texts": {
            "corpus": {
                "tokens": 14,
                "unknown_tokens": 3,
                "byte_tokens": 1,
                "words": 6,
                "words_with_unknown": 2,
                "bare_words": 6,
                "whole_words": 4,  # Haus, haus without its full stop, see and see
                "lengths": {"0.05": 1, "0.25": 1, "0.5": 1, "0.75": 13, "0.95": 13, "0.99": 13, "1": 13},
            }
        },
    }
    assert size_of([TEXT, "see"]) == TextSize(texts=2, words=6, characters=28, bytes=29)


def test_pieces_that_stand_out():
    lists = (
        measure("made up", MadeUpTokenizer(), {"corpus": [TEXT], "target": ["haus"]})
        .pieces(3)
        .model_dump(mode="json")
    )
    assert lists["longest"] == [
        {"piece": "▁haus", "uses": 4},
        {"piece": "▁berg", "uses": 0},
        {"piece": "▁see", "uses": 1},
    ]
    assert lists["rarest"] == [
        {"piece": "▁berg", "uses": 0},
        {"piece": "in", "uses": 0},
        {"piece": ".", "uses": 1},
    ]


def test_learned_pieces_are_those_that_training_chose():
    vocabulary = Vocabulary(MadeUpTokenizer())
    assert [PIECES[index] for index in np.flatnonzero(vocabulary.learned)] == PIECES[6:]
    assert [PIECES[index] for index in np.flatnonzero(vocabulary.byte)] == ["<0x21>"]


def test_no_texts_have_no_rates_but_are_no_error():
    figures = measure("made up", MadeUpTokenizer(), {"corpus": []}).figures
    assert figures.texts["corpus"].tokens == 0
    assert figures.texts["corpus"].lengths == {}
    assert figures.unused == figures.learned


def test_words_of_scripts_without_spaces_are_not_counted():
    figures = measure("made up", MadeUpTokenizer(), {"corpus": ["haus 東京都 see"]}).figures.texts["corpus"]
    assert figures.words == figures.bare_words == figures.whole_words == 2
    assert figures.words_with_unknown == 0
    assert figures.unknown_tokens == 3


@pytest.mark.parametrize(
    ("word", "bare"),
    [
        ("„Haus“,", "Haus"),
        ("(l'eau)", "l'eau"),
        ("हिन्दी।", "हिन्दी"),
        ("e\u0301", "e\u0301"),
        ("3.5%", "3.5"),
        ("–", ""),
        ("", ""),
    ],
)
def test_bare_words(word, bare):
    assert without_punctuation(word) == bare


def sentence(seed: int, length: int = 30) -> str:
    return " ".join(np.random.default_rng(seed).choice(WORDS, length)) + "."


class GivenCorpus(CorpusStage):
    """Train, valid and test documents of the same words; those of valid hold a word of their own."""

    stage_name: ClassVar[str] = "given-corpus"

    def build(self, work):
        """Write documents.parquet."""
        rows = [(f"t{number}", sentence(number), "train") for number in range(60)]
        rows += [(f"v{number}", f"Würze {sentence(100 + number)}", "valid") for number in range(6)]
        rows += [("x0", "geheim " * 9, "test")]
        table = pd.DataFrame(rows, columns=["id", "text", "split"]).assign(title="")
        table.to_parquet(work.folder / "documents.parquet")


class GivenTask(DatasetStage):
    """A data set without labels; its test texts alone hold an emoji."""

    stage_name: ClassVar[str] = "given-task"

    def build(self, work):
        """Write the three tables."""
        for split, count in {"train": 8, "valid": 4, "test": 5}.items():
            word = "😀" if split == "test" else split
            rows = [(str(number), f"Haus {word} {sentence(number, 5)}") for number in range(count)]
            pd.DataFrame(rows, columns=["id", "text"]).to_parquet(work.folder / f"{split}.parquet")


def stage(**fields) -> TokenizerCard:
    sizes = fields.pop("sizes", (40, 30))
    tokenizers = tuple(TrainTokenizer(corpus=GivenCorpus(), language="de", vocab_size=size) for size in sizes)
    return TokenizerCard(tokenizers=tokenizers, documents=GivenCorpus(), **fields)


@pytest.fixture(scope="module")
def runner(tmp_path_factory) -> Runner:
    return Runner(tmp_path_factory.mktemp("runs"))


def test_two_vocabularies_side_by_side(runner):
    card_stage = stage(target=GivenTask(), listed_pieces=5)
    folder = runner.build(card_stage)
    card, pieces = read_json(folder / "card.json"), read_json(folder / "pieces.json")
    assert card["texts"]["corpus"]["texts"] == 6
    assert card["texts"]["target"]["texts"] == 12
    large, small = card["tokenizers"]
    assert (large["kind"], large["size"], small["size"]) == ("unigram", 40, 30)
    assert large["texts"]["corpus"]["tokens"] < small["texts"]["corpus"]["tokens"]
    assert large["texts"]["corpus"]["words"] == small["texts"]["corpus"]["words"] == 6 * 31
    assert [len(lists["longest"]) for lists in pieces] == [5, 5]
    lengths = [len(entry["piece"].strip("▁")) for entry in pieces[0]["longest"]]
    assert lengths == sorted(lengths, reverse=True)


def test_unknown_characters_of_the_task_are_a_warning(runner):
    """Test texts are a check, which no other figure of the card depends on."""
    tokenizer = TrainTokenizer(corpus=GivenCorpus(), language="de", vocab_size=40, character_coverage=1)
    folder = runner.build(TokenizerCard(tokenizers=(tokenizer,), documents=GivenCorpus(), target=GivenTask()))
    advice = (
        "characters that the vocabulary lacks: set vocabulary.byte_fallback=true, or vocabulary.task_share"
    )
    assert read_json(folder / "manifest.json")["warnings"] == [
        f"unigram 40, train and valid texts of the task: 8 unknown tokens in 84 words (9.52 %), {advice}",
        f"unigram 40, test texts of the task: 5 unknown tokens in 35 words (14.29 %), {advice}",
    ]
    without = runner.build(TokenizerCard(tokenizers=(tokenizer,), documents=GivenCorpus()))
    assert not read_json(without / "manifest.json")["warnings"]
    bytes_too = tokenizer.changed(byte_fallback=True, vocab_size=300)
    complete = runner.build(
        TokenizerCard(tokenizers=(bytes_too,), documents=GivenCorpus(), target=GivenTask())
    )
    assert not read_json(complete / "manifest.json")["warnings"]
    texts = read_json(complete / "card.json")["tokenizers"][0]["texts"]
    assert (texts["test"]["unknown_tokens"], texts["test"]["byte_tokens"]) == (0, 5 * 4)


def test_pieces_that_test_texts_alone_use_count_as_unused():
    texts = {"corpus": ["see"], "test": ["haus"]}
    figures = measure("made up", MadeUpTokenizer(), texts).figures
    assert figures.unused == measure("made up", MadeUpTokenizer(), {"corpus": ["see"]}).figures.unused
    assert figures.texts["test"].tokens == 1


def test_tokens_are_those_of_encode(runner):
    card_stage = stage(sizes=(40,))
    figures = read_json(runner.build(card_stage) / "card.json")["tokenizers"][0]
    tokenizer = load_tokenizer(runner.folder(card_stage.tokenizers[0]))
    texts = sample_of_documents(runner.folder(card_stage.documents), 10**9)
    encoded = [ids[1:] for ids in tokenizer.encode(texts)]
    assert figures["texts"]["corpus"]["tokens"] == sum(map(len, encoded))
    unknown = sum(int((ids == tokenizer.unk_id).sum()) for ids in encoded)
    assert figures["texts"]["corpus"]["unknown_tokens"] == unknown > 0, "no training text has the W of Würze"
    assert figures["texts"]["corpus"]["words_with_unknown"] == 6


def test_no_piece_stands_in_the_card(runner):
    folder = runner.build(stage(sizes=(40,)))
    strings = re.findall(r'"([^"]*)"', (folder / "card.json").read_text())
    names = {"texts", "corpus", "words", "characters", "bytes", "tokenizers", "kind", "unigram", "size"}
    names |= {"learned", "unused", "tokens", "unknown_tokens", "byte_tokens", "words_with_unknown"}
    names |= {"bare_words", "whole_words", "lengths"}
    assert {string for string in strings if not re.fullmatch(r"[\d.]+", string)} == names


def test_same_settings_same_bytes(tmp_path, runner):
    one, two = runner.build(stage(target=GivenTask())), Runner(tmp_path).build(stage(target=GivenTask()))
    for name in ("card.json", "pieces.json"):
        assert (one / name).read_bytes() == (two / name).read_bytes()


def test_only_validation_documents_of_the_corpus_are_read(runner):
    texts = sample_of_documents(runner.build(GivenCorpus()), 10**9)
    assert len(texts) == 6
    assert all(text.startswith("Würze ") for text in texts)


def test_samples_are_bounded_and_grow_by_whole_texts(runner):
    corpus, task = runner.build(GivenCorpus()), runner.build(GivenTask())
    whole = sample_of_dataset(task, ("train", "valid"), 10**9)
    for limit in (1, 100, 300):
        sample = sample_of_dataset(task, ("train", "valid"), limit)
        assert sample == whole[: len(sample)]
        sizes = [len(text.encode()) for text in sample]
        assert sum(sizes[:-1]) < limit <= sum(sizes)
    assert len(sample_of_documents(corpus, 1)) == 1


@settings(deadline=None, derandomize=True, max_examples=40)
@given(st.lists(st.text(alphabet="hausehin. !жH\u2581", max_size=12), max_size=8))
def test_counts_agree_with_each_other(texts):
    figures = measure("made up", MadeUpTokenizer(), {"corpus": texts}).figures.texts["corpus"]
    encoded = MadeUpTokenizer().encode(texts)
    assert figures.tokens == sum(map(len, encoded)) - len(texts)
    assert figures.unknown_tokens + figures.byte_tokens <= figures.tokens
    assert figures.whole_words <= figures.bare_words <= figures.words
    assert figures.words_with_unknown <= figures.words


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (("tokenizers", 0, "size", 0), "card of the tokenizers: tokenizers.0.size"),
        (("tokenizers", 0, "longest", ["word"]), "longest: there is no such field"),
        (("texts", {}), "measured on other texts than the rest"),
    ],
)
def test_card_that_is_malformed(tmp_path, change, message):
    write_json(tmp_path / "card.json", changed(made_up_tokenizer_card(), *change))
    with pytest.raises(InputError, match=message):
        read_tokenizer_card(tmp_path)


def test_what_was_measured_is_read_again(runner):
    folder = runner.build(stage(sizes=(40,)))
    assert read_tokenizer_card(folder).model_dump(mode="json") == read_json(folder / "card.json")
    (lists,) = read_pieces(folder)
    assert lists.model_dump(mode="json") == read_json(folder / "pieces.json")[0]


def test_pieces_that_are_malformed(tmp_path):
    write_json(tmp_path / "pieces.json", [{"rarest": []}])
    with pytest.raises(InputError, match="pieces of the tokenizers: longest"):
        read_pieces(tmp_path)
    write_json(tmp_path / "pieces.json", {})
    with pytest.raises(InputError, match="pieces of the tokenizers: expected a list; got dict"):
        read_pieces(tmp_path)
