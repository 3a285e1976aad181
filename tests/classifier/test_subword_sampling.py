"""Training texts in other pieces every epoch; validation and test texts always in the usual ones."""

from __future__ import annotations

from pathlib import Path

import numpy
import pandas
import pytest
from stages_for_tests import tiny_classifier

from ulmfit.classifier.loader import DocumentLoader
from ulmfit.classifier.stages import TrainClassifier
from ulmfit.language_model.loader import reading_order
from ulmfit.pipeline.errors import InputError
from ulmfit.pipeline.files import read_json
from ulmfit.pipeline.runner import Runner
from ulmfit.tokens.loading import load_tokenizer
from ulmfit.tokens.marks import normalize
from ulmfit.tokens.sentencepiece_tokenizer import SentencePieceTokenizer
from ulmfit.training.settings import Phase

ALPHA = 0.2
PHASES = (Phase(epochs=1, trainable_groups=1, learning_rate=1e-2), Phase(epochs=2, learning_rate=1e-2))


@pytest.fixture
def loaders(monkeypatch: pytest.MonkeyPatch) -> list[DocumentLoader]:
    """Every loader that is made, in order."""
    made: list[DocumentLoader] = []
    plain = DocumentLoader.__init__

    def remembered(self, *arguments, **options) -> None:
        plain(self, *arguments, **options)
        made.append(self)

    monkeypatch.setattr(DocumentLoader, "__init__", remembered)
    return made


def texts(runner: Runner, stage: TrainClassifier, split: str) -> list[str]:
    return pandas.read_parquet(runner.folder(stage.dataset) / f"{split}.parquet")["text"].tolist()


def same(documents: list[numpy.ndarray], others: list[numpy.ndarray]) -> bool:
    return all(map(numpy.array_equal, documents, others))


@pytest.mark.parametrize("direction", ["forward", "backward"])
def test_every_epoch_has_the_same_texts_in_other_pieces(
    tmp_path: Path, loaders: list[DocumentLoader], direction: str
) -> None:
    runner = Runner(tmp_path)
    stage = tiny_classifier(subword_sampling=ALPHA, phases=PHASES, maximum_tokens=2000)
    stage = stage.changed(language_model=None, direction=direction)
    runner.build(stage)
    tokenizer = load_tokenizer(runner.folder(stage.tokenizer))
    plain, *epochs = [loader for loader in loaders if loader.shuffled]
    assert len(epochs) == 3, "one loader an epoch, counted over all phases"
    for loader in (plain, *epochs):
        assert numpy.array_equal(loader.labels, plain.labels)
        backward = direction == "backward"
        read = [reading_order(ids, ids[0], backward=backward) for ids in loader.documents]
        assert list(map(tokenizer.decode, read)) == list(map(normalize, texts(runner, stage, "train")))
    assert not any(same(plain.documents, loader.documents) for loader in epochs)
    assert not same(epochs[0].documents, epochs[1].documents)
    assert not same(epochs[1].documents, epochs[2].documents)
    measures = read_json(runner.folder(stage) / "manifest.json")["measures"]
    tokens = measures["tokens_per_second"] * measures["training_seconds"]
    assert tokens == pytest.approx(sum(loader.tokens_read for loader in epochs))


def test_only_training_texts_are_sampled(
    tmp_path: Path, loaders: list[DocumentLoader], monkeypatch: pytest.MonkeyPatch
) -> None:
    runner = Runner(tmp_path)
    stage = tiny_classifier(subword_sampling=ALPHA, phases=PHASES, select="best").changed(language_model=None)
    for upstream in stage.upstream():
        runner.build(upstream)
    sampled: list[list[str]] = []
    plain = SentencePieceTokenizer.sample

    def remembered(self, texts, alpha, seed):
        assert alpha == ALPHA
        sampled.append(list(texts))
        return plain(self, texts, alpha, seed)

    monkeypatch.setattr(SentencePieceTokenizer, "sample", remembered)
    runner.build(stage)
    assert sampled == 3 * [texts(runner, stage, "train")]
    tokenizer = load_tokenizer(runner.folder(stage.tokenizer))
    evaluated = [loader for loader in loaders if not loader.shuffled]
    expected = {split: tokenizer.encode(texts(runner, stage, split)) for split in ("valid", "test")}
    assert [same(loader.documents, expected["valid"]) for loader in evaluated] == [True, True, False]
    assert same(evaluated[2].documents, expected["test"])


def test_longer_pieces_of_a_text_are_cut_like_all(tmp_path: Path, loaders: list[DocumentLoader]) -> None:
    stage = tiny_classifier(subword_sampling=ALPHA, phases=PHASES, maximum_tokens=9)
    Runner(tmp_path).build(stage.changed(language_model=None))
    assert len(loaders) > 3
    assert all(loader.lengths.max() <= 9 for loader in loaders)


def test_words_cannot_be_sampled_which_is_said_before_anything_runs() -> None:
    stage = tiny_classifier().changed(language_model=None)
    stage = stage.changed(tokenizer=stage.tokenizer.changed(model_type="words"))
    with pytest.raises(InputError, match=r"subword_sampling 0.1: a tokenizer of words") as error:
        stage.changed(settings=stage.settings.changed(subword_sampling=0.1))
    assert "\n" not in str(error.value)
