"""Texts of many scripts, and tokenizers trained on them in a moment."""

from __future__ import annotations

import random
from functools import cache

from hypothesis import strategies as st

from ulmfit.tokens.sentencepiece_tokenizer import SentencePieceTokenizer
from ulmfit.tokens.sentencepiece_training import train_tokenizer
from ulmfit.tokens.text_form import Rules

WORDS = (  # noqa: SIM905  # a string reads better than forty of them
    "der Hund Łódź ŁÓDŹ Straße STRASSE McDonald İstanbul Istanbul ırak Σίσυφος ΟΔΥΣΣΕΥΣ РОССИЯ Москва "
    "日本語 हिन्दी العربية xxmaj xxbos xxunk ﬁnden x² … \u200bnull ǅep ¿Qué? 3,14 ½ 😀 SOOOO www ha ha ha ha"
).split()

SCRIPTS = [
    range(0x20, 0x7F),
    range(0xA0, 0x250),
    range(0x300, 0x370),
    range(0x370, 0x530),
    range(0x530, 0x700),
    range(0x900, 0xE00),
    range(0xE00, 0x1200),
    range(0x10A0, 0x1400),
    range(0x1E00, 0x2070),
    range(0x2100, 0x2600),
    range(0x3000, 0x3200),
    range(0x4E00, 0x4F00),
    range(0xAC00, 0xAD00),
    range(0xE0E0, 0xE100),
    range(0xFB00, 0xFE00),
    range(0x10400, 0x10450),
    range(0x1E900, 0x1E960),
    range(0x1F300, 0x1F700),
]
"""Blocks of Unicode; with white space of all kinds, joiners, ligatures, marks and private use among them."""


def _of_block(block: range) -> st.SearchStrategy[str]:
    return st.text(alphabet=st.characters(min_codepoint=block[0], max_codepoint=block[-1], codec="utf-8"))


repetitions = st.builds(
    lambda text, count, between: between.join([text] * count),
    st.sampled_from([*WORDS, "a", "A", "é", "ß", "Σ", "4", ".", "-", "😀", "e\u0301", "\u00a0ha", "ja\tja"]),
    st.integers(1, 12),
    st.sampled_from(["", " ", "\n", "\u00a0", " \u2003", "\x00"]),
)
any_texts = st.lists(
    st.one_of(
        st.sampled_from(
            [*WORDS, " ", "\n", "\u00a0", "\u2003", "\x85", "\x07", "<0x41>", "\u2581", "\ue0f3"]
        ),
        repetitions,
        st.text(),
        st.one_of([_of_block(block) for block in SCRIPTS]),
    ),
    max_size=8,
).map("".join)
"""Valid texts of any characters, many of them hard ones."""


def corpus(documents: int = 300) -> list[str]:
    chosen = random.Random(0)
    return [" ".join(chosen.choices(WORDS, k=30)) + ".\nZweiter  Absatz\tfolgt." for _ in range(documents)]


COVERED = sorted(set("".join(corpus()).replace("\t", " ")))
"""The characters that the vocabularies of `trained` cover."""

TOKENIZERS: dict[str, dict[str, object]] = {
    "de": {},
    "tr": {"language": "tr"},
    "bpe": {"model_type": "bpe"},
    "plain": {"marks": False},
    "repeats": {"repeats": True},
    "bytes": {"byte_fallback": True, "vocab_size": 500},
    "bytes repeats": {"byte_fallback": True, "repeats": True, "vocab_size": 500},
    "bpe bytes repeats": {"model_type": "bpe", "byte_fallback": True, "repeats": True, "vocab_size": 500},
    "plain bytes": {"marks": False, "byte_fallback": True, "vocab_size": 500},
}


@cache
def trained(name: str) -> SentencePieceTokenizer:
    """Return one of `TOKENIZERS`, trained on `corpus`."""
    settings = {"vocab_size": 300, "character_coverage": 1.0, "language": "de", **TOKENIZERS[name]}
    rules = Rules(**{field: settings.pop(field) for field in Rules.model_fields if field in settings})
    return train_tokenizer(corpus(), rules, **settings)
