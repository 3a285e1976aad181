"""Streams whose state is set to zero now and then, so that a model knows how a document begins."""

from __future__ import annotations

from types import SimpleNamespace

import numpy
import pytest
import torch
from fastai.callback.core import Callback

from ulmfit.language_model.forgetting import forgetting
from ulmfit.language_model.learner import language_model_learner
from ulmfit.language_model.loader import StreamLoader
from ulmfit.language_model.model import LanguageModel
from ulmfit.language_model.settings import Architecture, Dropouts, LanguageModelSettings

VOCABULARY, STREAMS, BPTT = 30, 5, 7
NO_DROPOUT = Dropouts(multiplier=0.0)


class Noted(Callback):
    """Writes down which streams a chunk of training or validation begins without a state."""

    order = 100

    def __init__(self) -> None:
        self.empty: dict[bool, list[list[int]]] = {True: [], False: []}

    def before_batch(self) -> None:
        state = self.learn.inner.state
        if state is not None:
            sums = sum(tensor.abs().sum(dim=(0, 2)) for layer in state for tensor in layer)
            self.empty[self.learn.training].append(torch.nonzero(sums == 0).flatten().tolist())


def model_of(kind: str) -> LanguageModel:
    torch.manual_seed(1)
    return LanguageModel(
        VOCABULARY, Architecture(kind=kind, embedding_size=8, hidden_size=12, layers=2), NO_DROPOUT
    )


@pytest.mark.parametrize("kind", ["lstm", "qrnn"])
def test_a_forgotten_stream_goes_on_as_a_new_one_and_the_others_as_they_were(kind: str) -> None:
    model = model_of(kind).eval()
    ids = torch.randint(VOCABULARY, (STREAMS, 2 * BPTT), generator=torch.Generator().manual_seed(2))
    with torch.no_grad():
        carried = model(ids).raw[:, BPTT:]
        model.reset()
        new = model(ids[:, BPTT:]).raw
        model.reset()
        model(ids[:, :BPTT])
        model.forget(slice(1, None, 3))
        found = model(ids[:, BPTT:]).raw
    for stream in range(STREAMS):
        expected = new if stream in (1, 4) else carried
        torch.testing.assert_close(found[stream], expected[stream], rtol=1e-5, atol=1e-6)
    assert not torch.allclose(new, carried)


@pytest.mark.parametrize(
    ("every", "expected"), [(0, [[], [], []]), (3, [[2], [1, 4], [0, 3]]), (1, [[0, 1, 2, 3, 4]] * 3)]
)
def test_every_stream_has_its_turn_in_training_alone(every: int, expected: list[list[int]]) -> None:
    tokens = (
        numpy.random.default_rng(3).integers(VOCABULARY, size=4 * BPTT * STREAMS + 9).astype(numpy.uint16)
    )
    settings = LanguageModelSettings(
        batch_size=STREAMS, bptt=BPTT, reset_state_every=every, precision="fp32", device="cpu"
    )
    noted = Noted()
    learn = language_model_learner(model_of("lstm"), tokens, tokens, settings, callbacks=[noted])
    with learn.no_bar(), learn.no_logging():
        learn.fit(1, 1e-3)
    assert noted.empty[True][:3] == expected
    assert noted.empty[False] == [[]] * len(noted.empty[False]) != []


def test_processes_forget_the_streams_that_one_process_forgets() -> None:
    tokens, ranks, every = numpy.zeros(600, dtype=numpy.uint16), 3, 4

    def forgotten(loader: StreamLoader, chunk: int) -> list[int]:
        """Return the numbers, among all processes', of the streams that are forgotten before a chunk."""
        (callback,) = forgetting(LanguageModelSettings(reset_state_every=every), loader)
        rows: list[slice] = []
        callback.learn = SimpleNamespace(iter=chunk, inner=SimpleNamespace(forget=rows.append))
        callback.before_batch()
        return [loader.first_stream + row for row in range(loader.streams)[rows[0]]]

    parts = [StreamLoader(tokens, 6, BPTT, rank=rank, ranks=ranks) for rank in range(ranks)]
    for chunk in range(9):
        together = [stream for part in parts for stream in forgotten(part, chunk)]
        assert together == forgotten(StreamLoader(tokens, 6, BPTT), chunk) != []
