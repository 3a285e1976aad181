"""Texts in randomly chosen pieces, the same ones for the same seed in any process."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ulmfit.pipeline.grouping import grouped
from ulmfit.tokens.marks import WORD_BOUNDARY
from ulmfit.tokens.repeats import collapse_words
from ulmfit.tokens.subword_pieces import Pieces, WordSampler
from ulmfit.tokens.text_form import TextForm
from ulmfit.tokens.tokenizer import BOS_ID

GROUP_CHARACTERS = 1_000_000
"""Texts that are drawn together. Another number would give other pieces for the same seed."""


class TextSampler:
    """Encodes texts like the tokenizer with these pieces, its words cut at random."""

    def __init__(
        self, pieces: Pieces, sampler: WordSampler, form: TextForm, repetition_id: int | None
    ) -> None:
        self._pieces, self._sampler, self._form = pieces, sampler, form
        self._repetition_id = repetition_id

    def sample(self, texts: Sequence[str], alpha: float, seed: int) -> list[np.ndarray]:
        """Return one int32 array of ids per text, each beginning with xxbos."""
        generator = np.random.default_rng(seed)
        return [
            ids
            for group in grouped(texts, len, GROUP_CHARACTERS)
            for ids in self._sample(group, alpha, generator)
        ]

    def _sample(self, texts: Sequence[str], alpha: float, generator: np.random.Generator) -> list[np.ndarray]:
        numbers: dict[str, int] = {}
        chosen: list[int] = []
        text_ends: list[int] = []
        repetitions: list[int] = []
        for text in texts:
            words: Sequence[str] = self._form.normal(text).split()
            if self._repetition_id is not None:
                words, counts = collapse_words(words)
                repetitions += [len(chosen) + place for place in counts]
            chosen += [numbers.setdefault(word, len(numbers)) for word in words]
            text_ends.append(len(chosen))
        written = [self._form.write_words(f" {word}").replace(" ", WORD_BOUNDARY) for word in numbers]
        drawn = self._sampler.sample(written, np.array(chosen, np.int64), alpha, generator)
        ids, lengths = self._pieces.resolved(*drawn)
        begins = np.append(0, np.cumsum(lengths))
        text_begins = np.append(0, text_ends[:-1]).astype(np.int64)
        marks = begins[np.array(repetitions, np.int64)]
        places = np.concatenate([begins[text_begins], marks])
        inserted = np.repeat([BOS_ID, self._repetition_id or 0], [len(texts), len(marks)])
        tokens = np.insert(ids, places, inserted).astype(np.int32)
        marks_before = np.searchsorted(repetitions, text_begins)
        return np.split(tokens, (begins[text_begins] + np.arange(len(texts)) + marks_before)[1:])
