"""Batches for a language model: contiguous streams over a memory-mapped token array.

Shapes: N tokens, B streams, T tokens of a chunk.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy
import torch
from torch import Tensor

from ulmfit.errors import InputError


def reading_order(tokens: numpy.ndarray, bos_id: int, *, backward: bool) -> numpy.ndarray:
    """Return the array as a model of this direction reads it.

    `tokens` is [bos a b c bos d e]; backward it becomes [bos e d bos c b a], in memory of its own: 2 bytes a
    token, against which copying single batches out of a reversed file would save nothing.
    """
    if not backward or len(tokens) == 0:
        return tokens
    order = numpy.empty_like(tokens)
    order[0] = bos_id
    order[1:] = tokens[:0:-1]
    return order


class StreamLoader:
    """B contiguous streams, cut into chunks of T tokens; the model carries its state from chunk to chunk.

    The training streams begin at a new random offset every epoch, so that chunk borders move. Batches are a
    function of seed and epoch alone. `shifted=False` (validation) begins at the first token always.
    """

    n_inp = 1

    def __init__(
        self, tokens: numpy.ndarray, batch_size: int, bptt: int, *, seed: int = 0, shifted: bool = True
    ):
        if len(tokens) < 3:
            raise InputError(f"{len(tokens)} tokens are too few for a language model: give it more text")
        self.tokens, self.bptt, self.seed = tokens, bptt, seed
        self.batch_size = min(batch_size, max(1, len(tokens) // 4))
        self.largest_shift = min(bptt, len(tokens) // 10) if shifted else 0
        self.stream_length = (len(tokens) - 1 - self.largest_shift) // self.batch_size

    @property
    def tokens_read(self) -> int:
        """Tokens that an epoch reads."""
        return self.stream_length * self.batch_size

    def __len__(self) -> int:
        """Return the chunks of an epoch; the last one may be shorter."""
        return -(-self.stream_length // self.bptt)

    def batches(self, epoch: int, first: int = 0) -> Iterator[tuple[Tensor, Tensor]]:
        """Yield ids and the ids that follow, each (B, T), from chunk `first` of `epoch` on."""
        random = numpy.random.default_rng([self.seed, epoch])
        shift = int(random.integers(0, self.largest_shift + 1))
        used = self.stream_length * self.batch_size
        inputs = self.tokens[shift : shift + used].reshape(self.batch_size, -1)
        targets = self.tokens[shift + 1 : shift + 1 + used].reshape(self.batch_size, -1)
        for start in range(first * self.bptt, self.stream_length, self.bptt):
            chunk = slice(start, start + self.bptt)
            yield _ids(inputs[:, chunk]), _ids(targets[:, chunk])


def _ids(array: numpy.ndarray) -> Tensor:
    return torch.from_numpy(array.astype(numpy.int64))
