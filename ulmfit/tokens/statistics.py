"""How a tokenizer cuts texts: tokens per word, whole words, unknown tokens, and the use of its pieces."""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import compress, takewhile
from pathlib import Path

import numpy as np

from ulmfit.corpus.documents import DOCUMENTS
from ulmfit.corpus.hash_sample import HashSample
from ulmfit.corpus.stored import batches
from ulmfit.corpus.words import count_words
from ulmfit.tokens.card import Piece, PieceLists, TextKind, TextSize, TokenCounts, TokenizerFigures
from ulmfit.tokens.marks import MARK_NAMES, REPEAT_MARK_NAMES, WORD_BOUNDARY
from ulmfit.tokens.tokenizer import SPECIALS, Tokenizer

QUANTILES = (0.05, 0.25, 0.5, 0.75, 0.95, 0.99, 1.0)
CHECKED_ONLY = "test"
"""The sample by which no vocabulary may be chosen."""
NOTABLE_UNKNOWN = 0.001
"""From so many unknown tokens per word in the task's texts on, the card warns."""
_TEXTS_OF = {"target": "train and valid texts of the task", "test": "test texts of the task"}
_SALT = "ulmfit tokenizer card"
_BYTE_PIECE = re.compile(r"<0x[0-9A-F]{2}>")
_ENCODED_TOGETHER = 1024


def sample_of_documents(folder: Path, limit: int) -> list[str]:
    """Return validation texts of a corpus of `limit` bytes together."""
    sample: HashSample[str] = HashSample(_SALT, limit)
    for batch in batches(folder / DOCUMENTS, ["id", "text", "split"]):
        for name, text, split in zip(*(column.to_pylist() for column in batch.columns), strict=True):
            if split == "valid":
                sample.offer(name, text, _bytes_of(text))
    return sample.items()


def sample_of_dataset(folder: Path, splits: Sequence[str], limit: int) -> list[str]:
    """Return texts of some splits of a data set, of `limit` bytes together."""
    sample: HashSample[str] = HashSample(_SALT, limit)
    for split in splits:
        for batch in batches(folder / f"{split}.parquet", ["id", "text"]):
            for name, text in zip(*(column.to_pylist() for column in batch.columns), strict=True):
                sample.offer(f"{split}/{name}", text, _bytes_of(text))
    return sample.items()


def size_of(texts: Sequence[str]) -> TextSize:
    """Return texts, words (as `words.count_words` has them), characters and bytes of UTF-8."""
    return TextSize(
        texts=len(texts),
        words=sum(map(count_words, texts)),
        characters=sum(map(len, texts)),
        bytes=sum(map(_bytes_of, texts)),
    )


def _bytes_of(text: str) -> int:
    return len(text.encode("utf-8"))


class Vocabulary:
    """The pieces of a tokenizer, and which of them training chose."""

    def __init__(self, tokenizer: Tokenizer) -> None:
        self.pieces = tokenizer.vocabulary
        names = {*SPECIALS, *MARK_NAMES.values(), *REPEAT_MARK_NAMES.values()}
        self.reserved = len(list(takewhile(names.__contains__, self.pieces)))
        """Number of special tokens and marks, which stand first."""
        self.byte = np.array([bool(_BYTE_PIECE.fullmatch(piece)) for piece in self.pieces])
        """Which ids stand for one byte."""
        self.learned = ~self.byte
        """Which ids are none of these."""
        self.learned[: self.reserved] = False
        self._unknown = tokenizer.unk_id

    def is_whole(self, ids: np.ndarray) -> bool:
        """Return whether the ids of a word are one learned piece, with or without marks before it."""
        pieces = ids[(ids >= self.reserved) | (ids == self._unknown)]
        return len(pieces) == 1 and bool(self.learned[pieces[0]])


@dataclass(frozen=True)
class Measured:
    """The result of `measure` for a tokenizer; `uses` is how often each id occurs in the samples."""

    figures: TokenizerFigures
    vocabulary: Vocabulary
    uses: np.ndarray

    def pieces(self, count: int) -> PieceLists:
        """Return the longest pieces, and those used fewest times, `count` of each."""
        learned = np.flatnonzero(self.vocabulary.learned)
        lengths = [_length(self.vocabulary.pieces[index]) for index in learned]
        longest = learned[np.argsort([-length for length in lengths], kind="stable")]
        # Pieces stand in the order of their likelihood: of those never used, the least likely come first.
        rarest = learned[::-1][np.argsort(self.uses[learned[::-1]], kind="stable")]
        return PieceLists(longest=self._described(longest[:count]), rarest=self._described(rarest[:count]))

    def _described(self, indices: np.ndarray) -> tuple[Piece, ...]:
        return tuple(
            Piece(piece=self.vocabulary.pieces[index], uses=int(self.uses[index])) for index in indices
        )

    def summary(self) -> str:
        """Return the main figures for a log."""
        size, corpus = self.figures.size, self.figures.texts["corpus"]
        return f"{size:,} pieces: {corpus.tokens:,} tokens, {corpus.unknown_tokens:,} of them unknown"


