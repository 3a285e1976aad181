"""Evaluation: equal to a float64 computation, whatever the batch; bounded memory; figures by hand."""

from __future__ import annotations

import math
import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from ulmfit.language_model.evaluate import (
    CHUNK,
    describe_perplexities,
    document_losses,
    evaluate_splits,
    perplexities,
)
from ulmfit.language_model.loader import reading_order
from ulmfit.language_model.model import LanguageModel
from ulmfit.language_model.settings import Architecture, Dropouts, PretrainSettings
from ulmfit.pipeline.errors import InputError
from ulmfit.pipeline.files import write_json
from ulmfit.tokens.arrays import TokenArray, TokenArrayWriter
from ulmfit.tokens.tokenizer import EOS_ID

BOS, PAD, UNK = 2, 1, 0
KINDS = ("lstm", "qrnn")


def language_model(kind: str = "lstm") -> LanguageModel:
    torch.manual_seed(2)
    architecture = Architecture(kind=kind, embedding_size=8, hidden_size=12, layers=2)
    return LanguageModel(40, architecture, Dropouts())


def documents_of(lengths: list[int]) -> list[numpy.ndarray]:
    random = numpy.random.default_rng(0)
    return [numpy.concatenate([[BOS], random.integers(4, 40, n - 1)]).astype(numpy.uint16) for n in lengths]


def token_array(documents: list[numpy.ndarray]) -> TokenArray:
    offsets = numpy.cumsum([0, *map(len, documents)], dtype=numpy.int64)
    return TokenArray(numpy.concatenate(documents), offsets)


LENGTHS = [1, 2, 5, 71, 72, 140, 141, 142, 200, 33, 2]


def exact_losses(kind: str, documents: list[numpy.ndarray], *, backward: bool, with_end: bool) -> list[float]:
    """Each document alone, in float64, in one piece, with torch's own cross-entropy."""
    model = language_model(kind).double().eval()
    expected = []
    for document in documents:
        read = reading_order(document, BOS, backward=backward).astype(numpy.int64)
        ids = torch.from_numpy(numpy.append(read, [BOS] if with_end else numpy.zeros(0, numpy.int64)))[None]
        if ids.shape[1] < 2:
            expected.append(0.0)
            continue
        model.reset()
        with torch.no_grad():
            logits = model(ids[:, :-1]).logits[0]
        expected.append(float(torch.nn.functional.cross_entropy(logits, ids[0, 1:], reduction="sum")))
    return expected


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("backward", [False, True])
@pytest.mark.parametrize("with_end", [False, True])
def test_losses_equal_a_float64_computation(kind: str, backward: bool, with_end: bool) -> None:
    documents = documents_of(LENGTHS)
    expected = exact_losses(kind, documents, backward=backward, with_end=with_end)
    for batch_size in (1, 3, 32):
        found = document_losses(
            language_model(kind), token_array(documents), batch_size, backward=backward, with_end=with_end
        )
        numpy.testing.assert_allclose(found, expected, rtol=1e-5)


@pytest.mark.parametrize("with_end", [False, True])
def test_a_backward_text_is_scored_behind_what_stands_before_it_in_training(with_end: bool) -> None:
    documents = documents_of([9, 80])
    model = language_model().double().eval()
    for order, first in (("bos-last", BOS), ("eos-first", EOS_ID)):
        found = document_losses(
            model, token_array(documents), 2, backward=True, order=order, with_end=with_end
        )
        for document, loss in zip(documents, found, strict=True):
            read = [first, *document[:0:-1].tolist(), *([BOS] if with_end else [])]
            model.reset()
            with torch.no_grad():
                logits = model(torch.tensor([read[:-1]])).logits[0]
            expected = torch.nn.functional.cross_entropy(logits, torch.tensor(read[1:]), reduction="sum")
            assert loss == pytest.approx(float(expected), rel=1e-5)


@settings(max_examples=30, deadline=None)
@given(
    lengths=st.lists(st.one_of(st.integers(1, 12), st.integers(60, 300)), min_size=1, max_size=12),
    batch_size=st.integers(1, 9),
)
def test_losses_do_not_depend_on_the_batch(lengths: list[int], batch_size: int) -> None:
    array, model = token_array(documents_of(lengths)), language_model().double()
    numpy.testing.assert_allclose(
        document_losses(model, array, batch_size), document_losses(model, array, 1), rtol=1e-10
    )


def test_padding_is_never_scored_and_ended_rows_leave() -> None:
    lengths = [1, 3, 400, 90, 20, 8, 71]
    model = language_model()
    shapes: list[tuple[int, ...]] = []
    model.encoder.register_forward_pre_hook(lambda _, given: shapes.append(tuple(given[0].shape)))
    read: list[int] = []
    document_losses(model, token_array(documents_of(lengths)), 2, advance=read.append)
    assert sum(read) == sum(lengths) - len(lengths)
    assert all(rows * positions <= 2 * CHUNK for rows, positions in shapes)
    assert shapes[:3] == [(2, 70), (2, 70), (1, 70)], "the second document has 89 tokens to score"
    assert sum(rows * positions for rows, positions in shapes) <= 1.6 * sum(read)


def test_many_short_documents_share_a_batch() -> None:
    model = language_model()
    shapes: list[tuple[int, ...]] = []
    model.encoder.register_forward_pre_hook(lambda _, given: shapes.append(tuple(given[0].shape)))
    document_losses(model, token_array(documents_of([8] * 40)), 4)
    assert shapes == [(40, 7)]


