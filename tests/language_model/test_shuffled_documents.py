"""Documents in another order every epoch: each token once, no document cut, the same on all ranks."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from unittest.mock import patch

import numpy
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from stages_for_tests import tiny_pretrain

from ulmfit.language_model import loader
from ulmfit.language_model.learner import language_model_learner
from ulmfit.language_model.loader import Placement, StreamLoader, as_read
from ulmfit.language_model.model import LanguageModel
from ulmfit.language_model.settings import Architecture, Dropouts, LanguageModelSettings
from ulmfit.pipeline.files import read_json
from ulmfit.pipeline.runner import Runner
from ulmfit.tokens.arrays import TokenArray

BOS = 0


def documents_of(lengths: list[int]) -> TokenArray:
    """Return documents [bos x x+1 ...]; no two places of the array but those of bos have the same id."""
    offsets = numpy.concatenate([[0], numpy.cumsum(lengths)])
    tokens = numpy.arange(1, offsets[-1] + 1, dtype=numpy.uint16)
    tokens[offsets[:-1]] = BOS
    return TokenArray(tokens, offsets)


def streams_of(loader: StreamLoader, epoch: int, first: int = 0) -> torch.Tensor:
    """Return an epoch's ids and the last target, (streams, tokens of a stream + 1)."""
    batches = list(loader.batches(epoch, first))
    ids = torch.cat([ids for ids, _ in batches], dim=1)
    targets = torch.cat([targets for _, targets in batches], dim=1)
    assert torch.equal(ids[:, 1:], targets[:, :-1])
    return torch.cat([ids, targets[:, -1:]], dim=1)


@settings(max_examples=50, deadline=None)
@given(
    lengths=st.lists(st.integers(1, 40), min_size=3, max_size=60),
    batch=st.integers(1, 5),
    bptt=st.integers(2, 9),
    epoch=st.integers(0, 3),
    backward=st.booleans(),
)
def test_an_epoch_reads_whole_documents_each_once(
    lengths: list[int], batch: int, bptt: int, epoch: int, backward: bool
) -> None:
    array = as_read(documents_of(lengths), BOS, backward=backward)
    streams = StreamLoader(array.tokens, batch, bptt, offsets=array.offsets, seed=3)
    read = streams_of(streams, epoch)
    assert torch.equal(read[1:, 0], read[:-1, -1]), "the next stream begins where the last one ends"
    text = numpy.append(read[:, :-1].flatten().numpy(), read[-1, -1])
    unread = len(array.tokens) - len(text)
    assert unread < streams.batch_size + bptt, "no more is left over than a shift and a share of a row"
    pieces = numpy.split(text, numpy.flatnonzero(text == BOS))
    known = {tuple(array.document(n)) for n in range(len(array))}
    assert all(tuple(piece) in known for piece in pieces[1:-1])
    places = Counter(text[text != BOS].tolist())
    assert set(places.values()) <= {1}
    assert (text == BOS).sum() <= len(array)
    for piece, whole_end in ((pieces[0], True), (pieces[-1], False)):
        ends = [d[-len(piece) :] if whole_end else d[: len(piece)] for d in known if len(piece)]
        assert not len(piece) or tuple(piece) in ends, "begin and end of an epoch are parts of documents"


def test_orders_differ_between_epochs_and_seeds_and_from_the_corpus() -> None:
    array = documents_of([5] * 40)

    def order(seed: int, epoch: int) -> tuple[int, ...]:
        read = streams_of(StreamLoader(array.tokens, 1, 7, offsets=array.offsets, seed=seed), epoch)
        return tuple(read[0][read[0] % 5 == 3].tolist())

    orders = {order(seed, epoch) for seed in (0, 1) for epoch in range(3)}
    assert len(orders) == 6
    assert not any(list(one) == sorted(one) for one in orders), "epoch 0 is shuffled too"
    assert order(1, 2) == order(1, 2)


