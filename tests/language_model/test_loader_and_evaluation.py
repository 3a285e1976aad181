"""Streams, reading order, and evaluation that does not depend on the batch."""

from __future__ import annotations

import math

import numpy
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from ulmfit.errors import InputError
from ulmfit.language_model.evaluate import document_losses, perplexities
from ulmfit.language_model.loader import StreamLoader, reading_order
from ulmfit.language_model.model import LanguageModel
from ulmfit.language_model.settings import Architecture, Dropouts


@settings(max_examples=50, deadline=None)
@given(tokens=st.integers(3, 500), batch=st.integers(1, 9), bptt=st.integers(2, 30), epoch=st.integers(0, 3))
def test_streams_are_contiguous_and_targets_follow(tokens: int, batch: int, bptt: int, epoch: int) -> None:
    loader = StreamLoader(numpy.arange(tokens, dtype=numpy.uint16), batch, bptt, seed=3)
    batches = list(loader.batches(epoch))
    assert len(batches) == len(loader)
    ids = torch.cat([ids for ids, _ in batches], dim=1)
    targets = torch.cat([targets for _, targets in batches], dim=1)
    assert torch.equal(targets, ids + 1)
    assert torch.equal(ids, ids[:, :1] + torch.arange(ids.shape[1]))
    assert torch.equal(ids[1:, 0], ids[:-1, -1] + 1), "the next stream begins where the last one ends"
    unread = tokens - 1 - ids.numel()
    assert unread < loader.batch_size + bptt, "no more is left over than a shift and a share of a row"


def test_an_epoch_can_begin_anywhere() -> None:
    loader = StreamLoader(numpy.arange(300, dtype=numpy.uint16), 4, 7, seed=1)
    whole = list(loader.batches(2))
    rest = list(loader.batches(2, first=5))
    assert all(torch.equal(a[0], b[0]) for a, b in zip(whole[5:], rest, strict=True))


def test_chunk_borders_move_from_epoch_to_epoch() -> None:
    loader = StreamLoader(numpy.arange(3000, dtype=numpy.uint16), 4, 70, seed=1)
    first_tokens = {int(next(loader.batches(epoch))[0][0, 0]) for epoch in range(8)}
    assert len(first_tokens) > 3


def test_too_few_tokens_are_refused() -> None:
    with pytest.raises(InputError, match="2 tokens are too few"):
        StreamLoader(numpy.arange(2, dtype=numpy.uint16), 4, 7)


def test_backward_keeps_documents_whole_and_the_mark_in_front() -> None:
    tokens = numpy.array([2, 10, 11, 12, 2, 20, 21], dtype=numpy.uint16)
    backward = reading_order(tokens, 2, backward=True)
    assert backward.tolist() == [2, 21, 20, 2, 12, 11, 10]
    assert reading_order(tokens, 2, backward=False) is tokens
    assert reading_order(backward, 2, backward=True).tolist() == tokens.tolist()


def model() -> LanguageModel:
    torch.manual_seed(2)
    return LanguageModel(40, Architecture(embedding_size=8, hidden_size=12, layers=2), Dropouts())


def documents() -> list[numpy.ndarray]:
    random = numpy.random.default_rng(0)
    lengths = [1, 2, 5, 71, 72, 140, 141, 142, 200, 33]
    return [numpy.concatenate([[2], random.integers(4, 40, n - 1)]).astype(numpy.uint16) for n in lengths]


def test_evaluation_does_not_depend_on_batch_size() -> None:
    one = document_losses(model(), documents(), 1)
    for batch_size in (3, 10):
        numpy.testing.assert_allclose(document_losses(model(), documents(), batch_size), one, rtol=1e-5)


def test_evaluation_equals_a_float64_computation() -> None:
    exact = model().double().eval()
    expected = []
    for document in documents():
        ids = torch.from_numpy(document.astype(numpy.int64))[None]
        exact.reset()
        logits = exact(ids)[0][0, :-1] if ids.shape[1] > 1 else torch.zeros(0, 40, dtype=torch.float64)
        loss = torch.nn.functional.cross_entropy(logits, ids[0, 1:], reduction="sum")
        expected.append(float(loss.detach()))
    numpy.testing.assert_allclose(document_losses(model(), documents(), 4), expected, rtol=1e-5)


def test_perplexities_by_hand() -> None:
    result = perplexities(loss_sum=200.0, documents=3, tokens=100, words=50, characters=400, unknown_tokens=0)
    assert result["loss"] == 2.0
    assert result["token_perplexity"] == pytest.approx(math.exp(2))
    assert result["word_perplexity"] == pytest.approx(math.exp(4))
    assert result["bits_per_character"] == pytest.approx(200 / math.log(2) / 400)
