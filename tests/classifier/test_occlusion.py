"""Occlusion finds what a known model looks at, word by word and piece by piece, in the order of the text."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar

import numpy
import pandas
import pytest
from hypothesis import given
from hypothesis import strategies as st
from stages_for_tests import InventedDataset, tiny_classifier

from ulmfit.classifier.folder import load_classifier
from ulmfit.classifier.occlusion import CutText, cost, cut_text, explain, mean_of, occluded
from ulmfit.classifier.settings import ClassifierSettings
from ulmfit.classifier.stages import TrainClassifier
from ulmfit.language_model.settings import Dropouts
from ulmfit.pipeline.errors import InputError
from ulmfit.pipeline.runner import Runner
from ulmfit.pipeline.stage import Work
from ulmfit.tokens.loading import load_tokenizer
from ulmfit.tokens.text_form import Rules
from ulmfit.tokens.tokenizer import Tokenizer
from ulmfit.tokens.words_tokenizer import WordsTokenizer, reserved_pieces
from ulmfit.training.settings import Phase

RULES = Rules(language="de", repeats=True)
KNOWN = ["▁gut", "▁nicht", "▁der", "▁film", "▁war", "!", ",", "▁3", "▁sehr"]
WORDS = WordsTokenizer([*reserved_pieces(RULES), *KNOWN], RULES)
LABELS = ["bad", "good"]


def linear(values: dict[str, float], tokenizer: Tokenizer = WORDS, bias: float = 0.0):
    """Return a stub that adds up values of pieces, and puts the sum through a sigmoid."""
    vocabulary = tokenizer.vocabulary
    table = numpy.array([values.get(piece, 0.0) for piece in vocabulary])

    def predict(documents: Sequence[numpy.ndarray]) -> numpy.ndarray:
        assert all(document[0] == tokenizer.bos_id for document in documents)
        good = [1 / (1 + math.exp(-(bias + table[document].sum()))) for document in documents]
        return numpy.array([[1 - one, one] for one in good])

    return predict


def sigmoid(value: float) -> float:
    return 1 / (1 + math.exp(-value))


def test_weights_of_a_linear_model_by_hand() -> None:
    predict = linear({"▁gut": 2.0, "▁nicht": -0.5, "!": 0.25})
    found = explain(predict, WORDS, "Der Film war nicht gut!", LABELS, maximum_tokens=100)
    assert found.label == "good"
    assert found.probability == pytest.approx(sigmoid(1.75))
    assert not found.cut
    weights = {word.text: word.weight for word in found.words}
    assert list(weights) == ["Der", "Film", "war", "nicht", "gut!"]
    assert weights["nicht"] == pytest.approx(sigmoid(1.75) - sigmoid(2.25))
    assert weights["gut!"] == pytest.approx(sigmoid(1.75) - sigmoid(-0.5))
    assert weights["Der"] == weights["Film"] == weights["war"] == 0
    pieces = {piece.text: piece.weight for piece in found.words[-1].pieces}
    assert pieces == {
        "gut": pytest.approx(sigmoid(1.75) - sigmoid(-0.25)),
        "!": pytest.approx(sigmoid(1.75) - sigmoid(1.5)),
    }
    assert [piece.text for piece in found.words[0].pieces] == ["xxmaj", "der"]


def test_weights_are_of_the_label_that_is_predicted() -> None:
    found = explain(linear({"▁nicht": -2.0}), WORDS, "nicht gut", LABELS, maximum_tokens=100)
    assert found.label == "bad"
    assert found.words[0].weight == pytest.approx(sigmoid(2) - 0.5)


def test_unknown_in_its_place() -> None:
    predict = linear({"▁gut": 2.0, "xxunk": 1.0})
    removed = explain(predict, WORDS, "war gut", LABELS, maximum_tokens=9)
    unknown = explain(predict, WORDS, "war gut", LABELS, maximum_tokens=9, replaced="unknown")
    assert [word.weight for word in removed.words] == pytest.approx([0, sigmoid(2) - sigmoid(0)])
    assert [word.weight for word in unknown.words] == pytest.approx(
        [sigmoid(2) - sigmoid(3), sigmoid(2) - sigmoid(1)]
    )


def test_occluded() -> None:
    ids = numpy.array([2, 7, 8, 9])
    assert occluded(ids, (1, 3), None).tolist() == [2, 9]
    assert occluded(ids, (1, 3), 0).tolist() == [2, 0, 0, 9]
    assert ids.tolist() == [2, 7, 8, 9]


def test_what_is_cut_off_has_no_words() -> None:
    found = explain(linear({"▁gut": 1.0}), WORDS, "war gut der film", LABELS, maximum_tokens=3)
    assert found.cut
    assert [word.text for word in found.words] == ["war", "gut"]
    whole = explain(linear({"▁gut": 1.0}), WORDS, "war gut der film", LABELS, maximum_tokens=0)
    assert not whole.cut
    assert len(whole.words) == 4


def test_repetitions_are_one_word() -> None:
    cut = cut_text(WORDS, "war sehr sehr sehr gut", 100)
    assert [word for word, _ in cut.words] == ["war", "sehr × 3", "gut"]
    begin, end = cut.words[1][1]
    assert [WORDS.vocabulary[index] for index in cut.ids[begin:end]] == ["xxwrep", "▁3", "▁sehr"]


@pytest.mark.parametrize("text", ["", " \n ", "\x00"])
def test_text_without_words(text: str) -> None:
    with pytest.raises(InputError, match="no word"):
        explain(linear({}), WORDS, text, LABELS, maximum_tokens=9)


@given(st.lists(st.sampled_from(["Gut!", "sehr", "sehr", "NICHT", "neu,", "東京", "šé"]), min_size=1))
def test_words_cover_the_ids_that_encode_gives(words: list[str]) -> None:
    text = " ".join(words)
    cut = cut_text(WORDS, text, 1000)
    assert cut.ids.tolist() == WORDS.encode([text])[0].tolist()
    places = [place for _, span in cut.words for place in range(*span)]
    assert places == list(range(1, len(cut.ids)))


def test_cost_is_what_is_read() -> None:
    read = []

    def predict(documents: Sequence[numpy.ndarray]) -> numpy.ndarray:
        read.extend(len(document) for document in documents)
        return numpy.full((len(documents), 2), 0.5)

    text = "Der Film war nicht gut!"
    explain(predict, WORDS, text, LABELS, maximum_tokens=100)
    assert 0.7 * cost(WORDS, text, 100) <= sum(read) <= cost(WORDS, text, 100)


@pytest.fixture(scope="module")
def runner(tmp_path_factory: pytest.TempPathFactory) -> Runner:
    return Runner(tmp_path_factory.mktemp("runs"))


TELLING = ClassifierSettings(
    phases=(Phase(epochs=8, learning_rate=2e-2, discriminative=1),),
    dropouts=Dropouts(multiplier=0),
    head_dropout=0,
    batch_size=8,
)


class TellingAnywhere(InventedDataset):
    """The invented data set, with zyx somewhere in each text that is labelled yes, and in no other."""

    stage_name: ClassVar[str] = "telling_anywhere"

    def build(self, work: Work) -> None:
        """Write the tables, and move the telling word of each text, or remove it."""
        super().build(work)
        for split in ("train", "valid", "test"):
            path = work.folder / f"{split}.parquet"
            table = pandas.read_parquet(path)
            table["text"] = [moved(text, number) for number, text in enumerate(table["text"])]
            table.to_parquet(path, index=False)


def moved(text: str, number: int) -> str:
    *words, telling = text.split()
    place = (7 * number) % (len(words) + 1)
    return " ".join([*words[:place], *(["zyx"] if telling == "kalomi" else []), *words[place:]])


def telling_classifier(direction: str) -> TrainClassifier:
    stage = tiny_classifier().changed(
        language_model=None, settings=TELLING, dataset=TellingAnywhere(rows=240)
    )
    return stage.changed(direction=direction)


@pytest.mark.parametrize("direction", ["forward", "backward"])
def test_a_trained_classifier_looks_at_the_word_that_tells(runner: Runner, direction: str) -> None:
    stage = telling_classifier(direction)
    runner.build(stage)
    classifier = load_classifier(runner.folder(stage), runner.folder(stage.tokenizer), device="cpu")
    table = pandas.read_parquet(runner.folder(stage.dataset) / "test.parquet").head(20)
    predict = mean_of([classifier])
    found = [
        explain(predict, classifier.tokenizer, text, classifier.labels, maximum_tokens=99)
        for text in table["text"]
    ]
    assert [" ".join(word.text for word in one.words) for one in found] == table["text"].tolist()
    told = [one for one, label in zip(found, table["label"], strict=True) if label == one.label == "yes"]
    assert len(told) >= 8
    assert {max(one.words, key=lambda word: word.weight).text for one in told} == {"zyx"}


def test_several_classifiers_are_averaged(runner: Runner) -> None:
    stages = [telling_classifier(direction) for direction in ("forward", "backward")]
    for stage in stages:
        runner.build(stage)
    both = [load_classifier(runner.folder(s), runner.folder(s.tokenizer), device="cpu") for s in stages]
    text = "kalomi dusapo verine"
    ids = both[0].tokenizer.encode([text])
    expected = numpy.mean([one.probabilities([text]) for one in both], axis=0)
    numpy.testing.assert_allclose(mean_of(both)(ids), expected, atol=1e-6)


def test_pieces_of_a_subword_tokenizer_make_words(runner: Runner, tmp_path: Path) -> None:
    stage = tiny_classifier().tokenizer
    runner.build(stage)
    tokenizer = load_tokenizer(runner.folder(stage))
    cut: CutText = cut_text(tokenizer, "Kalomi, dusapo qqq", 1000)
    assert cut.ids.tolist() == tokenizer.encode(["Kalomi, dusapo qqq"])[0].tolist()
    assert [word for word, _ in cut.words] == ["Kalomi,", "dusapo", "qqq"]
