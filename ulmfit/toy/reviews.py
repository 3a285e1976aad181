"""Short reviews in Talvuri, an INVENTED language, labelled positive or negative.

How they are made, and why:

- A review tells of one theme (a lodging, a feast, a song ...) in up to five clauses. One to three of them are
  valued and all of these agree: their value is the label. The rest is neutral distraction, negated as
  often as anything else.
- The label depends on roots *and* suffixes. Valued clauses are negated inside the verb, or say "-less" for
  "-ful", equally often under both labels, and the root's own polarity makes up for it. So no suffix speaks
  for a label by itself, and a root speaks for it only as often as it is not turned round.
- Training reviews use only half of the evaluative roots (`known`). Validation, test and unlabelled reviews
  take half of theirs from the other half. Their meaning has to come from elsewhere: the language's
  Wikipedia uses every one of them, mostly after an adverb that tells good from bad.
- The few training reviews cover a small part of the words' forms: most forms of the test reviews are new.

The kinds of difficulty follow from what agglutinative languages are like; how much there is of each was
chosen by results. A first, harder mix (more negation, privatives and new roots, half the labelled reviews, a
Wikipedia whose adverbs of value opened sentences) left every row of the demo's table near chance. The shares
are milder now, so that a model of the demo's size can learn the task in a minute or two; they and the demo's
classifier schedule were chosen by accuracy on validation reviews of another seed. So the figures show how the
method is meant to work; they say nothing about real languages.
"""

from __future__ import annotations

import random
from typing import NamedTuple

from ulmfit.toy.grammar import Root
from ulmfit.toy.lexicon import Evaluative, Lexicon, lexicon
from ulmfit.toy.sentences import Clause, Speaker, sentence

LABELS = {"negative": -1, "positive": 1}
SHORTEST, LONGEST = 8, 30
"""Words of a review."""
NEW_ROOTS_SHARE = 0.5
"""Share of the other splits' valued clauses whose evaluative root the training reviews never use."""


class Review(NamedTuple):
    """One labelled text; the label of unlabelled texts is empty."""

    id: str
    text: str
    label: str


def reviews(seed: int, train: int, valid: int, test: int, unlabelled: int) -> dict[str, list[Review]]:
    """Return that many reviews for the splits train, valid, test and unlabelled, all of them different.

    Labels are balanced and in random order; the same arguments give the same reviews.
    """
    rng = random.Random(f"reviews {seed}")
    reviewer = Reviewer(lexicon(), rng)
    seen: set[str] = set()
    sizes = {"train": train, "valid": valid, "test": test, "unlabelled": unlabelled}
    return {split: _split(reviewer, rng, split, size, seen) for split, size in sizes.items()}


def _split(reviewer: Reviewer, rng: random.Random, split: str, size: int, seen: set[str]) -> list[Review]:
    labels = [label for _ in range((size + 1) // 2) for label in LABELS][:size]
    rng.shuffle(labels)
    made = []
    for number, label in enumerate(labels):
        text = reviewer.new_text(LABELS[label], new_roots=split != "train", seen=seen)
        made.append(Review(f"{split}-{number:05d}", text, "" if split == "unlabelled" else label))
    return made


class Reviewer:
    """Writes reviews of a wanted value."""

    def __init__(self, words: Lexicon, rng: random.Random) -> None:
        self.known, self.new = _halves(words.evaluative, rng)
        self._words = words
        self._rng = rng
        self._speaker = Speaker(words, rng)

    def new_text(self, value: int, new_roots: bool, seen: set[str]) -> str:
        """Return a review whose text is not in `seen`, and add it there."""
        while True:
            text = self.text(self.clauses(value, new_roots))
            if text not in seen:
                seen.add(text)
                return text

    def clauses(self, value: int, new_roots: bool) -> list[Clause]:
        """Return a review as clauses in random order: valued ones, all of `value`, and neutral ones."""
        while True:
            theme = self._rng.choice(self._words.themes)
            said = [
                self._speaker.valued(value, theme, self._roots(new_roots)) for _ in range(self._number(1))
            ]
            said += [self._speaker.neutral(theme) for _ in range(self._number(0))]
            self._rng.shuffle(said)
            if SHORTEST <= sum(len(clause) for clause in said) <= LONGEST - len(said):
                return said

    def text(self, said: list[Clause]) -> str:
        """Write clauses down as one to four sentences."""
        sentences, rest = [], list(said)
        while rest:
            together = 2 if len(rest) > 1 and (len(rest) > 4 or self._rng.random() < 0.25) else 1
            end = "!" if self._rng.random() < 0.1 else "."
            sentences.append(sentence(rest[:together], self._words.particles["and"], end))
            rest = rest[together:]
        return " ".join(sentences)

    def _number(self, at_least: int) -> int:
        return at_least + self._rng.choice((0, 1, 1, 2))

    def _roots(self, new_roots: bool) -> Evaluative:
        return self.new if new_roots and self._rng.random() < NEW_ROOTS_SHARE else self.known


def _halves(evaluative: Evaluative, rng: random.Random) -> tuple[Evaluative, Evaluative]:
    """Part the roots of every kind and polarity into two halves."""
    known: Evaluative = {}
    new: Evaluative = {}
    for key, roots in evaluative.items():
        mixed: list[Root] = rng.sample(roots, len(roots))
        known[key], new[key] = tuple(mixed[: len(mixed) // 2]), tuple(mixed[len(mixed) // 2 :])
    return known, new
