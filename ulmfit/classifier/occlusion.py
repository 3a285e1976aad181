"""Which words of a text speak for its predicted label: each is left out in turn (occlusion).

The weight of a piece is how much the label's probability falls without it: positive speaks for the label,
negative against it. Only one piece is left out at a time: where two words say the same, each alone has little
weight.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Literal

import numpy as np

from ulmfit.corpus.words import UNSPACED
from ulmfit.pipeline.errors import InputError
from ulmfit.tokens.marks import WORD_BOUNDARY
from ulmfit.tokens.repeats import collapse_words

if TYPE_CHECKING:
    from ulmfit.classifier.folder import LoadedClassifier
    from ulmfit.tokens.tokenizer import Tokenizer

Predict = Callable[[Sequence[np.ndarray]], np.ndarray]
"""Documents as ids in the order of the text, xxbos first -> probabilities (documents, labels)."""

Span = tuple[int, int]
"""Begin and end among the ids of a document."""


@dataclass(frozen=True)
class Piece:
    """One id of a document; `weight` is a difference of probabilities, -1 to 1."""

    text: str
    weight: float


@dataclass(frozen=True)
class Word:
    """A word between spaces, all of its pieces left out together; in scripts without spaces, one piece."""

    text: str
    weight: float
    pieces: tuple[Piece, ...]


@dataclass(frozen=True)
class Explanation:
    """The weights of the words of a text, in its order, for the label that was predicted."""

    label: str
    probability: float
    """Probability of the label, given the whole text; 0 to 1."""
    words: tuple[Word, ...]
    cut: bool
    """Whether the text was longer than the classifier reads; the rest has no words here."""


NO_WORDS = Explanation("", 0.0, (), False)
"""The explanation of a text in which there is no word."""


@dataclass(frozen=True)
class CutText:
    """A text as ids, and the words and pieces among them."""

    ids: np.ndarray
    words: list[tuple[str, Span]]


def explain(
    predict: Predict,
    tokenizer: Tokenizer,
    text: str,
    labels: Sequence[str],
    *,
    maximum_tokens: int,
    replaced: Literal["removed", "unknown"] = "removed",
) -> Explanation:
    """Weigh every word and piece of `text` for the label that `predict` gives it.

    `replaced`: a piece is removed, or xxunk stands in its place. Only the first `maximum_tokens` are read, 0:
    all. It costs one prediction per piece, and one per word of several pieces. Raises InputError for a text
    without words.
    """
    cut = cut_text(tokenizer, text, maximum_tokens)
    if not cut.words:
        raise InputError("there is no word in the text: expected at least one to explain")
    whole = predict([cut.ids])[0]
    label = int(whole.argmax())
    singles = [(place, place + 1) for place in range(1, len(cut.ids))]
    several = [span for _, span in cut.words if span[1] - span[0] > 1]
    unknown = tokenizer.unk_id if replaced == "unknown" else None
    without = predict([occluded(cut.ids, span, unknown) for span in singles + several])[:, label]
    weight = dict(zip(singles + several, (whole[label] - without).tolist(), strict=True))
    vocabulary = tokenizer.vocabulary

    def word_of(shown: str, span: Span) -> Word:
        pieces = tuple(
            Piece(vocabulary[cut.ids[place]].replace(WORD_BOUNDARY, ""), weight[place, place + 1])
            for place in range(*span)
        )
        return Word(shown, weight[span], pieces)

    return Explanation(
        labels[label],
        float(whole[label]),
        tuple(word_of(shown, span) for shown, span in cut.words),
        cut=bool(maximum_tokens) and _length(tokenizer, text) > maximum_tokens,
    )


def cost(tokenizer: Tokenizer, text: str, maximum_tokens: int) -> int:
    """Return how many tokens each model reads in `explain`."""
    cut = cut_text(tokenizer, text, maximum_tokens)
    several = sum(end - begin > 1 for _, (begin, end) in cut.words)
    return (len(cut.ids) + several) * len(cut.ids)


def mean_of(classifiers: Sequence[LoadedClassifier]) -> Predict:
    """Return what predicts with the mean probabilities of classifiers that share a tokenizer.

    A classifier that reads backward gets the remaining ids in its own order.
    """

    def predict(documents: Sequence[np.ndarray]) -> np.ndarray:
        return np.mean([one.values(documents) for one in classifiers], axis=0)

    return predict


def occluded(ids: np.ndarray, span: Span, unknown: int | None) -> np.ndarray:
    """Return a document without the ids of `span`, or with `unknown` in place of each."""
    begin, end = span
    if unknown is None:
        return np.delete(ids, np.s_[begin:end])
    changed = ids.copy()
    changed[begin:end] = unknown
    return changed


def cut_text(tokenizer: Tokenizer, text: str, maximum_tokens: int) -> CutText:
    """Cut a text as `tokenizer.encode` does, and say which ids each of its words has.

    The last word may be cut off; a repetition that has a mark is one word.
    """
    words = tokenizer.form.normal(text).split()
    mark = tokenizer.repetition_id
    numbers: list[int] = []
    if mark is not None:
        words, numbers = collapse_words(words)
    ids, lengths = tokenizer.encode_words(words)
    begins = np.append(0, np.cumsum(lengths))
    spans = list(pairwise(begins.tolist()))
    if mark is not None and numbers:
        ids = np.insert(ids, begins[numbers], mark)
        words, spans = _with_repetitions(words, spans, set(numbers))
    ids = np.append(tokenizer.bos_id, ids).astype(np.int32)[: maximum_tokens or None]
    read = [
        (word, (begin + 1, min(end + 1, len(ids))))
        for word, (begin, end) in zip(words, spans, strict=True)
        if begin + 1 < len(ids) and end > begin
    ]
    return CutText(ids, [part for word in read for part in _units(word, tokenizer, ids)])


def _with_repetitions(words: list[str], spans: list[Span], numbers: set[int]) -> tuple[list[str], list[Span]]:
    """Make one word of each mark, its number and the word behind it; every mark moves the rest by one."""
    shown: list[str] = []
    moved: list[Span] = []
    marks = 0
    for index, (word, (begin, end)) in enumerate(zip(words, spans, strict=True)):
        if index in numbers:
            continue
        if index - 1 in numbers:
            begin = spans[index - 1][0]
            word = f"{word} × {words[index - 1]}"
            moved.append((begin + marks, end + marks + 1))
            marks += 1
        else:
            moved.append((begin + marks, end + marks))
        shown.append(word)
    return shown, moved


def _units(word: tuple[str, Span], tokenizer: Tokenizer, ids: np.ndarray) -> list[tuple[str, Span]]:
    """Split a word of a script without spaces, which would be a whole sentence."""
    shown, (begin, end) = word
    if not UNSPACED.search(shown):
        return [word]
    vocabulary = tokenizer.vocabulary
    pieces = [vocabulary[ids[place]].replace(WORD_BOUNDARY, "") for place in range(begin, end)]
    return [(piece, (begin + place, begin + place + 1)) for place, piece in enumerate(pieces)]


def _length(tokenizer: Tokenizer, text: str) -> int:
    return len(tokenizer.encode([text])[0])
