"""Token arrays for benches: ids out of a seed, in documents as long as those of a Wikipedia."""

from __future__ import annotations

from pathlib import Path

import numpy

from ulmfit.tokens.arrays import TokenArrayWriter

BOS_ID = 2
FIRST_WORD = 4
"""Ids below are special tokens."""
MEDIAN_LENGTH, SPREAD = 400, 1.2
"""Tokens of a document: log-normal, as measured on 5,458 articles of German Wikipedia."""
SHORTEST = 8
PHRASES, LONGEST_PHRASE = 20_000, 8
RARENESS = 1.1
"""Exponent of the frequencies of words and of phrases, by rank."""


def write_made_tokens(folder: Path, split: str, count: int, vocabulary_size: int, seed: int) -> None:
    """Write the arrays of a split with `count` tokens.

    The texts are made of 20,000 phrases, so that the next word can be learnt.
    """
    random = numpy.random.default_rng([seed, count])
    lengths = _document_lengths(count, random)
    tokens = _phrases(count, vocabulary_size, random)
    tokens[numpy.cumsum(lengths) - lengths] = BOS_ID
    with TokenArrayWriter(folder, split, vocabulary_size) as writer:
        writer.extend(tokens, lengths)


def _document_lengths(count: int, random: numpy.random.Generator) -> numpy.ndarray:
    """Return lengths that sum up to `count`; the last document takes what is left."""
    enough = 2 + count // SHORTEST
    lengths = random.lognormal(numpy.log(MEDIAN_LENGTH), SPREAD, enough).astype(numpy.int64)
    lengths = numpy.maximum(lengths, SHORTEST)
    last = int(numpy.searchsorted(numpy.cumsum(lengths), count))
    lengths = lengths[: last + 1]
    lengths[-1] -= lengths.sum() - count
    return lengths


def _phrases(count: int, vocabulary_size: int, random: numpy.random.Generator) -> numpy.ndarray:
    """Return ids (count,): phrases one after another, cut at the end."""
    lengths = random.integers(1, LONGEST_PHRASE + 1, PHRASES)
    words = _ranks(vocabulary_size - FIRST_WORD, int(lengths.sum()), random) + FIRST_WORD
    begins = numpy.cumsum(lengths) - lengths
    chosen = _ranks(PHRASES, 1 + 2 * count // LONGEST_PHRASE, random)
    while (total := int(lengths[chosen].sum())) < count:
        more = _ranks(PHRASES, 1 + (count - total) // 2, random)
        chosen = numpy.concatenate([chosen, more])
    sizes = lengths[chosen]
    first = numpy.cumsum(sizes) - sizes
    places = numpy.arange(total) - numpy.repeat(first - begins[chosen], sizes)
    return words[places[:count]].astype(numpy.uint32)


def _ranks(kinds: int, count: int, random: numpy.random.Generator) -> numpy.ndarray:
    """Return numbers below `kinds`, the rarer the larger."""
    weights = numpy.arange(1, kinds + 1) ** -RARENESS
    limits = numpy.cumsum(weights / weights.sum())
    return numpy.minimum(numpy.searchsorted(limits, random.random(count)), kinds - 1)
