"""Training texts in other pieces every epoch: the same texts, the same schedule, and never in evaluation."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import numpy
import pandas
import pytest
from stages_for_tests import tiny_pretrain

from ulmfit.language_model.sampling import SampledStreams
from ulmfit.language_model.stages import FineTune, Pretrain
from ulmfit.pipeline.errors import InputError
from ulmfit.pipeline.files import read_json
from ulmfit.pipeline.progress import Progress
from ulmfit.pipeline.runner import Runner
from ulmfit.pipeline.stage import Work
from ulmfit.tokens.arrays import TokenArray
from ulmfit.tokens.loading import load_tokenizer
from ulmfit.tokens.marks import normalize
from ulmfit.tokens.sentencepiece_tokenizer import SentencePieceTokenizer
from ulmfit.training.schedules import phase_schedules

ALPHA = 0.2


def sampled_streams(
    runner: Runner, stage: Pretrain, *, seed: int = 0, backward: bool = False
) -> SampledStreams:
    plain = TokenArray.open(runner.build(stage.tokens), "train")
    folder = runner.folder(stage)
    folder.mkdir(parents=True, exist_ok=True)
    documents = runner.folder(stage.tokens.documents) / "documents.parquet"
    tokenizer = load_tokenizer(runner.folder(stage.tokens.tokenizer))
    return SampledStreams(
        documents, plain, tokenizer, stage.settings, seed, backward, Work(runner, stage, folder)
    )


def tokens_of(streams: SampledStreams, epoch: int) -> list[int]:
    with streams.epoch(epoch) as loader:
        return loader.tokens.tolist()


def texts_of(runner: Runner, stage: Pretrain, split: str) -> list[str]:
    table = pandas.read_parquet(runner.folder(stage.tokens.documents) / "documents.parquet")
    return table[table["split"] == split]["text"].tolist()


@pytest.mark.parametrize("model_type", ["unigram", "bpe"])
def test_every_epoch_has_the_same_texts_in_other_pieces(tmp_path: Path, model_type: str) -> None:
    runner, stage = Runner(tmp_path), tiny_pretrain(subword_sampling=ALPHA)
    tokenizer = stage.tokens.tokenizer.changed(model_type=model_type)
    stage = stage.changed(tokens=stage.tokens.changed(tokenizer=tokenizer))
    streams = sampled_streams(runner, stage)
    epochs = [tokens_of(streams, epoch) for epoch in range(3)]
    versions = [*epochs, streams.plain.tokens.tolist()]
    assert len({tuple(tokens) for tokens in versions}) == 4
    for tokens in versions:
        documents = numpy.split(tokens, numpy.flatnonzero(numpy.array(tokens) == 2))[1:]
        decoded = [streams.tokenizer.decode(document) for document in documents]
        assert decoded == list(map(normalize, texts_of(runner, stage, "train")))


def test_an_epoch_depends_on_seed_and_number_alone(tmp_path: Path) -> None:
    runner, stage = Runner(tmp_path), tiny_pretrain(subword_sampling=ALPHA)
    first = tokens_of(sampled_streams(runner, stage), 1)
    leftover = runner.folder(stage) / "scratch" / "sampled"
    leftover.mkdir(parents=True)
    (leftover / "train.npy").write_bytes(b"what a killed run left")
    assert tokens_of(sampled_streams(runner, stage), 1) == first
    assert not leftover.exists(), "an epoch's file is removed after the epoch"
    assert tokens_of(sampled_streams(runner, stage, seed=1), 1) != first


def test_backward_reads_the_same_pieces_from_the_end(tmp_path: Path) -> None:
    runner, stage = Runner(tmp_path), tiny_pretrain(subword_sampling=ALPHA)
    forward = tokens_of(sampled_streams(runner, stage), 0)
    backward = tokens_of(sampled_streams(runner, stage, backward=True), 0)
    assert backward == [2, *forward[:0:-1]]


def test_only_training_texts_are_sampled(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    runner, stage = Runner(tmp_path), tiny_pretrain(subword_sampling=ALPHA, select="best")
    runner.build(stage.tokens)
    sampled: list[str] = []
    plain = SentencePieceTokenizer.sample

    def remembered(self, texts, alpha, seed):
        assert alpha == ALPHA
        sampled.extend(texts)
        return plain(self, texts, alpha, seed)

    monkeypatch.setattr(SentencePieceTokenizer, "sample", remembered)
    folder = runner.build(stage)
    assert sampled == 2 * texts_of(runner, stage, "train")
    assert not (folder / "scratch").exists()
    counts = read_json(runner.folder(stage.tokens) / "counts.json")
    for split in ("valid", "test"):
        metrics = read_json(folder / "metrics.json")[split]
        assert metrics["tokens"] == counts[split]["tokens"] - counts[split]["documents"]


def test_every_epoch_has_the_same_share_of_the_schedule(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However many steps an epoch has: schedules are functions of the share of the phase that is done."""
    shown: list[Progress] = []
    plain = Work.progress

    def remembered(self: Work, total: int, unit: str, done: int = 0) -> Progress:
        shown.append(plain(self, total, unit, done))
        return shown[-1]

    monkeypatch.setattr(Work, "progress", remembered)
    stage = tiny_pretrain(subword_sampling=ALPHA)
    (phase,) = stage.settings.phases
    folder = Runner(tmp_path).build(stage)
    steps = read_json(folder / "history.json")["steps"]
    rate = phase_schedules(phase, 3)["lr"]
    for epoch in (0, 1):
        epoch_steps = [step for step in steps if epoch < step["epoch"] <= epoch + 1]
        for index, step in enumerate(epoch_steps):
            share = (epoch + index / len(epoch_steps)) / 2
            numpy.testing.assert_allclose(step["learning_rates"], rate(share), rtol=1e-9)
    assert all(later["step"] == earlier["step"] + 1 for earlier, later in pairwise(steps))
    training = next(progress for progress in shown if progress.unit == "steps")
    assert training.total == training.done == len(steps)
    tokens = read_json(folder / "metrics.json")["training_tokens"]
    assert tokens > read_json(Runner(tmp_path).folder(stage.tokens) / "counts.json")["train"]["tokens"]
    measures = read_json(folder / "manifest.json")["measures"]
    assert measures["tokens_per_second"] * measures["training_seconds"] == pytest.approx(2 * tokens, abs=2)


def test_the_default_is_off_and_stays_out_of_the_key(tmp_path: Path) -> None:
    keys = Runner(tmp_path).keys
    assert keys.key(tiny_pretrain()) == keys.key(tiny_pretrain(subword_sampling=0.0))
    assert keys.key(tiny_pretrain(subword_sampling=ALPHA)) != keys.key(tiny_pretrain())


def test_words_cannot_be_sampled_which_is_said_before_anything_runs() -> None:
    stage = tiny_pretrain()
    words = stage.tokens.tokenizer.changed(model_type="words")
    tokens = stage.tokens.changed(tokenizer=words)
    plain = stage.changed(tokens=tokens)
    for make in (
        lambda: plain.changed(settings=plain.settings.changed(subword_sampling=ALPHA)),
        lambda: FineTune(pretrained=plain, tokens=tokens, settings={"subword_sampling": ALPHA}),
    ):
        with pytest.raises(InputError, match=r"subword_sampling 0.2: a tokenizer of words") as error:
            make()
        assert "\n" not in str(error.value)