def unknown_warning(name: TextKind, measured: Measured, words: int) -> str:
    """Return a warning where the `words` of the task's texts hold many unknown tokens; else an empty line."""
    unknown = measured.figures.texts[name].unknown_tokens
    if name not in _TEXTS_OF or unknown <= NOTABLE_UNKNOWN * words:
        return ""
    return (
        f"{_TEXTS_OF[name]}: {unknown:,} unknown tokens in {words:,} words ({100 * unknown / words:.2f} %), "
        "characters that the vocabulary lacks: set vocabulary.byte_fallback=true, or vocabulary.task_share"
    )


def measure(kind: str, tokenizer: Tokenizer, samples: Mapping[TextKind, Sequence[str]]) -> Measured:
    """Encode samples of texts and count; xxbos is left out everywhere. `kind` names the tokenizer.

    The figures are the size, the learned pieces, those of them that no sample but CHECKED_ONLY uses, and for
    each sample:

    - tokens, unknown_tokens, byte_tokens (pieces that stand for one byte each);
    - words (between white space) and words_with_unknown;
    - bare_words (words that are more than punctuation) and whole_words, those of them that are one piece
      without the punctuation around them, with or without marks for capitals;
    - lengths: quantiles of the texts' tokens.

    Words of scripts without spaces are left out of both pairs: only a tokenizer could tell them.
    """
    vocabulary = Vocabulary(tokenizer)
    uses = np.zeros(tokenizer.size, np.int64)
    counted: dict[TextKind, TokenCounts] = {}
    for name, texts in samples.items():
        lengths, counts = _encoded(tokenizer, texts)
        uses += counts * (name != CHECKED_ONLY)
        counted[name] = TokenCounts(
            tokens=int(counts.sum()),
            unknown_tokens=int(counts[tokenizer.unk_id]),
            byte_tokens=int(counts[vocabulary.byte].sum()),
            **_words(tokenizer, vocabulary, texts),
            lengths=_quantiles(lengths),
        )
    used = uses[vocabulary.learned]
    figures = TokenizerFigures(
        kind=kind, size=tokenizer.size, learned=len(used), unused=int((used == 0).sum()), texts=counted
    )
    return Measured(figures, vocabulary, uses)


def _encoded(tokenizer: Tokenizer, texts: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
    """Return the number of tokens of each text, and how often each id occurs."""
    lengths, counts = [], np.zeros(tokenizer.size, np.int64)
    for ids in _ids(tokenizer, texts):
        lengths.append(len(ids))
        np.add.at(counts, ids, 1)
    return np.array(lengths, np.int64), counts


def _ids(tokenizer: Tokenizer, texts: Sequence[str]) -> Iterator[np.ndarray]:
    """Yield the ids of each text, without xxbos."""
    for start in range(0, len(texts), _ENCODED_TOGETHER):
        for ids in tokenizer.encode(texts[start : start + _ENCODED_TOGETHER]):
            yield ids[1:]


def _words(tokenizer: Tokenizer, vocabulary: Vocabulary, texts: Sequence[str]) -> dict[str, int]:
    words = Counter(word for text in texts for word in text.split() if count_words(word) == 1)
    bare: Counter[str] = Counter()
    for word, count in words.items():
        if core := without_punctuation(word):
            bare[core] += count
    unknown = [bool((ids == tokenizer.unk_id).any()) for ids in _ids(tokenizer, list(words))]
    whole = [vocabulary.is_whole(ids) for ids in _ids(tokenizer, list(bare))]
    return {
        "words": words.total(),
        "words_with_unknown": sum(compress(words.values(), unknown)),
        "bare_words": bare.total(),
        "whole_words": sum(compress(bare.values(), whole)),
    }


def without_punctuation(word: str) -> str:
    """Return `word` without punctuation and symbols at its ends; the vowel signs of a script stay."""
    inside = [place for place, character in enumerate(word) if unicodedata.category(character)[0] in "LMN"]
    return word[inside[0] : inside[-1] + 1] if inside else ""


def _length(piece: str) -> int:
    return len(piece.strip(WORD_BOUNDARY))


def _quantiles(lengths: np.ndarray) -> dict[str, int]:
    if not len(lengths):
        return {}
    values = np.quantile(lengths, QUANTILES, method="inverted_cdf")
    return {f"{share:g}": int(value) for share, value in zip(QUANTILES, values, strict=True)}
