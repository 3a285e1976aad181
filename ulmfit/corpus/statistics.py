"""Statistics of a corpus: sizes, lengths, scripts, languages, and markup that was left over."""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np

from ulmfit.corpus.card import CorpusFigures, Languages, LengthBin, Lengths, SampleDocument, SplitSize
from ulmfit.corpus.documents import SPLITS, Document
from ulmfit.corpus.hash_sample import HashSample
from ulmfit.corpus.words import count_words

_MARKS = ("[[", "]]", "{{", "}}", "{|", "|}", "||", "-{", "}-", "<!--", "-->", "''")
LEFTOVERS = (*_MARKS, "tags", "entities", "formula_1, codice_1", "__TOC__", "attributes")
"""Markup that no reader of a page sees: all that one engine or another is known to leave. `tags` are those
that MediaWiki or an extension knows, `entities` such as `&amp;`; `formula_1` and `codice_1` stand where
wikiextractor met formulas and code; `attributes` are those of tables and tags."""
_ENTITY = re.compile(r"&(?:#[0-9]{1,7}|#[xX][0-9A-Fa-f]{1,6}|[A-Za-z][A-Za-z0-9]{1,31});")
_PLACEHOLDER = re.compile(r"\b(?:formula|codice)_[0-9]+")
_SWITCH = re.compile(r"__[^\W\d_]{3,}__")
_ATTRIBUTE = re.compile(
    r"\b(?:class|style|width|align|rowspan|colspan|bgcolor)\s?=\s?[\"'0-9]", re.IGNORECASE
)
QUANTILES = (0.0, 0.05, 0.25, 0.5, 0.75, 0.95, 1.0)
SURE = 0.5
"""Probability of a language below which a document counts as undecided; most of these are very short."""
_EXCERPT_CHARACTERS = 1000
_SHOWN_CHARACTERS = 600
_SALT = "ulmfit card"
_UNICODE = 0x110000


@dataclass(frozen=True, slots=True)
class Excerpt:
    """The beginning of a document, and the number of words of all of it."""

    id: str
    title: str
    split: str
    words: int
    text: str

    def as_sample(self) -> SampleDocument:
        """Return what the report shows."""
        text = self.text[:_SHOWN_CHARACTERS]
        if len(self.text) > _SHOWN_CHARACTERS:
            text = text.rstrip() + " …"
        fields = {name: getattr(self, name) for name in ("id", "title", "split", "words")}
        return SampleDocument(**fields, text=text)


class CorpusStatistics:
    """Counts documents one by one; memory grows with the longest document, not with their number."""

    def __init__(self, sample_size: int) -> None:
        self._splits = {split: Counter(documents=0, words=0, characters=0) for split in SPLITS}
        self._lengths: Counter[int] = Counter()
        self._leftovers = dict.fromkeys(LEFTOVERS, 0)
        self._characters = np.zeros(_UNICODE, np.int64)
        self._sample: HashSample[Excerpt] = HashSample(_SALT, sample_size)

    def add(self, document: Document) -> None:
        """Count one more document."""
        text = document.text
        words = count_words(text)
        self._splits[document.split].update(documents=1, words=words, characters=len(text))
        self._lengths[words] += 1
        for mark, count in leftovers_in(text).items():
            self._leftovers[mark] += count
        codes = np.bincount(np.frombuffer(text.encode("utf-32-le"), np.uint32))
        self._characters[: len(codes)] += codes
        begin = text[:_EXCERPT_CHARACTERS]
        self._sample.offer(document.id, Excerpt(document.id, document.title, document.split, words, begin))

    def figures(self, language_documents: int) -> CorpusFigures:
        """Return the numbers, with the languages of so many documents of the sample."""
        texts = [excerpt.text for excerpt in self._sample.items()[:language_documents]]
        return CorpusFigures(
            splits={split: SplitSize(**counts) for split, counts in self._splits.items()},
            lengths=Lengths(quantiles=_quantiles(self._lengths), histogram=histogram(self._lengths)),
            scripts=_scripts(self._characters),
            languages=languages(texts) if texts else None,
            leftovers=self._leftovers,
        )

    def samples(self, count: int) -> list[SampleDocument]:
        """Return the beginnings of `count` documents."""
        return [excerpt.as_sample() for excerpt in self._sample.items()[:count]]


