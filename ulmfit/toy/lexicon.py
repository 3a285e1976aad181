"""The lexicon of Talvuri, an INVENTED language: a root for every concept, drawn from a seed."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import TypeVar

from ulmfit.toy import concepts
from ulmfit.toy.grammar import BACK, CONSONANTS, FRONT, NEUTRAL, Kind, Root

Choice = TypeVar("Choice")
Roots = tuple[Root, ...]
Evaluative = dict[tuple[Kind, int], Roots]
"""Evaluative roots by kind (noun, verb, adjective) and polarity (1, -1)."""

LANGUAGE_SEED = 1
"""The seed whose lexicon is Talvuri. Every dump and every set of reviews uses it: they share one language."""

_CODAS = "nrlmkstšzv"
_SHAPES: dict[Kind, tuple[str, ...]] = {
    "noun": ("CVCVK", "CVKCVK", "CVCV", "VKCV"),
    "verb": ("CVCVK", "CVKCVK", "CVCK"),
    "adjective": ("CVCVK", "CVKCVK", "VCVK"),
    "name": ("CVKCVK", "CVCVCV", "VKCVK", "CVCVK"),
    "particle": ("CVK", "VK", "VCV"),
}
"""Shapes of roots: C an onset, K a coda, V a vowel."""


@dataclass(frozen=True)
class ThemeRoots:
    """The roots of one field of life, from frequent to rare."""

    name: str
    nouns: Roots
    verbs: Roots
    adjectives: Roots


@dataclass(frozen=True)
class Lexicon:
    """Every root of the language, from frequent to rare within each group."""

    themes: tuple[ThemeRoots, ...]
    people: Roots
    times: Roots
    motion: Roots
    finding: Roots
    appearing: Roots
    qualities: Roots
    names: Roots
    headings: Roots
    evaluative: Evaluative
    outcomes: dict[int, Roots]
    adverbs: dict[int, Roots]
    particles: dict[str, Root]
    wiki_words: dict[str, Root]

    def roots(self) -> Roots:
        """Return all roots."""
        themed = [root for theme in self.themes for root in (*theme.nouns, *theme.verbs, *theme.adjectives)]
        plain = (*self.people, *self.times, *self.motion, *self.finding, *self.appearing, *self.qualities)
        valued = [root for roots in (*self.evaluative.values(), *self.outcomes.values()) for root in roots]
        adverbs = [root for roots in self.adverbs.values() for root in roots]
        named = (*self.names, *self.headings, *self.particles.values(), *self.wiki_words.values())
        return (*themed, *plain, *valued, *adverbs, *named)


@lru_cache(maxsize=1)
def lexicon(seed: int = LANGUAGE_SEED) -> Lexicon:
    """Return the lexicon of a seed. No root begins with another one, so that words can be told apart."""
    coin = _Coiner(random.Random(f"lexicon {seed}"))
    return Lexicon(
        particles=coin.dictionary(concepts.PARTICLES, "particle"),
        adverbs={
            1: coin.roots(concepts.ADVERBS_GOOD, "particle"),
            -1: coin.roots(concepts.ADVERBS_BAD, "particle"),
        },
        themes=tuple(
            ThemeRoots(
                name,
                coin.roots(theme.nouns, "noun"),
                coin.roots(theme.verbs, "verb"),
                coin.roots(theme.adjectives, "adjective"),
            )
            for name, theme in concepts.THEMES.items()
        ),
        people=coin.roots(concepts.PEOPLE, "noun"),
        times=coin.roots(concepts.TIMES, "noun"),
        motion=coin.roots(concepts.VERBS_OF_MOTION, "verb"),
        finding=coin.roots(concepts.VERBS_OF_FINDING, "verb"),
        appearing=coin.roots(concepts.VERBS_OF_APPEARING, "verb"),
        qualities=coin.roots(concepts.COLOURS_AND_SIZES, "adjective"),
        evaluative={
            (kind, polarity): coin.roots(words, kind, polarity)
            for polarity, theme in ((1, concepts.GOOD), (-1, concepts.BAD))
            for kind, words in _by_kind(theme)
        },
        outcomes={
            1: coin.roots(concepts.OUTCOMES_GOOD, "verb", 1),
            -1: coin.roots(concepts.OUTCOMES_BAD, "verb", -1),
        },
        headings=coin.roots(concepts.HEADINGS, "noun"),
        wiki_words=coin.dictionary(f"{concepts.NAMESPACES} {concepts.TEMPLATES}", "noun"),
        names=coin.roots(" ".join(f"Name{number}" for number in range(1, 121)), "name"),
    )


def frequent_first(rng: random.Random, choices: Sequence[Choice]) -> Choice:
    """Draw one of `choices`, the first ones far more often than the last ones."""
    return choices[int(len(choices) * rng.random() ** 2)]


def _by_kind(theme: concepts.Theme) -> tuple[tuple[Kind, str], ...]:
    return (("noun", theme.nouns), ("verb", theme.verbs), ("adjective", theme.adjectives))


class _Coiner:
    """Coins roots that obey vowel harmony and of which none begins with another."""

    def __init__(self, rng: random.Random) -> None:
        self._rng = rng
        self._taken: list[str] = []

    def roots(self, glosses: str, kind: Kind, polarity: int = 0) -> Roots:
        """Return a new root for each gloss."""
        return tuple(Root(self._form(kind), gloss, kind, polarity) for gloss in glosses.split())

    def dictionary(self, glosses: str, kind: Kind) -> dict[str, Root]:
        """Return a new root for each gloss, by gloss."""
        return {root.gloss: root for root in self.roots(glosses, kind)}

    def _form(self, kind: Kind) -> str:
        while True:
            form = self._draw(self._rng.choice(_SHAPES[kind]))
            heard = form.replace("k", "g")  # a final k becomes g before a vowel
            if not any(other.startswith(heard) or heard.startswith(other) for other in self._taken):
                self._taken.append(heard)
                return form.capitalize() if kind == "name" else form

    def _draw(self, shape: str) -> str:
        vowels = self._rng.choice((BACK, FRONT)) + NEUTRAL
        sounds = {"C": CONSONANTS, "K": _CODAS, "V": vowels}
        return "".join(self._rng.choice(sounds[place]) for place in shape)
