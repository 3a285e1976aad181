"""The grammar of Talvuri, an INVENTED language that builds words by chaining suffixes.

Sounds
------
Consonants: p b t d k g m n s š z č h v l r y. Vowels come in three sets:

    back      a  o  u
    front     e  ö  ü
    neutral   i

*Vowel harmony*: a word has back vowels or front vowels, never both; `i` goes with either. A suffix takes the
colour of the stem it joins, so it has two shapes. A stem with no vowel but `i` counts as front. Suffixes are
therefore written with cover letters (`attach` spells them out):

    A O U     a o u after a back stem, e ö ü after a front stem
    D G       t k after a voiceless consonant (p t k s š č h), d g elsewhere
    (U) (y)   a bracketed vowel stands only after a consonant, a bracketed consonant only after a vowel

*Lenition*: a final k softens to g when a vowel follows: kamarnak 'houses', kamarnagum 'my houses'.

>>> attach("kamar", "DAš"), attach("tölüp", "DAš"), attach("vesi", "DAš")
('kamardaš', 'tölüpteš', 'vesideš')
>>> attach("kamar", "(U)m"), attach("vesi", "(U)m"), attach("vesi", "(y)A"), attach("berek", "(y)A")
('kamarum', 'vesim', 'vesiye', 'berege')

Words
-----
A word is a root and a chain of suffixes. Which suffix may follow which is a table (`SUFFIXES`): each one
joins stems that are in certain states and leaves the stem in a new state. The slots, in order:

    noun        root - DIM - plural - possessor - case
    verb        root - CAUS - PASS - NEG - tense - person
    adjective   root - CMP

A singular, an absent possessor, the nominative, the active, the affirmative and the third person singular
have no suffix. Derivation moves between the classes: 'joy' joy-PROP 'joyful', joy-PRIV 'joyless',
joy-PROP-STAT-NEG-PST 'was not joyful'; 'kind' kind-ABSTR 'kindness'; 'please' please-PTCP 'pleasing',
please-NEG-PTCP 'unpleasing'.

>>> house, joy = Root("kamar", "house", "noun"), Root("dögen", "joy", "noun", polarity=1)
>>> ours = word(house, "PL", "1PL.POSS", "LOC")
>>> ours.form, ours.gloss
('kamarnagumuttaš', 'house-PL-1PL.POSS-LOC')
>>> please = Root("molun", "please", "verb", polarity=1)
>>> for negated in ("", "NEG"):
...     said = word(please, "CAUS", negated, "PST", "1PL")
...     print(said.form, said.gloss, said.value)
molunsatkamut please-CAUS-PST-1PL 1
molunsatzogamut please-CAUS-NEG-PST-1PL -1
>>> [word(joy, *suffixes).form for suffixes in (["PROP"], ["PRIV"], ["PROP", "STAT", "NEG", "PST"])]
['dögenlük', 'dögentöm', 'dögenlüklenzöge']

Negation stands *inside* the verb, between voice and tense, and is never a word of its own. It turns the value
of what is said round, and so does the privative: see `Word.value`.

Sentences
---------
Subject, object, verb, in this order; modifiers before what they modify; the possessor in the genitive with
the possessed marked for person (kamaron ulrasi, 'of-the-house its-roof'); no articles, and no subject
pronouns. A sentence and a name begin with a capital letter.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Final, Literal

BACK: Final = "aou"
FRONT: Final = "eöü"
NEUTRAL: Final = "i"
VOWELS: Final = BACK + FRONT + NEUTRAL
VOICELESS: Final = "ptksščh"
CONSONANTS: Final = "pbtdkgmnsšzčhvlry"

Kind = Literal["noun", "verb", "adjective", "name", "particle"]


# --- Sounds -------------------------------------------------------------------------------------------------


def is_front(stem: str) -> bool:
    """Whether the last vowel with a colour is a front one; a stem that has none counts as front."""
    return next((vowel in FRONT for vowel in reversed(stem.lower()) if vowel in BACK + FRONT), True)


def attach(stem: str, shape: str) -> str:
    """Join a suffix, written with cover letters, to a stem: the only place where sounds change."""
    ending = _without_brackets(stem, shape)
    ending = ending.translate(str.maketrans("AOU", FRONT if is_front(stem) else BACK))
    ending = ending.translate(str.maketrans("DG", "tk" if stem[-1] in VOICELESS else "dg"))
    if stem[-1] == "k" and ending[0] in VOWELS:
        stem = stem[:-1] + "g"
    return stem + ending


def _without_brackets(stem: str, shape: str) -> str:
    """Keep the bracketed sound if it parts two sounds of one sort, drop it otherwise."""
    if not shape.startswith("("):
        return shape
    sound, rest = shape[1], shape[3:]
    parts_consonants = sound in "AOU" + VOWELS
    stem_ends_in_vowel = stem[-1] in VOWELS
    return rest if parts_consonants == stem_ends_in_vowel else sound + rest


# --- Suffixes -----------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Suffix:
    """One suffix and its place in the word."""

    label: str
    """Name in interlinear glosses, after the Leipzig rules."""
    shape: str
    """Sounds, written with cover letters."""
    after: tuple[str, ...]
    """States of the stems that it joins."""
    makes: str
    """State of the stem that it leaves."""
    meaning: str
    derives: bool = False
    """Whether it makes a new word (derivation) or a form of the same word (inflection)."""


_NOMINAL = ("noun", "plural", "possessed")
_VERBAL = ("verb", "causative", "passive")

SUFFIXES: Final = (
    # Nouns: number, possessor, case.
    Suffix("PL", "nAk", ("noun",), "plural", "more than one"),
    Suffix("1SG.POSS", "(U)m", ("noun", "plural"), "possessed", "my"),
    Suffix("2SG.POSS", "(U)š", ("noun", "plural"), "possessed", "your"),
    Suffix("3SG.POSS", "(s)i", ("noun", "plural"), "possessed", "his, her, its"),
    Suffix("1PL.POSS", "(U)mUt", ("noun", "plural"), "possessed", "our"),
    Suffix("2PL.POSS", "(U)šUt", ("noun", "plural"), "possessed", "your, of several"),
    Suffix("3PL.POSS", "(s)in", ("noun", "plural"), "possessed", "their"),
    Suffix("ACC", "(A)t", _NOMINAL, "case", "what the deed is done to"),
    Suffix("GEN", "(y)On", _NOMINAL, "case", "of"),
    Suffix("DAT", "(y)A", _NOMINAL, "case", "to, for"),
    Suffix("LOC", "DAš", _NOMINAL, "case", "in, on, at"),
    Suffix("ABL", "DAl", _NOMINAL, "case", "from, than"),
    Suffix("INS", "vOl", _NOMINAL, "case", "with, by"),
    Suffix("ESS", "GUn", _NOMINAL, "case", "as, in the role of"),
    # Verbs: voice, negation, tense and mood, person of the subject.
    Suffix("CAUS", "sAt", ("verb",), "causative", "to make somebody do it"),
    Suffix("PASS", "(U)l", ("verb", "causative"), "passive", "to have it done to oneself"),
    Suffix("NEG", "zO", _VERBAL, "negated", "not"),
    Suffix("PRS", "(O)r", (*_VERBAL, "negated"), "tense", "now, always"),
    Suffix("PST", "GA", (*_VERBAL, "negated"), "tense", "once, over"),
    Suffix("PRF", "mOt", (*_VERBAL, "negated"), "tense", "done, and it still matters"),
    Suffix("FUT", "(A)šin", (*_VERBAL, "negated"), "tense", "later"),
    Suffix("COND", "hUn", (*_VERBAL, "negated"), "tense", "would"),
    Suffix("1SG", "(U)m", ("tense",), "person", "I"),
    Suffix("2SG", "(U)š", ("tense",), "person", "you"),
    Suffix("1PL", "(U)mUt", ("tense",), "person", "we"),
    Suffix("2PL", "(U)šUt", ("tense",), "person", "you, several"),
    Suffix("3PL", "nAk", ("tense",), "person", "they"),
    # Adjectives: degree.
    Suffix("CMP", "bAr", ("adjective",), "compared", "more"),
    # Derivation.
    Suffix("DIM", "čUk", ("noun",), "noun", "little", derives=True),
    Suffix("PROP", "lUk", ("noun",), "adjective", "having it, -ful", derives=True),
    Suffix("PRIV", "tOm", ("noun",), "adjective", "lacking it, -less", derives=True),
    Suffix("ABSTR", "nOš", ("adjective",), "noun", "the quality, -ness", derives=True),
    Suffix("STAT", "lAn", ("adjective", "compared"), "verb", "to be so", derives=True),
    Suffix("ADV", "lO", ("adjective", "compared"), "adverb", "in this way, -ly", derives=True),
    Suffix("AGT", "(U)či", _VERBAL, "noun", "who does it, -er", derives=True),
    Suffix("VN", "mA", (*_VERBAL, "negated"), "noun", "doing it", derives=True),
    Suffix("PTCP", "(A)ndi", (*_VERBAL, "negated"), "adjective", "who or what does it, -ing", derives=True),
)

_BY_LABEL: Final = {suffix.label: suffix for suffix in SUFFIXES}
_UNFINISHED: Final = (*_VERBAL, "negated")
_TURNS_VALUE_ROUND: Final = ("NEG", "PRIV")


# --- Words --------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Root:
    """The core of a word, as the lexicon lists it."""

    form: str
    gloss: str
    kind: Kind
    polarity: int = 0
    """1: speaks well of its topic; -1: speaks ill of it; 0: neither."""


@dataclass(frozen=True)
class Word:
    """A root and a chain of suffixes; make it with `word`, which checks the chain."""

    root: Root
    suffixes: tuple[Suffix, ...] = ()

    @cached_property
    def form(self) -> str:
        """The word as it is written (names with a capital letter)."""
        form = self.root.form
        for suffix in self.suffixes:
            form = attach(form, suffix.shape)
        return form

    @property
    def gloss(self) -> str:
        """The word taken apart, e.g. `house-PL-LOC`."""
        return "-".join([self.root.gloss, *(suffix.label for suffix in self.suffixes)])

    @property
    def state(self) -> str:
        """Where the word stands in the table of suffixes, e.g. `plural`; at first the root's kind."""
        if self.suffixes:
            return self.suffixes[-1].makes
        return "noun" if self.root.kind == "name" else self.root.kind

    @property
    def turns(self) -> int:
        """How many of its suffixes turn a value round: negations and privatives."""
        return sum(suffix.label in _TURNS_VALUE_ROUND for suffix in self.suffixes)

    @property
    def value(self) -> int:
        """The root's polarity, turned round by every negation and privative: 1, -1, or 0 for neutral."""
        return self.root.polarity * (-1) ** self.turns


def word(root: Root, *labels: str) -> Word:
    """Return the word of a root and suffix labels; empty labels stand for the forms without a suffix.

    Raises ValueError where the grammar does not allow the chain, or where a verb has no tense yet.
    """
    made = Word(root)
    for label in filter(None, labels):
        suffix = _BY_LABEL[label]
        if made.state not in suffix.after:
            raise ValueError(f"{label} cannot follow {made.gloss} ({made.state})")
        made = Word(root, (*made.suffixes, suffix))
    if made.state in _UNFINISHED:
        raise ValueError(f"{made.gloss} is a verb without a tense")
    return made
