"""The SentencePiece tokenizer: texts -> ids, and back."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, Self

import numpy as np
import sentencepiece

from ulmfit.pipeline.errors import InputError
from ulmfit.pipeline.files import atomic_path, read_bytes, write_json
from ulmfit.tokens.bpe_sampling import BPESampler
from ulmfit.tokens.marks import MARK_NAMES, REPLACEMENT, WORD_BOUNDARY, WREP
from ulmfit.tokens.sentencepiece_model import exact_line_length, is_unigram
from ulmfit.tokens.subword_pieces import Pieces
from ulmfit.tokens.subword_sampling import TextSampler
from ulmfit.tokens.text_form import Rules, TextForm, read_rules
from ulmfit.tokens.tokenizer import FORMAT_VERSION, RULES_FILE, SPECIALS, Tokenizer
from ulmfit.tokens.unigram_sampling import UnigramSampler

MODEL_FILE = "spm.model"
LONGEST_LINE = 2_000
"""Characters; the words of longer lists are encoded in several lines."""
WORDS_PER_LINE = 128


class SentencePieceTokenizer(Tokenizer):
    """A tokenizer whose words are cut into pieces by SentencePiece.

    `decode(encode([x])[0]) == form.normal(x)` for every text whose characters the vocabulary covers, and with
    byte fallback for every text.
    """

    kind = "sentencepiece"

    def __init__(self, model: bytes, rules: Rules) -> None:
        """Take a serialized SentencePiece model; raises InputError when it is none of ours."""
        self.rules = rules
        self.language = rules.language
        self.form = TextForm(rules)
        self._model = model
        self._processor = _processor(model)
        self.size = self._processor.get_piece_size()
        self._pieces = [self._processor.id_to_piece(index) for index in range(self.size)]
        self._marks = rules.mark_names()
        self._check_pieces()
        self.byte_fallback = any(map(self._processor.is_byte, range(self.size)))
        if rules.repeats:
            self.repetition_id = self._pieces.index(WREP)
        self._contents = self._piece_contents()
        self._begins_word = np.array([piece.startswith(WORD_BOUNDARY) for piece in self._pieces])
        self._precedes_space = np.isin(self._pieces, list(MARK_NAMES))
        self._line_length = self._longest_line()

    @property
    def vocabulary(self) -> list[str]:
        """The pieces in the order of their ids; the marks under their names, such as xxmaj."""
        return [self._marks.get(piece, piece) for piece in self._pieces]

    def encode_words(self, words: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
        """Return the ids of normalised words, and how many each has."""
        lines = [self.form.write_words(line) for line in self._lines(words)]
        if not lines:
            return np.zeros(0, np.int32), np.zeros(0, np.int64)
        ids = np.concatenate(self._processor.encode(lines, return_type="numpy", num_threads=1))
        # A word begins with the piece that has the space, or with the mark before that.
        begins = self._begins_word[ids]
        marks = self._precedes_space[ids]
        moved = marks[:-1] & begins[1:]
        begins[1:] &= ~moved
        begins[:-1] |= moved
        return ids, np.diff(np.append(np.flatnonzero(begins), len(ids)))

    def sample(self, texts: Sequence[str], alpha: float, seed: int) -> list[np.ndarray]:
        """Return one int32 array of ids a text, its words cut at random (subword regularisation).

        Unigram: `alpha` is the exponent of the segmentations' probabilities, 0: all alike. BPE: `alpha` is
        the probability that a merge is left out, 0: the usual pieces. The same arguments give the same ids.
        """
        return self._sampler.sample(texts, alpha, seed)

    def decode(self, ids: Iterable[int]) -> str:
        """Return the text of `ids` in normal form; xxunk becomes U+FFFD, the other special tokens nothing.

        So do bytes that are no UTF-8, which no text is encoded as.
        """
        content = b"".join(map(self._contents.__getitem__, ids))
        return self.form.read(content.decode("utf-8", "replace"))

    def save(self, folder: Path) -> None:
        """Write `spm.model` and `tokenizer.json` into an existing folder."""
        with atomic_path(folder / MODEL_FILE) as path:
            path.write_bytes(self._model)
        write_json(folder / RULES_FILE, self._description())

    @classmethod
    def read(cls, folder: Path, rules: dict[str, Any]) -> Self:
        """Read what `save` wrote; raises InputError when it is missing, or altered."""
        try:
            model = read_bytes(folder / MODEL_FILE)
        except OSError as error:
            raise InputError(
                f"{folder} is no tokenizer folder ({error.strerror or error}): expected {MODEL_FILE} in it"
            ) from error
        if rules.get("model_sha256") != hashlib.sha256(model).hexdigest():
            raise InputError(
                f"{folder / MODEL_FILE} is not the model that {RULES_FILE} names: copy the folder again"
            )
        form = read_rules(rules, folder / RULES_FILE)
        try:
            tokenizer = cls(model, form)
        except InputError as error:
            raise InputError(f"{folder / MODEL_FILE}: {error}") from error
        if tokenizer._description() != rules:
            raise InputError(
                f"{folder / RULES_FILE} does not describe {MODEL_FILE} beside it: copy the folder again"
            )
        return tokenizer

    def _description(self) -> dict[str, Any]:
        return {
            "version": FORMAT_VERSION,
            "kind": self.kind,
            **self.rules.description(),
            "size": self.size,
            "byte_fallback": self.byte_fallback,
            "specials": SPECIALS,
            "mark_characters": {name: f"U+{ord(mark):04X}" for mark, name in self._marks.items()},
            "dotless_i": self.form.marker.dotless_i if self.form.marker else False,
            "rules": self.rules.in_words(),
            "model_sha256": hashlib.sha256(self._model).hexdigest(),
        }

    @cached_property
    def _sampler(self) -> TextSampler:
        special = (self._processor.is_control, self._processor.is_unknown, self._processor.is_byte)
        ids = {
            piece: index
            for index, piece in enumerate(self._pieces)
            if not any(is_special(index) for is_special in special)
        }
        scores = np.array([self._processor.get_score(index) for index in range(self.size)])
        byte_ids = [index for index in range(self.size) if self._processor.is_byte(index)]
        pieces = Pieces(ids, scores, np.array(byte_ids) if byte_ids else None)
        words = UnigramSampler(pieces) if is_unigram(self._model) else BPESampler(pieces)
        return TextSampler(pieces, words, self.form, self.repetition_id)

    def _check_pieces(self) -> None:
        expected = [*SPECIALS, *self._marks]
        if self._pieces[: len(expected)] != expected or WORD_BOUNDARY not in self._pieces:
            raise InputError(
                f"the SentencePiece model has other special tokens than {', '.join(SPECIALS)} and the marks: "
                f"use a model that this program trained"
            )

    def _piece_contents(self) -> list[bytes]:
        """Return the UTF-8 that each piece stands for; a byte piece is that byte."""
        contents = [piece.replace(WORD_BOUNDARY, " ").encode() for piece in self._pieces]
        for index in range(self.size):
            if self._processor.is_byte(index):
                contents[index] = bytes([int(self._pieces[index][3:5], 16)])
        contents[: len(SPECIALS)] = [REPLACEMENT.encode(), b"", b"", b""]
        return contents

    def _longest_line(self) -> int:
        if not is_unigram(self._model):
            return LONGEST_LINE
        scores = [self._processor.get_score(index) for index in range(self.size)]
        return min(LONGEST_LINE, exact_line_length(scores))

    def _lines(self, words: Sequence[str]) -> Iterator[str]:
        """Yield the words with a space before each, many to a line but each line short enough."""
        for first in range(0, len(words), WORDS_PER_LINE):
            group = words[first : first + WORDS_PER_LINE]
            line = f" {' '.join(group)}"
            if len(line) <= self._line_length:
                yield line
            else:
                yield from self._short_lines(group)

    def _short_lines(self, words: Sequence[str]) -> Iterator[str]:
        line = ""
        for word in words:
            if line and len(line) + len(word) >= self._line_length:
                yield line
                line = ""
            line += f" {word}"
        yield line


def _processor(model: bytes) -> sentencepiece.SentencePieceProcessor:
    try:
        return sentencepiece.SentencePieceProcessor(model_proto=model)
    except RuntimeError as error:
        raise InputError("not a SentencePiece model, or a damaged one") from error