def leftovers_in(text: str) -> dict[str, int]:
    """Return how often each of LEFTOVERS stands in a text."""
    found = {mark: text.count(mark) for mark in _MARKS}
    found["tags"] = len(_tags().findall(text)) if "<" in text else 0
    found["entities"] = len(_ENTITY.findall(text)) if "&" in text else 0
    has_underscore = "_" in text
    found["formula_1, codice_1"] = len(_PLACEHOLDER.findall(text)) if has_underscore else 0
    found["__TOC__"] = len(_SWITCH.findall(text)) if has_underscore and "__" in text else 0
    found["attributes"] = len(_ATTRIBUTE.findall(text)) if "=" in text else 0
    return found


@cache
def _tags() -> re.Pattern[str]:
    from ulmfit.corpus.fast.text import TAG_NAMES

    names = "|".join(sorted(map(re.escape, TAG_NAMES), reverse=True))
    return re.compile(rf"</?(?:{names})(?=[\s/>])", re.IGNORECASE)


def account_counts(account: Mapping[str, Any]) -> dict[str, Any]:
    """Return the counts of an account.json, without the ids of pages."""
    return {
        "source": account["source"],
        "pages_read": account["pages_read"],
        "documents_written": account["documents_written"],
        "left_out": {reason: entry["count"] for reason, entry in account["left_out"].items()},
    }


def summary(figures: CorpusFigures) -> str:
    """Return words and the rates of leftovers, for a log."""
    words = figures.words
    found = {mark: count for mark, count in figures.leftovers.items() if count}
    rates = [f"{mark} {1e6 * count / max(words, 1):.1f}" for mark, count in found.items()]
    return f"{words:,} words; markup left over per million words: {', '.join(rates) or 'none'}"


def histogram(lengths: Mapping[int, int]) -> tuple[LengthBin, ...]:
    """Return the documents of 0, 1, 2-3, 4-7, 8-15, ... words, up to the longest."""
    bins: Counter[int] = Counter()
    for words, documents in lengths.items():
        bins[words.bit_length()] += documents
    last = max(bins, default=-1)
    return tuple(
        LengthBin(fewest=(1 << power) >> 1, most=(1 << power) - 1, documents=bins[power])
        for power in range(min(bins, default=0), last + 1)
    )


def _quantiles(lengths: Mapping[int, int]) -> dict[str, int]:
    """Return the smallest length that a share of the documents does not exceed."""
    values = sorted(lengths)
    if not values:
        return {}
    ends = np.cumsum([lengths[value] for value in values])
    places = np.searchsorted(ends, np.array(QUANTILES) * ends[-1])
    return {f"{share:g}": values[place] for share, place in zip(QUANTILES, places, strict=True)}


def _scripts(characters: np.ndarray) -> dict[str, int]:
    """Return the letters of each Unicode script, given how often each code point occurs; the most first."""
    from fontTools.unicodedata import script, script_name

    letters: Counter[str] = Counter()
    for code in np.flatnonzero(characters):
        character = chr(code)
        if unicodedata.category(character)[0] == "L":
            letters[script_name(script(character))] += int(characters[code])
    return dict(letters.most_common())


def languages(texts: Sequence[str]) -> Languages:
    """Identify the language of each text by its beginning.

    Returns the number of texts, the number of languages that the identifier knows, and the texts of each
    language code; it takes another language for a relative of it. `und` are texts that it is not sure of.
    """
    from py3langid.langid import MODEL_FILE, LanguageIdentifier

    identifier = LanguageIdentifier.from_model_file(MODEL_FILE, norm_probs=True, min_confidence=SURE)
    found = Counter(identifier.classify(text)[0] for text in texts)
    return Languages(documents=len(texts), known=len(identifier.labels), found=dict(found.most_common()))
