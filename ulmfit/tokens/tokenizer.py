"""What a tokenizer is: texts -> arrays of ids, and back."""

from __future__ import annotations

import hashlib
import json
from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np

from ulmfit.pipeline.errors import InputError
from ulmfit.pipeline.files import atomic_path, read_bytes, write_json
from ulmfit.tokens.text_form import Rules, TextForm, read_rules
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
    file: ClassVar[str]
    """Name of the file that holds the vocabulary."""
    hash_field: ClassVar[str]
    """Field of `tokenizer.json` with the SHA-256 of that file."""
    own_rules: tuple[str, ...] = ()
    """Sentences of `tokenizer.json` on how this kind cuts words."""
    unk_id, pad_id, bos_id, eos_id = UNK_ID, PAD_ID, BOS_ID, EOS_ID

    rules: Rules
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
        """Return one int32 array of ids per text: xxbos, then the ids of each word of its normal form.

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

    def save(self, folder: Path) -> None:
        """Write the vocabulary and `tokenizer.json` into an existing folder; `load_tokenizer` reads it."""
        with atomic_path(folder / self.file) as path:
            path.write_bytes(self.content())
        write_json(folder / RULES_FILE, self.description())

    @classmethod
    def read(cls, folder: Path, rules: dict[str, Any]) -> Self:
        """Read what `save` wrote, given the content of `tokenizer.json`; use `load_tokenizer`.

        Raises InputError when a file is missing, or altered.
        """
        path = folder / cls.file
        try:
            content = read_bytes(path)
        except OSError as error:
            raise InputError(
                f"{folder} is no tokenizer folder ({error.strerror or error}): expected {cls.file} in it"
            ) from error
        if rules.get(cls.hash_field) != hashlib.sha256(content).hexdigest():
            raise InputError(f"{path} is not the file that {RULES_FILE} names: copy the folder again")
        form = read_rules(rules, folder / RULES_FILE)
        try:
            sentences = rules.get("rules")
            tokenizer = cls.from_content(content, form, sentences if isinstance(sentences, list) else ())
        except (InputError, UnicodeDecodeError) as error:
            raise InputError(f"{path}: {error}") from error
        if tokenizer.description() != rules:
            raise InputError(
                f"{folder / RULES_FILE} does not describe {cls.file} beside it: copy the folder again"
            )
        return tokenizer

    def description(self) -> dict[str, Any]:
        """Return the content of `tokenizer.json`."""
        marks = self.rules.mark_names()
        return {
            "version": FORMAT_VERSION,
            "kind": self.kind,
            **self.rules.description(),
            "size": self.size,
            **self.own_description(),
            "specials": SPECIALS,
            "mark_characters": {name: f"U+{ord(mark):04X}" for mark, name in marks.items()},
            "dotless_i": self.form.marker.dotless_i if self.form.marker else False,
            "rules": [*self.rules.in_words(), *self.own_rules],
            self.hash_field: hashlib.sha256(self.content()).hexdigest(),
        }

    def own_description(self) -> dict[str, Any]:
        """Return the fields of `tokenizer.json` that only this kind has."""
        return {}

    @abstractmethod
    def content(self) -> bytes:
        """Return the bytes of the file that holds the vocabulary."""

    @classmethod
    @abstractmethod
    def from_content(cls, content: bytes, rules: Rules, sentences: Sequence[str]) -> Self:
        """Make the tokenizer from what `content` gave, and the `rules` of `tokenizer.json`.

        Raises InputError or UnicodeDecodeError.
        """