def test_without_offsets_the_batches_are_those_of_slices_of_the_array() -> None:
    tokens = numpy.random.default_rng(0).integers(0, 999, 5003).astype(numpy.uint16)
    streams = StreamLoader(tokens, 4, 7, seed=9)
    shift = int(numpy.random.default_rng([9, 2]).integers(0, 8))
    length = (5003 - 1 - 7) // 4
    inputs, targets = (tokens[shift + n : shift + n + 4 * length].reshape(4, length) for n in (0, 1))
    batches = list(streams.batches(2))
    assert len(batches) == -(-length // 7)
    for chunk, (ids, following) in enumerate(batches):
        part = slice(7 * chunk, 7 * chunk + 7)
        assert numpy.array_equal(ids, inputs[:, part])
        assert numpy.array_equal(following, targets[:, part])


@settings(max_examples=50, deadline=None)
@given(
    lengths=st.lists(st.integers(0, 40), min_size=20, max_size=90),
    streams=st.integers(1, 3),
    ranks=st.integers(1, 3),
    bptt=st.integers(2, 9),
    first=st.integers(0, 5),
    placement=st.sampled_from(["host", "resident", "windows"]),
)
def test_ranks_placements_and_resumes_read_what_one_process_reads(
    lengths: list[int], streams: int, ranks: int, bptt: int, first: int, placement: Placement
) -> None:
    offsets = numpy.concatenate([[0], numpy.cumsum([*lengths, 30])])
    ids = numpy.random.default_rng(len(lengths)).integers(0, 65_000, offsets[-1]).astype(numpy.uint16)
    single = list(StreamLoader(ids, streams * ranks, bptt, offsets=offsets, seed=5).batches(3))
    with patch.object(loader, "WINDOW_CHUNKS", 2), patch.object(loader, "UPLOAD_TOKENS", 100):
        shares = [
            StreamLoader(
                ids,
                streams * ranks,
                bptt,
                offsets=offsets,
                seed=5,
                rank=rank,
                ranks=ranks,
                placement=placement,
            )
            for rank in range(ranks)
        ]
        read = [list(share.batches(3, first)) for share in shares]
    assert [len(batches) for batches in read] == [max(len(single) - first, 0)] * ranks
    for chunk, (inputs, targets) in enumerate(single[first:]):
        assert torch.equal(inputs, torch.cat([batches[chunk][0] for batches in read]))
        assert torch.equal(targets, torch.cat([batches[chunk][1] for batches in read]))


@pytest.mark.parametrize("direction", ["forward", "backward"])
def test_training_shuffles_by_default_and_validation_never(
    direction: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[StreamLoader] = []
    plain = StreamLoader.__init__

    def remembered(self: StreamLoader, *arguments: object, **options: object) -> None:
        plain(self, *arguments, **options)
        made.append(self)

    monkeypatch.setattr(StreamLoader, "__init__", remembered)
    losses = []
    for shuffled in (True, False):
        stage = tiny_pretrain(shuffle_documents=shuffled).changed(direction=direction)
        folder = Runner(tmp_path).build(stage)
        losses.append(read_json(folder / "history.json")["epochs"][-1]["valid_loss"])
        train, valid = made[-2:]
        assert valid.offsets is None
        assert (train.offsets is not None) == shuffled
        if train.offsets is not None:
            assert {int(train.tokens[begin]) for begin in train.offsets[:-1]} == {2}
    assert losses[0] != losses[1]


def test_a_learner_of_ones_own_shuffles_where_it_is_told_the_documents() -> None:
    array = documents_of([9] * 40)
    model = LanguageModel(400, Architecture(embedding_size=4, hidden_size=4, layers=1), Dropouts())
    plain = LanguageModelSettings(batch_size=2, bptt=7)
    for shuffled, offsets in ((True, array.offsets), (True, None), (False, array.offsets)):
        learner = language_model_learner(
            model,
            array.tokens,
            array.tokens,
            plain.changed(shuffle_documents=shuffled),
            offsets=offsets,
        )
        assert (learner.dls.train.offsets is not None) == (shuffled and offsets is not None)
        assert learner.dls.valid.offsets is None


def test_subword_sampling_shuffles_the_pieces_of_the_epoch(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from ulmfit.language_model.sampling import SampledStreams

    lent: list[StreamLoader] = []
    plain = SampledStreams._loader

    def remembered(self: SampledStreams, array: TokenArray) -> StreamLoader:
        lent.append(plain(self, array))
        return lent[-1]

    monkeypatch.setattr(SampledStreams, "_loader", remembered)
    Runner(tmp_path).build(tiny_pretrain(subword_sampling=0.2))
    assert len(lent) == 2
    assert all(one.offsets is not None and one.offsets[-1] == len(one.tokens) for one in lent)
