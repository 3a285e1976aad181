"""Training of a tokenizer of words: they are counted, and the frequent ones kept."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from ulmfit.corpus.words import sets_no_spaces
from ulmfit.pipeline.errors import InputError
from ulmfit.tokens.marks import WORD_BOUNDARY
from ulmfit.tokens.repeats import collapse_words
from ulmfit.tokens.text_form import Rules, TextForm
from ulmfit.tokens.words_tokenizer import WordsTokenizer, cut_words, reserved_pieces

COUNTED_TOGETHER = 100_000
"""Distinct words between spaces are collected up to this number before they are cut, so each is cut
rarely."""


@dataclass(frozen=True)
class Coverage:
    """How much of its training texts a tokenizer of words knows; marks are not counted."""

    distinct: int
    """Different words in the texts."""
    words: int
    """Words of the texts."""
    kept: int
    """Different words in the vocabulary."""
    known: int
    """Words of the texts that are in the vocabulary."""

    def __str__(self) -> str:
        share = self.known / max(self.words, 1)
        return (
            f"{self.kept:,} of {self.distinct:,} different words kept, which are {share:.2%} of "
            f"{self.words:,} words; {1 - share:.2%} are unknown"
        )


def train_words_tokenizer(
    texts: Iterable[str], rules: Rules, *, vocab_size: int, min_count: int
) -> tuple[WordsTokenizer, Coverage]:
    """Keep the most frequent words of `texts`, which are read once; equally frequent ones by code points.

    Holds every different word in memory, so the caller passes a sample. `vocab_size` counts special tokens
    and marks too; the result is smaller where fewer words come `min_count` times. Raises InputError when
    there is no text, or no room for a word.
    """
    reserved = reserved_pieces(rules)
    if vocab_size <= len(reserved):
        raise InputError(
            f"vocab_size {vocab_size} is too small: special tokens and marks alone are {len(reserved)}"
        )
    counts = count_words(texts, rules)
    if not counts:
        raise InputError("the training documents hold no text: a tokenizer needs some")
    frequent = [word for word, count in counts.items() if count >= min_count]
    frequent.sort(key=lambda word: (-counts[word], word))
    kept = frequent[: vocab_size - len(reserved)]
    coverage = Coverage(len(counts), counts.total(), len(kept), sum(counts[word] for word in kept))
    return WordsTokenizer([*reserved, *kept], rules, characters=sets_no_spaces(rules.language)), coverage


def count_words(texts: Iterable[str], rules: Rules) -> Counter[str]:
    """Return how often each word comes, as a piece of the vocabulary; marks are not counted.

    Neither are words that look like a special token in the vocabulary, such as `xxunk` right after a bracket.
    """
    form = TextForm(rules)
    counts: Counter[str] = Counter()
    words: Counter[str] = Counter()
    for text in texts:
        found = form.normal(text).split()
        words.update(collapse_words(found)[0] if rules.repeats else found)
        if len(words) > COUNTED_TOGETHER:
            _add_pieces(words, form, counts)
            words.clear()
    _add_pieces(words, form, counts)
    for name in (*reserved_pieces(rules), *rules.mark_names()):
        del counts[name]
    return counts


def _add_pieces(words: Counter[str], form: TextForm, counts: Counter[str]) -> None:
    pieces, lengths = cut_words(list(words), form, characters=sets_no_spaces(form.rules.language))
    for piece, count in zip(pieces, np.repeat(list(words.values()), lengths).tolist(), strict=True):
        counts[piece.replace(" ", WORD_BOUNDARY)] += count
