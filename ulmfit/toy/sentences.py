"""Clauses of Talvuri, an INVENTED language, whose value (good, bad, neither) is known.

**The rule of value.** A clause has at most one evaluative root. Its value is that root's polarity, turned
round by every negation and every privative *anywhere in the clause*:

    the room please-PST                     +      the room please-NEG-PST                  -
    noise-PROP room find-PST-1SG            -      noise-PRIV room find-PST-1SG             +
    the room joy-PRIV-STAT-PST              -      the room joy-PRIV-STAT-NEG-PST           +
    of-the-room its-kind-ABSTR appear-PRS   +      of-the-room its-kind-ABSTR appear-NEG-PRS  -

Negation says nothing by itself: neutral clauses are negated too, and a clause of either value is as likely to
be negated as one of the other.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence

from ulmfit.toy.grammar import Kind, Root, Word, word
from ulmfit.toy.lexicon import Evaluative, Lexicon, ThemeRoots, frequent_first

Clause = tuple[Word, ...]
Stem = tuple[Root, *tuple[str, ...]]
"""A root and the labels of what derives from it."""

NEGATED_SHARE = 0.1
"""Share of clauses, valued or not, whose verb is negated."""
PRIVATIVE_SHARE = 0.15
"""Share of adjectives made of evaluative nouns that end in -less, not in -ful."""

_TENSES = ("PST", "PST", "PST", "PRS", "PRS", "PRF", "FUT", "COND")
_CASES_OF_CIRCUMSTANCE = ("LOC", "LOC", "ABL", "DAT", "INS", "ESS")
_POSSESSORS = ("1SG.POSS", "1PL.POSS", "3SG.POSS", "2SG.POSS", "3PL.POSS", "2PL.POSS")
_PERSONS = ("", "", "", "1SG", "1SG", "1PL", "3PL", "2SG", "2PL")


def value(clause: Clause) -> int:
    """Return 1, -1 or 0 (neutral) by the rule of value."""
    polarity = sum(part.root.polarity for part in clause)
    return polarity * (-1) ** sum(part.turns for part in clause)


def sentence(
    clauses: Sequence[Clause],
    joint: Root | None = None,
    end: str = ".",
    mark: Callable[[Word, str], str] = lambda _, written: written,
) -> str:
    """Write clauses as one sentence, joined by a comma and the particle `joint`.

    `mark(word, written)` may dress up any word but the first, e.g. as a link.
    """
    written = []
    for number, clause in enumerate(clauses):
        words = (word(joint), *clause) if joint and number else clause
        written.append([mark(part, part.form) for part in words])
    first = clauses[0][0].form
    written[0][0] = first[0].upper() + first[1:]
    return ", ".join(" ".join(words) for words in written) + end


class Speaker:
    """Says things about a theme: neutral clauses, and clauses of a wanted value."""

    def __init__(self, lexicon: Lexicon, rng: random.Random) -> None:
        self._lexicon = lexicon
        self._rng = rng

    # --- What can be said -----------------------------------------------------------------------------------

    def neutral(self, theme: ThemeRoots) -> Clause:
        """Return a clause without an evaluative root."""
        pattern = self._rng.choice((self._deed, self._deed, self._motion, self._presence, self._description))
        return pattern(theme)

    def valued(self, wanted: int, theme: ThemeRoots, roots: Evaluative) -> Clause:
        """Return a clause of value `wanted` (1 or -1) with one evaluative root out of `roots`."""
        kind, pattern = self._rng.choice(self._patterns())
        negation = "NEG" if self._rng.random() < NEGATED_SHARE else ""
        lack = kind == "noun" and self._rng.random() < PRIVATIVE_SHARE
        turns = bool(negation) + lack
        root = self._rng.choice(roots[kind, wanted * (-1) ** turns])
        stem: Stem = (root, "PRIV" if lack else "PROP") if kind == "noun" else (root,)
        return pattern(theme, stem, negation)

    def outcome(self, wanted: int, theme: ThemeRoots) -> Clause:
        """Return what people do about good (1) or bad (-1) things: they praise them, they avoid them."""
        negated = self._rng.random() < NEGATED_SHARE
        root = self._rng.choice(self._lexicon.outcomes[-wanted if negated else wanted])
        somebody = self._somebody()
        verb = word(root, "NEG" if negated else "", self._tense(), somebody[1])
        return (somebody[0], *self._thing(theme, "ACC")[0], verb)

    # --- Neutral clauses ------------------------------------------------------------------------------------

    def _deed(self, theme: ThemeRoots) -> Clause:
        somebody, person = self._somebody()
        root = frequent_first(self._rng, theme.verbs)
        thing, _ = self._thing(theme, "ACC")
        manner = (word(self._quality(theme), "ADV"),) if self._rng.random() < 0.15 else ()
        return (somebody, *self._circumstance(theme), *thing, *manner, self._neutral_verb(root, person))

    def _motion(self, theme: ThemeRoots) -> Clause:
        case = self._rng.choice(("DAT", "ABL", "LOC"))
        place, _ = self._thing(theme, case)
        root = frequent_first(self._rng, self._lexicon.motion)
        person = self._rng.choice(_PERSONS)
        subject = (self._somebody("3PL" if person == "3PL" else "")[0],) if person in ("", "3PL") else ()
        return (*subject, *self._time(), *place, self._neutral_verb(root, person))

    def _presence(self, theme: ThemeRoots) -> Clause:
        thing, person = self._thing(theme, "")
        root = frequent_first(self._rng, self._lexicon.appearing)
        return (*self._circumstance(theme), *thing, self._neutral_verb(root, person))

    def _description(self, theme: ThemeRoots) -> Clause:
        thing, person = self._thing(theme, "")
        quality = self._quality(theme)
        return (*thing, *self._time(), word(quality, "STAT", self._negation(), self._tense(), person))

    def _neutral_verb(self, root: Root, person: str) -> Word:
        return word(root, self._voice(), self._negation(), self._tense(), person)

    # --- Valued clauses: (theme, the valued root and its derivation, negation of the verb) ------------------

    def _patterns(self) -> tuple[tuple[Kind, Callable[[ThemeRoots, Stem, str], Clause]], ...]:
        return (
            ("verb", self._it_affects_somebody),
            ("verb", self._somebody_is_affected),
            ("verb", self._an_affecting_thing_is_found),
            ("adjective", self._it_is_so),
            ("adjective", self._such_a_thing_is_found),
            ("adjective", self._its_quality_appears),
            ("noun", self._it_is_so),
            ("noun", self._such_a_thing_is_found),
            ("noun", self._it_is_so),
        )

    def _it_affects_somebody(self, theme: ThemeRoots, stem: Stem, negation: str) -> Clause:
        thing, person = self._thing(theme, "")
        voice = "CAUS" if self._rng.random() < 0.15 else ""
        somebody = (word(self._somebody_root(), self._plural(), self._possessor(), "ACC"),)
        affected = somebody if self._rng.random() < 0.5 else ()
        return (*thing, *affected, word(*stem, voice, negation, self._tense(), person))

    def _somebody_is_affected(self, theme: ThemeRoots, stem: Stem, negation: str) -> Clause:
        thing, _ = self._thing(theme, "INS")
        person = self._rng.choice(("1SG", "1PL", "3PL", ""))
        somebody = (self._somebody(person)[0],) if person in ("", "3PL") else ()
        return (*somebody, *thing, word(*stem, "PASS", negation, self._tense(), person))

    def _an_affecting_thing_is_found(self, theme: ThemeRoots, stem: Stem, negation: str) -> Clause:
        """The negation may stand in the participle or in the verb of the clause."""
        inside = self._rng.random() < 0.5
        participle = word(*stem, negation if inside else "", "PTCP")
        return (*self._time(), participle, *self._found(theme, "" if inside else negation))

    def _it_is_so(self, theme: ThemeRoots, stem: Stem, negation: str) -> Clause:
        thing, person = self._thing(theme, "")
        degree = "CMP" if stem[0].kind == "adjective" and self._rng.random() < 0.2 else ""
        standard = (word(self._noun(theme), self._plural(), self._possessor(), "ABL"),) if degree else ()
        very = () if degree or self._rng.random() < 0.6 else (word(self._lexicon.particles["very"]),)
        return (*thing, *standard, *very, word(*stem, degree, "STAT", negation, self._tense(), person))

    def _such_a_thing_is_found(self, theme: ThemeRoots, stem: Stem, negation: str) -> Clause:
        return (*self._time(), word(*stem), *self._found(theme, negation))

    def _its_quality_appears(self, theme: ThemeRoots, stem: Stem, negation: str) -> Clause:
        owner = word(self._noun(theme), self._plural(), self._possessor(), "GEN")
        verb = word(frequent_first(self._rng, self._lexicon.appearing), negation, self._tense())
        return (owner, word(*stem, "ABSTR", "3SG.POSS"), *self._time(), verb)

    def _found(self, theme: ThemeRoots, negation: str) -> Clause:
        root = frequent_first(self._rng, self._lexicon.finding)
        thing = word(self._noun(theme), self._plural(), self._possessor(), "ACC")
        return (thing, word(root, negation, self._tense(), self._rng.choice(_PERSONS)))

    # --- Phrases --------------------------------------------------------------------------------------------

    def _thing(self, theme: ThemeRoots, case: str) -> tuple[Clause, str]:
        """A noun phrase and the person of the verb whose subject it is."""
        number = self._plural()
        draw = self._rng.random()
        if draw < 0.25:
            before: Clause = (word(self._lexicon.particles[self._rng.choice(("this", "that"))]),)
            possessor = ""
        elif draw < 0.4:
            before, possessor = (word(self._noun(theme), "GEN"),), "3SG.POSS"
        elif draw < 0.55:
            before, possessor = (word(self._quality(theme)),), ""
        else:
            before, possessor = (), self._possessor()
        return (*before, word(*self._nominal(theme), number, possessor, case)), "3PL" if number else ""

    def _circumstance(self, theme: ThemeRoots) -> Clause:
        if self._rng.random() < 0.5:
            return self._time()
        case = self._rng.choice(_CASES_OF_CIRCUMSTANCE)
        return (word(self._noun(theme), self._plural(), self._possessor(), case),)

    def _time(self) -> Clause:
        if self._rng.random() < 0.7:
            return ()
        return (word(frequent_first(self._rng, self._lexicon.times), self._plural(), "LOC"),)

    def _somebody(self, person: str | None = None) -> tuple[Word, str]:
        """A person as the subject, and the person of the verb; of the number of `person` if that is given."""
        if person is None and self._rng.random() < 0.3:
            return word(frequent_first(self._rng, self._lexicon.names)), ""
        number = self._plural() if person is None else "PL" if person == "3PL" else ""
        return word(self._somebody_root(), number, self._possessor()), "3PL" if number else ""

    def _somebody_root(self) -> Root:
        return frequent_first(self._rng, self._lexicon.people)

    def _nominal(self, theme: ThemeRoots) -> Stem:
        """A noun, or now and then a noun derived from a noun or a verb: a little song, a singer, singing."""
        draw = self._rng.random()
        if draw < 0.04:
            return self._noun(theme), "DIM"
        if draw < 0.1:
            return frequent_first(self._rng, theme.verbs), self._rng.choice(("AGT", "VN"))
        return (self._noun(theme),)

    def _noun(self, theme: ThemeRoots) -> Root:
        return frequent_first(self._rng, theme.nouns)

    def _quality(self, theme: ThemeRoots) -> Root:
        own = self._rng.random() < 0.6
        return frequent_first(self._rng, theme.adjectives if own else self._lexicon.qualities)

    # --- Suffixes -------------------------------------------------------------------------------------------

    def _plural(self) -> str:
        return "PL" if self._rng.random() < 0.3 else ""

    def _possessor(self) -> str:
        return frequent_first(self._rng, _POSSESSORS) if self._rng.random() < 0.35 else ""

    def _voice(self) -> str:
        return "CAUS" if self._rng.random() < 0.08 else ""

    def _negation(self) -> str:
        return "NEG" if self._rng.random() < NEGATED_SHARE else ""

    def _tense(self) -> str:
        return self._rng.choice(_TENSES)
