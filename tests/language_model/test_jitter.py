"""Chunks of random length, and rates that follow them."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from unittest.mock import patch

import numpy
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from stages_for_tests import tiny_pretrain

from ulmfit.language_model import loader
from ulmfit.language_model.engines.cuda_graph import replays_steps
from ulmfit.language_model.jitter import chunk_lengths
from ulmfit.language_model.learner import language_model_learner
from ulmfit.language_model.loader import Placement, StreamLoader
from ulmfit.language_model.settings import LanguageModelSettings
from ulmfit.pipeline.files import read_json
from ulmfit.pipeline.runner import Runner
from ulmfit.training.schedules import phase_schedules


def test_lengths_are_those_of_awd_lstm() -> None:
    lengths = chunk_lengths(numpy.random.default_rng(0), 70, 7_000_000)
    halves = lengths < 52
    assert halves.mean() == pytest.approx(0.05, abs=0.002)
    # The whole part of N(70, 5) is half a token less on average.
    assert lengths[~halves].mean() == pytest.approx(69.5, abs=0.1)
    assert lengths[halves].mean() == pytest.approx(34.5, abs=0.3)
    assert lengths[~halves].std() == pytest.approx(5, abs=0.1)
    assert lengths.sum() >= 7_000_000 > lengths[:-1].sum()
    assert chunk_lengths(numpy.random.default_rng(0), 6, 10_000).min() == 5


@settings(max_examples=50, deadline=None)
@given(
    tokens=st.integers(60, 4000),
    streams=st.integers(1, 3),
    ranks=st.integers(1, 3),
    bptt=st.integers(2, 30),
    first=st.integers(0, 5),
    placement=st.sampled_from(["host", "resident", "windows"]),
    shuffled=st.booleans(),
)
def test_ranks_placements_and_resumes_read_the_same_chunks(
    tokens: int, streams: int, ranks: int, bptt: int, first: int, placement: Placement, shuffled: bool
) -> None:
    ids = numpy.random.default_rng(tokens).integers(0, 65_000, tokens).astype(numpy.uint16)
    offsets = numpy.array([*range(0, tokens, 11), tokens]) if shuffled else None
    options = {"offsets": offsets, "seed": 5}
    plain = StreamLoader(ids, streams * ranks, bptt, **options)
    single = StreamLoader(ids, streams * ranks, bptt, jitter=True, **options)
    expected = list(single.batches(3))
    assert len(single.in_epoch(3)) == len(expected)
    for column in (0, 1):
        together = torch.cat([batch[column] for batch in expected], dim=1)
        assert torch.equal(together, torch.cat([batch[column] for batch in plain.batches(3)], dim=1))
    assert all(inputs.shape[1] >= 5 for inputs, _ in expected[:-1])
    with patch.object(loader, "WINDOW_CHUNKS", 2), patch.object(loader, "UPLOAD_TOKENS", 100):
        read = [
            list(
                StreamLoader(
                    ids,
                    streams * ranks,
                    bptt,
                    jitter=True,
                    rank=rank,
                    ranks=ranks,
                    placement=placement,
                    **options,
                ).batches(3, first)
            )
            for rank in range(ranks)
        ]
    assert [len(batches) for batches in read] == [max(len(expected) - first, 0)] * ranks
    for chunk, (inputs, targets) in enumerate(expected[first:]):
        assert torch.equal(inputs, torch.cat([batches[chunk][0] for batches in read]))
        assert torch.equal(targets, torch.cat([batches[chunk][1] for batches in read]))


def test_lengths_differ_between_epochs_and_seeds_and_validation_has_none() -> None:
    ids = numpy.zeros(9000, numpy.uint16)

    def lengths(seed: int, epoch: int) -> tuple[int, ...]:
        streams = StreamLoader(ids, 2, 20, seed=seed, jitter=True)
        return tuple(inputs.shape[1] for inputs, _ in streams.batches(epoch))

    assert len({lengths(seed, epoch) for seed in (0, 1) for epoch in (0, 1)}) == 4
    assert lengths(1, 1) == lengths(1, 1)
    learner = language_model_learner(*small(), LanguageModelSettings(bptt=20, bptt_jitter="unscaled"))
    assert not learner.dls.valid.jitter


def small() -> tuple[torch.nn.Module, numpy.ndarray, numpy.ndarray]:
    from ulmfit.language_model.model import LanguageModel
    from ulmfit.language_model.settings import Architecture, Dropouts

    model = LanguageModel(9, Architecture(embedding_size=4, hidden_size=4, layers=1), Dropouts())
    return model, numpy.zeros(9000, numpy.uint16), numpy.zeros(900, numpy.uint16)


@pytest.mark.parametrize("jitter", ["scaled", "unscaled"])
def test_a_step_has_the_rate_of_its_length(
    jitter: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All steps of all epochs are run, whatever their number; the schedule is that of the share done."""
    lengths: list[list[int]] = []
    plain = StreamLoader.batches

    def remembered(self: StreamLoader, epoch: int, first: int = 0):
        assert first == 0
        lengths.append([])
        for inputs, targets in plain(self, epoch, first):
            lengths[-1].append(inputs.shape[1])
            yield inputs, targets

    stage = tiny_pretrain(bptt_jitter=jitter, bptt=20)
    Runner(tmp_path).build(stage.tokens)
    monkeypatch.setattr(StreamLoader, "batches", remembered)
    folder = Runner(tmp_path).build(stage)
    steps = read_json(folder / "history.json")["steps"]
    training = [lengths[0], lengths[2]]
    assert len(steps) == sum(map(len, training))
    assert len(set(training[0])) > 5
    assert set(lengths[1][:-1]) == {20}, "validation has chunks of one length"
    rate = phase_schedules(stage.settings.phases[0], 3)["lr"]
    of_all = iter(steps)
    for epoch, of_epoch in enumerate(training):
        for number, length in enumerate(of_epoch):
            expected = rate((epoch + number / len(of_epoch)) / 2)
            factor = length / 20 if jitter == "scaled" else 1
            numpy.testing.assert_allclose(next(of_all)["learning_rates"], expected * factor, rtol=1e-9)
    counts = [step["step"] for step in steps]
    assert all(later == earlier + 1 for earlier, later in pairwise(counts))


def test_subword_sampling_has_jitter_too(tmp_path: Path) -> None:
    folder = Runner(tmp_path).build(tiny_pretrain(bptt_jitter="unscaled", subword_sampling=0.2))
    epochs = read_json(folder / "history.json")["steps"][-1]["epoch"]
    assert epochs == 2.0


def test_graphs_of_one_length_are_declined_with_a_line() -> None:
    said: list[str] = []
    gpu, cpu = torch.device("cuda"), torch.device("cpu")
    plain = LanguageModelSettings()
    assert replays_steps(plain, gpu, said.append)
    assert not replays_steps(plain, cpu, said.append)
    assert not replays_steps(plain.changed(cuda_graphs=False), gpu, said.append)
    assert said == []
    assert not replays_steps(plain.changed(bptt_jitter="unscaled"), gpu, said.append)
    assert len(said) == 1
    assert "bptt_jitter" in said[0]
