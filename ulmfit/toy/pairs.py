"""Minimal pairs of Talvuri, an INVENTED language, from its grammar: each second sentence has a wrong word.

negation inside the verb    root-NEG-PST         beside  root-PST-NEG
case                        object-ACC verb      beside  object-GEN verb
possession                  owner-GEN its-thing  beside  owner-GEN thing
vowel harmony               kamar-nak            beside  kamar-nek
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from itertools import pairwise

from ulmfit.evaluation.pair_files import Pair
from ulmfit.toy.grammar import BACK, FRONT, SUFFIXES, Word, attach
from ulmfit.toy.lexicon import lexicon
from ulmfit.toy.sentences import Clause, Speaker

_GENITIVE = tuple(suffix for suffix in SUFFIXES if suffix.label == "GEN")
OTHER_COLOUR = str.maketrans(BACK + FRONT, FRONT + BACK)

Wrong = dict[int, str]
"""Place of a word in a clause -> what stands there in the wrong sentence."""


def pairs(seed: int, count: int) -> list[Pair]:
    """Return `count` different pairs of every construction."""
    found: dict[str, dict[str, Pair]] = {name: {} for name in CONSTRUCTIONS}
    speaker, rng = Speaker(lexicon(), random.Random(f"pairs {seed}")), random.Random(f"themes {seed}")
    while any(len(made) < count for made in found.values()):
        clause = speaker.neutral(rng.choice(lexicon().themes))
        for name, errors in CONSTRUCTIONS.items():
            for wrong in errors(clause):
                pair = Pair(name, _written(clause, {}), _written(clause, wrong))
                if len(found[name]) < count:
                    found[name][pair.right] = pair
                break
    return [pair for made in found.values() for pair in made.values()]


def _written(clause: Clause, wrong: Wrong) -> str:
    words = [wrong.get(place, part.form) for place, part in enumerate(clause)]
    text = " ".join(words) + "."
    return text[0].upper() + text[1:]


def _negation(clause: Clause) -> Iterator[Wrong]:
    """The negation behind the tense."""
    for place, part in enumerate(clause):
        labels = [suffix.label for suffix in part.suffixes]
        if "NEG" in labels and part.suffixes[labels.index("NEG") + 1 :]:
            number = labels.index("NEG")
            order = [*part.suffixes[:number], part.suffixes[number + 1], part.suffixes[number]]
            form = part.root.form
            for suffix in [*order, *part.suffixes[number + 2 :]]:
                form = attach(form, suffix.shape)
            yield {place: form}


def _case(clause: Clause) -> Iterator[Wrong]:
    """An object in the genitive, with nothing that belongs to it."""
    for place, (part, following) in enumerate(pairwise(clause)):
        if _ends_in(part, "ACC") and following.state in ("tense", "person"):
            yield {place: Word(part.root, (*part.suffixes[:-1], *_GENITIVE)).form}


def _possession(clause: Clause) -> Iterator[Wrong]:
    """What belongs to somebody without the mark of its owner."""
    for place, (part, following) in enumerate(pairwise(clause), 1):
        kept = tuple(suffix for suffix in following.suffixes if suffix.label != "3SG.POSS")
        if _ends_in(part, "GEN") and len(kept) < len(following.suffixes):
            yield {place: Word(following.root, kept).form}


def _harmony(clause: Clause) -> Iterator[Wrong]:
    """The last suffix of a word with the vowels of the other colour."""
    for place, part in enumerate(clause):
        if not part.suffixes:
            continue
        stem = len(Word(part.root, part.suffixes[:-1]).form)
        ending = part.form[stem:]
        if ending != ending.translate(OTHER_COLOUR):
            yield {place: part.form[:stem] + ending.translate(OTHER_COLOUR)}


def _ends_in(part: Word, label: str) -> bool:
    return bool(part.suffixes) and part.suffixes[-1].label == label


CONSTRUCTIONS: dict[str, Callable[[Clause], Iterator[Wrong]]] = {
    "negation inside the verb": _negation,
    "case": _case,
    "possession": _possession,
    "vowel harmony": _harmony,
}
"""What yields the wrong words of a clause, most of them none."""
