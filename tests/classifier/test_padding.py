"""How much padding the batches of an epoch have, as a model computes it."""

from __future__ import annotations

from pathlib import Path

import numpy
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ulmfit.classifier.loader import DocumentLoader

BATCH, BPTT = 64, 70
MOST = 0.07


def documents(lengths: list[int] | numpy.ndarray) -> list[numpy.ndarray]:
    return [numpy.full(length, 5, dtype=numpy.uint16) for length in lengths]


def loader(lengths: list[int] | numpy.ndarray, batch: int = BATCH, **options: object) -> DocumentLoader:
    return DocumentLoader(documents(lengths), [0] * len(lengths), batch, seed=3, **options)


def computed_by_hand(batches: DocumentLoader, bptt: int, epoch: int) -> int:
    """Count tokens as the model reads them: chunk by chunk, without the documents that have ended."""
    count = 0
    for ids, lengths, _ in batches.batches(epoch):
        for start in range(0, ids.shape[1], bptt):
            chunk = ids[lengths > start, start : start + bptt]
            count += chunk.numel()
    return count


@given(lengths=st.lists(st.integers(1, 50), min_size=2, max_size=60), bptt=st.integers(2, 60))
def test_the_share_is_that_of_the_tokens_that_are_computed(lengths: list[int], bptt: int) -> None:
    batches = loader(lengths, batch=8)
    for epoch in (0, 1):
        computed = computed_by_hand(batches, bptt, epoch)
        assert batches.padding_share(bptt, epoch) == pytest.approx(1 - sum(lengths) / computed)


def test_padding_by_hand() -> None:
    """Chunks of 4: the first has 2 documents of 4 tokens, the second has one of 1 token."""
    assert loader([5, 3], batch=2).padding_share(4) == pytest.approx(1 - 8 / 9)
    assert loader([4, 4], batch=2).padding_share(4) == 0


@pytest.mark.parametrize(("median", "spread", "count"), [(25, 0.7, 4000), (300, 0.8, 4000), (15, 0.4, 1500)])
@pytest.mark.parametrize("shuffled", [True, False])
def test_padding_of_made_up_lengths(median: int, spread: float, count: int, shuffled: bool) -> None:
    lengths = numpy.random.default_rng(0).lognormal(numpy.log(median), spread, count).astype(int) + 2
    batches = loader(lengths, shuffled=shuffled)
    assert all(batches.padding_share(BPTT, epoch) <= MOST for epoch in range(3))


REAL = {
    "GermEval 2018": ("de-germeval2018/germeval2018.training.txt", "\t", 0),
    "8TAGS": ("pl-8tags/train.txt", " ", 1),
    "WCCRS hotels": ("pl-wccrs-hotels/train.txt", " ", 1),
}


@pytest.mark.parametrize("name", REAL)
@pytest.mark.parametrize("pieces", [1.0, 1.8], ids=["words", "about as many pieces as a subword model makes"])
def test_padding_of_real_texts(shared_data: Path, name: str, pieces: float) -> None:
    file, separator, column = REAL[name]
    lines = (shared_data / file).read_text(encoding="utf-8").splitlines()
    texts = [
        line.split(separator, 1)[column] if column else line.split(separator)[0] for line in lines if line
    ]
    assert len(texts) > 5000
    batches = loader([1 + int(pieces * len(text.split())) for text in texts])
    shares = [batches.padding_share(BPTT, epoch) for epoch in range(2)]
    assert max(shares) <= MOST, shares


def test_an_epoch_of_several_passes_reads_everything_so_often_in_other_orders() -> None:
    documents = [numpy.arange(length) for length in (3, 9, 4, 4, 7, 1, 8)]
    once = DocumentLoader(documents, range(7), 2, seed=4)
    thrice = DocumentLoader(documents, range(7), 2, seed=4)
    thrice.passes = 3
    assert (len(thrice), thrice.tokens_read) == (3 * len(once), 3 * once.tokens_read)
    first, second = ([batch.tolist() for batch in thrice.order(epoch)] for epoch in (0, 1))
    assert first == [batch.tolist() for number in (0, 1, 2) for batch in once.order(number)]
    assert second == [batch.tolist() for number in (3, 4, 5) for batch in once.order(number)]
    resumed = [labels.tolist() for _, _, labels in thrice.batches(1, first=5)]
    assert resumed == [labels.tolist() for _, _, labels in thrice.batches(1)][5:] != []
