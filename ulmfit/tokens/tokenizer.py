"""What a tokenizer is: texts -> arrays of ids, and back."""

from __future__ import annotations

import hashlib
import json
from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np

from ulmfit.tokens.text_form import TextForm
from ulmfit.tokens.word_encoding import WordEncoder

RULES_FILE = "tokenizer.json"
FORMAT_VERSION = 2
UNK_ID, PAD_ID, BOS_ID, EOS_ID = range(4)
SPECIALS = {"xxunk": UNK_ID, "xxpad": PAD_ID, "xxbos": BOS_ID, "xxeos": EOS_ID}


class Tokenizer(ABC):
    """Turns texts into arrays of ids, each beginning with xxbos, and ids into texts.

    The first ids of every vocabulary are those of `SPECIALS`.
    """

    kind: ClassVar[str]
    """Names the implementation in `tokenizer.json`."""
    unk_id, pad_id, bos_id, eos_id = UNK_ID, PAD_ID, BOS_ID, EOS_ID

    language: str
    """Language code, such as `de`."""
    form: TextForm
    """How it writes texts; `form.normal(text)` is what decoding gives back of a text."""
    size: int
    """Number of ids."""
    repetition_id: int | None = None
    """Id of xxwrep, which stands before the number of times that a word is repeated; None: no such mark."""

    @property
    @abstractmethod
    def vocabulary(self) -> list[str]:
        """The pieces in the order of their ids."""

    def fingerprint(self) -> str:
        """Return a SHA-256 of the pieces in their order, and of the steps before the normal form.

        Models that share it know the same ids, and are given the same ones for a text.
        """
        known: list[Any] = self.vocabulary
        if reading := self.form.rules.reading():
            known = [known, self.language, reading]
        return hashlib.sha256(json.dumps(known).encode()).hexdigest()

    @abstractmethod
    def encode_words(self, words: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
        """Return the ids of normalised words, one after another (int32), and how many each word has.

        A word is what stands between two spaces of the normal form; it has one id or more. Its ids depend on
        the word alone.
        """

    def encode(self, texts: Sequence[str]) -> list[np.ndarray]:
        """Return one int32 array of ids a text: xxbos, then the ids of each word of its normal form.

        This is the encoding in training and at prediction: a text's ids depend on the text alone.
        """
        return WordEncoder(self).encode_list(texts)

    @abstractmethod
    def sample(self, texts: Sequence[str], alpha: float, seed: int) -> list[np.ndarray]:
        """Return what `encode` does, with words cut at random into smaller pieces: a regularisation.

        `alpha` and what it means belong to the implementation. The ids decode to the same texts.
        """

    @abstractmethod
    def decode(self, ids: Iterable[int]) -> str:
        """Return the text of `ids` in normal form; xxunk becomes U+FFFD, the other special tokens nothing."""

    @abstractmethod
    def save(self, folder: Path) -> None:
        """Write the tokenizer into an existing folder; `load_tokenizer` reads it."""

    @classmethod
    @abstractmethod
    def read(cls, folder: Path, rules: dict[str, Any]) -> Self:
        """Read what `save` wrote, given the content of `tokenizer.json`; use `load_tokenizer`."""