def test_a_model_that_trains_goes_on_training() -> None:
    model = language_model().train()
    first = document_losses(model, token_array(documents_of([50])), 4)
    assert model.training
    assert document_losses(model.eval(), token_array(documents_of([50])), 4) == first, "no dropout was on"
    assert not model.training


def test_perplexities_by_hand() -> None:
    result = perplexities(loss_sum=200.0, documents=3, tokens=100, words=50, characters=400, unknown_tokens=0)
    assert result.loss == 2.0
    assert result.token_perplexity == pytest.approx(math.exp(2))
    assert result.word_perplexity == pytest.approx(math.exp(4))
    assert result.bits_per_character == pytest.approx(0.7213475)


def test_bits_per_character_of_a_uniform_model() -> None:
    """Four characters, one token each, four equally likely tokens: two bits a character."""
    result = perplexities(
        loss_sum=4 * math.log(4), documents=1, tokens=4, words=1, characters=4, unknown_tokens=0
    )
    assert result.bits_per_character == pytest.approx(2)
    assert result.token_perplexity == pytest.approx(4)
    assert result.word_perplexity == pytest.approx(256)


def test_perplexity_beyond_a_float_is_none() -> None:
    result = perplexities(loss_sum=3e5, documents=1, tokens=100, words=1, characters=400, unknown_tokens=0)
    assert result.word_perplexity is None


def test_unknown_tokens_are_told() -> None:
    figures = {"loss_sum": 200.0, "documents": 3, "tokens": 60_000, "words": 50_000, "characters": 400}
    assert "unknown" not in describe_perplexities("test", perplexities(**figures, unknown_tokens=0))
    line = describe_perplexities("test", perplexities(**figures, unknown_tokens=1200))
    assert "not comparable: 1,200 unknown tokens, 2.4 per 100 words" in line
    line = describe_perplexities("test", perplexities(**figures, unknown_tokens=5))
    assert "not comparable" not in line
    assert "(5 unknown tokens, 0.01 per 100 words)" in line


class FakeWork(SimpleNamespace):
    """The part of a stage's work that evaluation uses."""

    def __init__(self) -> None:
        super().__init__(lines=[], measures={})

    def log(self, line: str) -> None:
        self.lines.append(line)

    def measure(self, name: str, value: float) -> None:
        self.measures[name] = value

    def progress(self, total: int, unit: str) -> SimpleNamespace:
        return SimpleNamespace(advance=lambda count: None, close=lambda: None)


def test_splits_with_documents_are_evaluated(tmp_path: Path) -> None:
    documents = documents_of([30, 80, 5])
    documents[1][7] = UNK
    counts = {}
    for split, chosen in (("train", documents), ("valid", documents), ("test", [])):
        with TokenArrayWriter(tmp_path, split, 40) as writer:
            writer.append(chosen)
        counts[split] = {"documents": len(chosen), "words": 60, "characters": 500}
    write_json(tmp_path / "counts.json", counts)
    work, model = FakeWork(), language_model()
    figures = evaluate_splits(model, tmp_path, SimpleNamespace(unk_id=UNK), PretrainSettings(), False, work)
    expected = sum(exact_losses("lstm", documents, backward=False, with_end=False))
    assert set(figures) == {"valid"}
    assert figures["valid"].tokens == 112
    assert figures["valid"].unknown_tokens == 1
    assert figures["valid"].scoring_precision == "fp32"
    assert figures["valid"].loss == pytest.approx(expected / 112, rel=1e-5)
    assert figures["valid"].word_perplexity == pytest.approx(math.exp(expected / 60), rel=1e-4)
    assert figures["valid"].bits_per_character == pytest.approx(expected / math.log(2) / 500, rel=1e-5)
    assert len(work.lines) == 1
    assert "not comparable" in work.lines[0]
    assert work.measures["evaluation_tokens_per_second"] > 0


def test_losses_that_are_no_numbers_are_one_line(tmp_path: Path) -> None:
    model = language_model()
    with torch.no_grad():
        model.decoder.decoder.bias.fill_(math.nan)
    with TokenArrayWriter(tmp_path, "valid", 40) as writer:
        writer.append(documents_of([30]))
    write_json(tmp_path / "counts.json", {"valid": {"documents": 1, "words": 60, "characters": 500}})
    tokenizer, settings = SimpleNamespace(unk_id=UNK), PretrainSettings()
    with pytest.raises(InputError, match="valid: the language model's loss is nan; expected a finite number"):
        evaluate_splits(model, tmp_path, tokenizer, settings, False, FakeWork())


LONG_DOCUMENT = """
import resource, numpy, torch
from ulmfit.language_model.evaluate import document_losses
from ulmfit.language_model.model import LanguageModel
from ulmfit.language_model.settings import Architecture, Dropouts
from ulmfit.tokens.arrays import TokenArray

def array(length):
    tokens = numpy.random.default_rng(0).integers(4, 40, length).astype(numpy.uint16)
    return TokenArray(tokens, numpy.array([0, length], dtype=numpy.int64))

peak = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
model = LanguageModel(40, Architecture(embedding_size=8, hidden_size=8, layers=1), Dropouts())
document_losses(model, array(5_000), 32)
before = peak()
losses = document_losses(model, array(%d), 32)
assert numpy.isfinite(losses).all()
print(peak() - before)
"""


@pytest.mark.soak
def test_a_million_tokens_take_no_more_memory_than_five_thousand() -> None:
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    program = [sys.executable, "-c", LONG_DOCUMENT % 1_000_000]
    done = subprocess.run(program, capture_output=True, text=True, check=True, env=environment)
    assert int(done.stdout) < 20_000, "KiB; the tokens alone have 2,000, all hidden states would have 32,000"
