"""Batches of documents of similar length."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy
import torch
from torch import Tensor

from ulmfit.language_model.encoder import PAD_ID

POOL_BATCHES = 50
"""Documents are sorted by length within pools of about this many batches, so that order stays random."""


class DocumentLoader:
    """Batches (ids, lengths, labels), padded at the end, each sorted by falling length.

    Labels are class numbers (B,), or rows (B, K) of another array that the loss compares with. Training
    batches are a function of seed and epoch alone; `shuffled=False` sorts all documents by length. An epoch
    reads every document `passes` times, each time in an order of its own.
    """

    n_inp = 2
    passes = 1

    def __init__(
        self,
        documents: Sequence[numpy.ndarray],
        labels: Sequence[int] | numpy.ndarray,
        batch_size: int,
        *,
        seed: int = 0,
        shuffled: bool = True,
    ) -> None:
        self.documents, self.labels = documents, labels
        self._labels = numpy.asarray(labels)
        self.batch_size, self.seed, self.shuffled = batch_size, seed, shuffled
        self.lengths = numpy.array([len(document) for document in documents])

    @property
    def tokens_read(self) -> int:
        """Tokens that an epoch reads."""
        return int(self.lengths.sum()) * self.passes

    def padding_share(self, bptt: int, epoch: int = 0) -> float:
        """Return the share of padding in the tokens that a model computes in `epoch`.

        A model reads chunks of `bptt` tokens; a document that has ended is in none of the later ones.
        """
        computed = 0
        for chosen in self.order(epoch):
            lengths = self.lengths[chosen]
            starts = numpy.arange(0, lengths.max(), bptt)
            rows = (lengths[:, None] > starts).sum(axis=0)
            computed += int((rows * numpy.minimum(bptt, lengths.max() - starts)).sum())
        return 1 - self.tokens_read / computed if computed else 0.0

    def __len__(self) -> int:
        """Return the batches of an epoch."""
        return len(self._split(numpy.arange(len(self.documents)))) * self.passes

    def batches(self, epoch: int, first: int = 0) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
        """Yield ids (B, T), lengths (B,) and labels (B,) or (B, K) from batch `first` of `epoch` on."""
        for chosen in self.order(epoch)[first:]:
            yield self._batch(chosen)

    def order(self, epoch: int) -> list[numpy.ndarray]:
        """Return the documents' numbers, batch by batch."""
        first = epoch * self.passes
        return [batch for number in range(first, first + self.passes) for batch in self._order(number)]

    def _order(self, number: int) -> list[numpy.ndarray]:
        """Return the batches of one pass, counted from the beginning of training."""
        if not self.shuffled:
            return self._split(numpy.argsort(-self.lengths, kind="stable"))
        random = numpy.random.default_rng([self.seed, number])
        shuffled = random.permutation(len(self.documents))
        # Pools of whole batches and about equal size: a small one at the end would have much padding.
        whole = -(-len(shuffled) // self.batch_size)
        parts = numpy.array_split(numpy.arange(whole), max(round(whole / POOL_BATCHES), 1))
        ends = [(int(part[-1]) + 1) * self.batch_size for part in parts[:-1]]
        pools = numpy.split(shuffled, ends)
        by_length = [part[numpy.argsort(-self.lengths[part], kind="stable")] for part in pools]
        batches = self._split(numpy.concatenate(by_length))
        return [batches[index] for index in random.permutation(len(batches))]

    def _split(self, order: numpy.ndarray) -> list[numpy.ndarray]:
        """Cut into batches. A last batch of one document joins the one before: batch norm needs two."""
        batches = [order[start : start + self.batch_size] for start in range(0, len(order), self.batch_size)]
        if self.shuffled and len(batches) > 1 and len(batches[-1]) == 1:
            batches[-2:] = [numpy.concatenate(batches[-2:])]
        return batches

    def _batch(self, chosen: numpy.ndarray) -> tuple[Tensor, Tensor, Tensor]:
        chosen = chosen[numpy.argsort(-self.lengths[chosen], kind="stable")]
        lengths = self.lengths[chosen]
        ids = numpy.full((len(chosen), lengths.max()), PAD_ID, dtype=numpy.int64)
        for row, index in enumerate(chosen):
            ids[row, : lengths[row]] = self.documents[index]
        return torch.from_numpy(ids), torch.from_numpy(lengths), torch.from_numpy(self._labels[chosen])
