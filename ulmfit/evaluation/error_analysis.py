"""Errors of a classifier on the test split: the most confident ones; accuracy by length and label.

The results hold texts. They are for people who have the data: pages show them, records never do.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING

from ulmfit.corpus.words import words_of
from ulmfit.pipeline.errors import InputError
from ulmfit.tokens.marks import normalize

if TYPE_CHECKING:
    import numpy as np

    from ulmfit.classifier.occlusion import Explanation
    from ulmfit.classifier.predictions import SingleLabelPredictions

MOST_MISTAKES = 20
PARTS = 5
CONFIDENCE = 0.95


@dataclass(frozen=True)
class Share:
    """A count of texts out of a total, and an interval for the share in all such texts."""

    part: int
    whole: int

    @property
    def value(self) -> float | None:
        """The share, 0 to 1; None if there are no texts."""
        return self.part / self.whole if self.whole else None

    @cached_property
    def interval(self) -> tuple[float, float] | None:
        """Wilson's 95 % interval; None if there are no texts."""
        if not self.whole:
            return None
        from scipy.stats import binomtest

        found = binomtest(self.part, self.whole).proportion_ci(CONFIDENCE, method="wilson")
        return float(found.low), float(found.high)


@dataclass(frozen=True)
class Part:
    """The texts of which a measure lies between two values, both of which occur."""

    low: float
    high: float
    right: Share


@dataclass(frozen=True)
class LabelScore:
    """How well one label is found."""

    label: str
    recall: Share
    precision: Share

    @property
    def f1(self) -> float:
        """Harmonic mean of precision and recall, 0 to 1; 0 where nothing was found."""
        total = self.recall.whole + self.precision.whole
        return 2 * self.recall.part / total if total else 0.0


@dataclass(frozen=True)
class Mistake:
    """A text with another label than the predicted one."""

    id: str
    text: str
    gold: str
    predicted: str
    probability: float
    """Of the predicted label, 0 to 1."""
    gold_probability: float
    explanation: Explanation | None = None
    """The weights of its words for the predicted label; None: not computed."""


@dataclass(frozen=True)
class ErrorAnalysis:
    """The errors of one row of the table, its runs' probabilities averaged."""

    name: str
    runs: int
    """Classifiers whose probabilities were averaged."""
    right: Share
    mistakes: tuple[Mistake, ...]
    """The most confident first, not all of them."""
    by_length: tuple[Part, ...]
    """By tokens."""
    by_unseen: tuple[Part, ...]
    """By the share of words that no training text has, 0 to 1; texts without words are left out."""
    by_fertility: tuple[Part, ...]
    """By tokens per word; texts without words are left out."""
    labels: tuple[LabelScore, ...]

    def explained(self, explanations: dict[str, Explanation]) -> ErrorAnalysis:
        """Return a copy whose mistakes with these ids are explained."""
        mistakes = (replace(one, explanation=explanations.get(one.id)) for one in self.mistakes)
        return replace(self, mistakes=tuple(mistakes))


def analyse_errors(
    name: str,
    runs: int,
    predictions: SingleLabelPredictions,
    texts: Sequence[str],
    tokens: Sequence[int],
    training_texts: Iterable[str],
    *,
    most: int = MOST_MISTAKES,
) -> ErrorAnalysis:
    """Analyse the predictions on the test split, whose `texts` are in the same order.

    `tokens` are the lengths of the texts in pieces, without xxbos. Raises InputError where these do not fit
    together.
    """
    import numpy as np

    if not len(texts) == len(tokens) == len(predictions.ids):
        raise InputError(
            f"error analysis of {name!r}: {len(predictions.ids)} predictions, {len(texts)} texts and "
            f"{len(tokens)} lengths; expected as many of each"
        )
    gold, predicted = np.array(predictions.gold), np.array(predictions.predicted)
    right = gold == predicted
    words = [folded_words(text) for text in texts]
    known = {word for text in training_texts for word in folded_words(text)}
    counts = np.array([len(some) for some in words])
    worded = np.flatnonzero(counts)
    unseen = np.array([sum(word not in known for word in some) for some in words])
    return ErrorAnalysis(
        name=name,
        runs=runs,
        right=_share(right),
        mistakes=_mistakes(predictions, texts, right, most),
        by_length=parts_by(np.array(tokens), right),
        by_unseen=parts_by(unseen[worded] / counts[worded], right[worded]),
        by_fertility=parts_by(np.array(tokens)[worded] / counts[worded], right[worded]),
        labels=tuple(
            LabelScore(label, _share(right[gold == label]), _share(right[predicted == label]))
            for label in predictions.labels
        ),
    )


def parts_by(values: np.ndarray, right: np.ndarray, most: int = PARTS) -> tuple[Part, ...]:
    """Cut texts into at most `most` parts of about equal size by a measure (texts,).

    Texts of the same value stay together, so there may be fewer parts, of unequal size; none is empty.
    """
    import numpy as np

    if not len(values):
        return ()
    shares = np.arange(1, most + 1) / most
    ends = np.unique(np.quantile(values, shares, method="inverted_cdf"))
    places = np.searchsorted(ends, values)
    parts = []
    for place in range(len(ends)):
        inside = places == place
        parts.append(Part(float(values[inside].min()), float(ends[place]), _share(right[inside])))
    return tuple(parts)


def folded_words(text: str) -> list[str]:
    """Return the words of a text (`corpus.words`) in small letters."""
    return words_of(normalize(text).casefold())


def _share(right: np.ndarray) -> Share:
    return Share(int(right.sum()), len(right))


def _mistakes(
    predictions: SingleLabelPredictions, texts: Sequence[str], right: np.ndarray, most: int
) -> tuple[Mistake, ...]:
    import numpy as np

    column = {label: index for index, label in enumerate(predictions.labels)}
    rows = np.flatnonzero(~right)
    confidence = np.array(
        [predictions.probabilities[row, column[predictions.predicted[row]]] for row in rows]
    )
    surest = rows[np.argsort(-confidence, kind="stable")[:most]] if len(rows) else rows
    return tuple(
        Mistake(
            id=predictions.ids[row],
            text=texts[row],
            gold=predictions.gold[row],
            predicted=predictions.predicted[row],
            probability=float(predictions.probabilities[row, column[predictions.predicted[row]]]),
            gold_probability=float(predictions.probabilities[row, column[predictions.gold[row]]]),
        )
        for row in surest.tolist()
    )
