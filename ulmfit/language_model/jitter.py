"""Chunks of random length, so that each epoch cuts the text at other places (ULMFiT, section 3.3).

As in AWD-LSTM's and ULMFiT's own training: a chunk has N(bptt, 5) tokens with probability .95 and N(bptt / 2,
5) otherwise, and 5 at least (Merity et al. 2017, arXiv 1708.02182, section 4.1).
"""

from __future__ import annotations

import numpy

FULL_LENGTHS = 0.95
"""Share of the chunks whose mean length is bptt; that of the others is half of it."""
DEVIATION = 5.0
LEAST = 5


def chunk_lengths(random: numpy.random.Generator, bptt: int, tokens: int) -> numpy.ndarray:
    """Return lengths of chunks, int64, whose sum is at least `tokens`; the last one reaches it."""
    most = tokens // LEAST + 1
    mean = numpy.where(random.random(most) < FULL_LENGTHS, bptt, bptt / 2)
    lengths = numpy.maximum(random.normal(mean, DEVIATION).astype(numpy.int64), LEAST)
    return lengths[: int(numpy.searchsorted(numpy.cumsum(lengths), tokens)) + 1]
