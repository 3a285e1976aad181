"""Streams, reading order, and what a rank reads of them."""

from __future__ import annotations

from pathlib import Path
from unittest.mock import patch

import numpy
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from ulmfit.language_model import loader
from ulmfit.language_model.loader import Placement, StreamLoader, as_read, choose_placement, reading_order
from ulmfit.language_model.stages import BackwardOrder
from ulmfit.pipeline.errors import InputError
from ulmfit.tokens.arrays import TokenArray


@settings(max_examples=50, deadline=None)
@given(tokens=st.integers(3, 500), batch=st.integers(1, 9), bptt=st.integers(2, 30), epoch=st.integers(0, 3))
def test_streams_are_contiguous_and_targets_follow(tokens: int, batch: int, bptt: int, epoch: int) -> None:
    streams = StreamLoader(numpy.arange(tokens, dtype=numpy.uint16), batch, bptt, seed=3)
    batches = list(streams.batches(epoch))
    assert len(batches) == len(streams)
    ids = torch.cat([ids for ids, _ in batches], dim=1)
    targets = torch.cat([targets for _, targets in batches], dim=1)
    assert torch.equal(targets, ids + 1)
    assert torch.equal(ids, ids[:, :1] + torch.arange(ids.shape[1]))
    assert torch.equal(ids[1:, 0], ids[:-1, -1] + 1), "the next stream begins where the last one ends"
    unread = tokens - 1 - ids.numel()
    assert unread < streams.batch_size + bptt, "no more is left over than a shift and a share of a row"


def test_an_epoch_can_begin_anywhere() -> None:
    streams = StreamLoader(numpy.arange(300, dtype=numpy.uint16), 4, 7, seed=1)
    whole = list(streams.batches(2))
    rest = list(streams.batches(2, first=5))
    assert all(torch.equal(a[0], b[0]) for a, b in zip(whole[5:], rest, strict=True))


def test_chunk_borders_move_from_epoch_to_epoch() -> None:
    streams = StreamLoader(numpy.arange(3000, dtype=numpy.uint16), 4, 70, seed=1)
    first_tokens = {int(next(streams.batches(epoch))[0][0, 0]) for epoch in range(8)}
    assert len(first_tokens) > 3


def test_too_few_tokens_are_refused() -> None:
    with pytest.raises(InputError, match="2 tokens are too few"):
        StreamLoader(numpy.arange(2, dtype=numpy.uint16), 4, 7)
    with pytest.raises(InputError, match="7 tokens are too few for 2 processes"):
        StreamLoader(numpy.arange(7, dtype=numpy.uint16), 4, 7, ranks=2)
    with pytest.raises(InputError, match="batch_size 5 cannot be shared by 2 processes"):
        StreamLoader(numpy.arange(99, dtype=numpy.uint16), 5, 7, ranks=2)


@settings(max_examples=50, deadline=None)
@given(
    tokens=st.integers(30, 3000),
    streams=st.integers(1, 3),
    ranks=st.integers(1, 3),
    bptt=st.integers(2, 9),
    first=st.integers(0, 5),
    placement=st.sampled_from(["host", "resident", "windows"]),
)
def test_ranks_and_placements_share_the_batches_of_one_process(
    tokens: int, streams: int, ranks: int, bptt: int, first: int, placement: Placement
) -> None:
    """Windows of two chunks, so that there are several; first may lie beyond the last chunk."""
    ids = numpy.random.default_rng(tokens).integers(0, 65_000, tokens).astype(numpy.uint16)
    single = StreamLoader(ids, streams * ranks, bptt, seed=5)
    with patch.object(loader, "WINDOW_CHUNKS", 2), patch.object(loader, "UPLOAD_TOKENS", 100):
        shares = [
            StreamLoader(ids, streams * ranks, bptt, seed=5, rank=rank, ranks=ranks, placement=placement)
            for rank in range(ranks)
        ]
        read = [list(share.batches(3, first)) for share in shares]
    expected = list(single.batches(3, first))
    assert [len(batches) for batches in read] == [len(expected)] * ranks
    for chunk, (inputs, targets) in enumerate(expected):
        assert torch.equal(inputs, torch.cat([batches[chunk][0] for batches in read]))
        assert torch.equal(targets, torch.cat([batches[chunk][1] for batches in read]))
        assert inputs.dtype == targets.dtype == read[0][chunk][0].dtype == torch.int64
    assert {share.tokens_read for share in shares} == {single.tokens_read}


def test_the_ids_go_to_a_gpu_when_they_fit(monkeypatch: pytest.MonkeyPatch) -> None:
    gpu = torch.device("cuda")
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: (16_000, 99_000))
    assert choose_placement(1000, gpu) == "resident"
    assert choose_placement(1001, gpu) == "windows"
    assert choose_placement(1001, torch.device("cpu")) == "host"


def test_a_memory_mapped_file_is_read_as_it_is(tmp_path: Path) -> None:
    numpy.save(tmp_path / "train.npy", numpy.arange(1000, dtype=numpy.uint16))
    mapped = numpy.load(tmp_path / "train.npy", mmap_mode="r")
    streams = StreamLoader(mapped, 4, 7)
    assert numpy.shares_memory(streams.tokens, mapped)
    ids, _ = next(streams.batches(0))
    ids.zero_()
    assert mapped[:20].tolist() == list(range(20)), "a batch is a copy"


def test_backward_keeps_documents_whole_and_the_mark_in_front() -> None:
    tokens = numpy.array([2, 10, 11, 12, 2, 20, 21], dtype=numpy.uint16)
    backward = reading_order(tokens, 2, backward=True)
    assert backward.tolist() == [2, 21, 20, 2, 12, 11, 10]
    assert reading_order(tokens, 2, backward=False) is tokens
    assert reading_order(backward, 2, backward=True).tolist() == tokens.tolist()
    assert as_read(TokenArray(tokens, numpy.array([0, 4, 7])), 2, backward=True).offsets.tolist() == [0, 3, 7]


@pytest.mark.parametrize(
    ("order", "read"),
    [
        ("bos-last", [21, 20, 2, 2, 12, 11, 10, 2]),
        ("eos-first", [3, 21, 20, 2, 3, 2, 3, 12, 11, 10, 2]),
    ],
)
def test_other_programs_read_backward_with_the_mark_at_the_end(order: BackwardOrder, read: list[int]) -> None:
    tokens = numpy.array([2, 10, 11, 12, 2, 2, 20, 21], dtype=numpy.uint16)
    backward = reading_order(tokens, 2, backward=True, order=order)
    assert (backward.tolist(), backward.dtype) == (read, tokens.dtype)
    assert reading_order(tokens, 2, backward=False, order=order) is tokens
    documents = as_read(TokenArray(tokens, numpy.array([0, 4, 5, 8])), 2, backward=True, order=order)
    ends = numpy.flatnonzero(backward == 2) + 1
    assert documents.offsets.tolist() == [0, *ends]
