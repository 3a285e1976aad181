"""The tokenizer: texts -> SentencePiece ids, and back."""

from __future__ import annotations

import hashlib
import io
import re
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
import sentencepiece

from ulmfit.errors import InputError
from ulmfit.files import atomic_path, read_json, write_json
from ulmfit.tokens.marks import MARK_NAMES, REPLACEMENT, WORD_BOUNDARY, Marker, normalize

MODEL_FILE, RULES_FILE = "spm.model", "tokenizer.json"
FORMAT_VERSION = 1
UNK_ID, PAD_ID, BOS_ID, EOS_ID = range(4)
SPECIALS = {"xxunk": UNK_ID, "xxpad": PAD_ID, "xxbos": BOS_ID, "xxeos": EOS_ID}
RULES = (
    "composed characters (NFC)",
    "runs of white space and control characters are one space; none at the ends",
    "U+2581 is _; the private-use characters of the marks and halves of surrogate pairs are U+FFFD",
    "one space is put before the text",
)
MARK_RULE = (
    "a capitalised word is xxmaj, a word in capitals xxup, before the space and the word in small letters"
)

TRAINING_LINE_BYTES = 4192
"""SentencePiece drops longer training lines; ours are split instead."""
TRAINING_THREADS = 8
"""Fixed whatever the machine: the number is written into the model and decides how sums are rounded."""
RESERVED_IN_TRAINING = "\u2585"
"""SentencePiece drops training lines with this character; here they lose only the character."""
MAX_TRAINING_LINES = 10_000_000

ModelType = Literal["unigram", "bpe"]

_SENTENCE_END = re.compile(r"[.!?…։؟।]\S{0,2}\s|[。！？]")
_SPACE = re.compile(r"\s")
_TOO_SMALL = re.compile(r"smaller than required_chars\. \d+ vs (\d+)")


class Tokenizer:
    """Turns texts into arrays of ids, each beginning with xxbos, and ids into texts.

    `decode(encode([x])[0]) == normalize(x)` for every text whose characters the vocabulary covers.
    """

    unk_id, pad_id, bos_id, eos_id = UNK_ID, PAD_ID, BOS_ID, EOS_ID

    def __init__(self, model: bytes, language: str, marks: bool = True) -> None:
        """Take a serialized SentencePiece model; raises InputError when it is none of ours."""
        self.language = language
        self.marks = marks
        self._model = model
        self._marker = Marker(language) if marks else None
        self._processor = _processor(model)
        self.size: int = self._processor.get_piece_size()
        self._pieces = [self._processor.id_to_piece(index) for index in range(self.size)]
        expected = [*SPECIALS, *(MARK_NAMES if marks else ())]
        if self._pieces[: len(expected)] != expected:
            raise InputError(
                f"the SentencePiece model has other special tokens than {', '.join(SPECIALS)} and the marks: "
                f"use a model that this program trained"
            )
        self._texts = [piece.replace(WORD_BOUNDARY, " ") for piece in self._pieces]
        self._texts[: len(SPECIALS)] = [REPLACEMENT, "", "", ""]

    @property
    def vocabulary(self) -> list[str]:
        """The pieces in the order of their ids; the marks under their names xxmaj and xxup."""
        return [MARK_NAMES.get(piece, piece) for piece in self._pieces]

    def prepare(self, text: str) -> str:
        """Return what SentencePiece sees of `text`: normal form, a space in front, marks for capitals."""
        text = normalize(text)
        if not text:
            return ""
        return self._marker.mark(f" {text}") if self._marker else f" {text}"

    def encode(self, texts: Sequence[str], threads: int = 1) -> list[np.ndarray]:
        """Return one int32 array of ids a text, each beginning with xxbos; `threads` 0 uses all cores."""
        return self.encode_prepared([self.prepare(text) for text in texts], threads)

    def encode_prepared(self, prepared: list[str], threads: int = 1) -> list[np.ndarray]:
        """Like `encode`, for texts that went through `prepare` already."""
        return self._processor.encode(
            prepared, return_type="numpy", add_bos=True, num_threads=threads if threads > 0 else -1
        )

    def decode(self, ids: Iterable[int]) -> str:
        """Return the normalised text of `ids`; xxunk becomes U+FFFD, the other special tokens nothing."""
        text = "".join(map(self._texts.__getitem__, ids))
        if self._marker:
            text = self._marker.unmark(text)
        return text.removeprefix(" ")

    @classmethod
    def train(
        cls,
        texts: Iterable[str],
        language: str,
        *,
        vocab_size: int = 15_000,
        model_type: ModelType = "unigram",
        character_coverage: float = 0.9999,
        marks: bool = True,
    ) -> Tokenizer:
        """Train on `texts`, which are read once.

        Holds all of `texts` in memory, so the caller passes a sample. The result depends on nothing but the
        arguments. Its `size` is less than `vocab_size` when the texts cannot carry that many pieces. Raises
        InputError when there is no text, or when `vocab_size` cannot hold the characters.
        """
        marker = Marker(language) if marks else None
        lines = _Reader(training_lines(texts, marker))
        model = io.BytesIO()
        try:
            sentencepiece.set_random_generator_seed(0)
            sentencepiece.SentencePieceTrainer.train(
                sentence_iterator=lines,
                model_writer=model,
                model_type=model_type,
                vocab_size=vocab_size,
                hard_vocab_limit=False,
                character_coverage=character_coverage,
                user_defined_symbols=list(MARK_NAMES) if marks else [],
                normalization_rule_name="identity",
                remove_extra_whitespaces=False,
                add_dummy_prefix=False,
                max_sentence_length=TRAINING_LINE_BYTES,
                input_sentence_size=MAX_TRAINING_LINES,
                shuffle_input_sentence=True,
                num_threads=TRAINING_THREADS,
                minloglevel=3,
                **_special_options(),
            )
        except RuntimeError as error:
            raise lines.error or _in_one_line(error, vocab_size) from error
        return cls(model.getvalue(), language, marks)

    def save(self, folder: Path) -> None:
        """Write `spm.model` and `tokenizer.json` into an existing folder."""
        with atomic_path(folder / MODEL_FILE) as path:
            path.write_bytes(self._model)
        write_json(folder / RULES_FILE, self._rules())

    def _rules(self) -> dict[str, Any]:
        return {
            "version": FORMAT_VERSION,
            "language": self.language,
            "size": self.size,
            "marks": self.marks,
            "specials": SPECIALS,
            "mark_characters": {name: f"U+{ord(mark):04X}" for mark, name in MARK_NAMES.items()},
            "dotless_i": self._marker.dotless_i if self._marker else False,
            "rules": [*RULES, *([MARK_RULE] if self.marks else [])],
            "model_sha256": hashlib.sha256(self._model).hexdigest(),
        }

    @classmethod
    def load(cls, folder: Path) -> Tokenizer:
        """Read what `save` wrote; raises InputError when it is missing, altered, or of another version."""
        try:
            rules = read_json(folder / RULES_FILE)
            model = (folder / MODEL_FILE).read_bytes()
        except OSError as error:
            raise InputError(
                f"{folder} is no tokenizer folder ({error.strerror or error}): "
                f"expected {MODEL_FILE} and {RULES_FILE}"
            ) from error
        except ValueError as error:
            raise InputError(f"{folder / RULES_FILE} is damaged ({error}): copy the folder again") from error
        _check_rules(rules, model, folder)
        try:
            tokenizer = cls(model, rules["language"], rules["marks"])
        except InputError as error:
            raise InputError(f"{folder / MODEL_FILE}: {error}") from error
        if tokenizer._rules() != rules:
            raise InputError(
                f"{folder / RULES_FILE} does not describe {MODEL_FILE} beside it: copy the folder again"
            )
        return tokenizer


def training_lines(texts: Iterable[str], marker: Marker | None) -> Iterator[str]:
    """Yield the texts as SentencePiece is trained on them: one line a paragraph, each short enough.

    Longer paragraphs are split at the sentence end, or else the space, nearest the middle.
    """
    for text in texts:
        for paragraph in text.replace(RESERVED_IN_TRAINING, " ").splitlines():
            yield from _short_lines(normalize(paragraph), marker)


def _short_lines(text: str, marker: Marker | None) -> Iterator[str]:
    if not text:
        return
    if len(text) < TRAINING_LINE_BYTES:
        line = marker.mark(f" {text}") if marker else f" {text}"
        if len(line.encode()) <= TRAINING_LINE_BYTES:
            yield line
            return
    cut = _cut(text)
    yield from _short_lines(text[:cut].strip(), marker)
    yield from _short_lines(text[cut:].strip(), marker)


def _cut(text: str) -> int:
    """Return where to cut in the middle half of `text`: behind a sentence, a space, or any character."""
    first, middle, last = len(text) // 4, len(text) // 2, 3 * len(text) // 4
    for pattern in (_SENTENCE_END, _SPACE):
        if match := pattern.search(text, middle, last) or pattern.search(text, first, middle):
            return match.end()
    return middle


class _Reader:
    """Hands lines to SentencePiece, which reports an error of its iterator as one of its own: keeps it."""

    def __init__(self, lines: Iterator[str]) -> None:
        self._lines = lines
        self._empty = True
        self.error: Exception | None = None

    def __iter__(self) -> Iterator[str]:
        return self

    def __next__(self) -> str:
        try:
            line = next(self._lines)
        except StopIteration:
            if self._empty:
                self.error = InputError("the training documents hold no text: a tokenizer needs some")
            raise
        except Exception as error:
            self.error = error
            raise
        self._empty = False
        return line


def _special_options() -> dict[str, Any]:
    options: dict[str, Any] = {}
    for name, index in SPECIALS.items():
        options[f"{name[2:]}_id"] = index
        options[f"{name[2:]}_piece"] = name
    return options


def _in_one_line(error: RuntimeError, vocab_size: int) -> Exception:
    message = " ".join(str(error).split())
    if match := _TOO_SMALL.search(message):
        return InputError(
            f"vocab_size {vocab_size} is too small: the characters and special tokens alone are {match[1]}; "
            f"raise vocab_size or lower character_coverage"
        )
    return RuntimeError(f"SentencePiece could not be trained: {message}")


def _processor(model: bytes) -> sentencepiece.SentencePieceProcessor:
    try:
        return sentencepiece.SentencePieceProcessor(model_proto=model)
    except RuntimeError as error:
        raise InputError("not a SentencePiece model, or a damaged one") from error


def _check_rules(rules: Any, model: bytes, folder: Path) -> None:
    path = folder / RULES_FILE
    if not isinstance(rules, dict) or "version" not in rules:
        raise InputError(f"{path} is no description of a tokenizer: expected the file that training wrote")
    if rules["version"] != FORMAT_VERSION:
        raise InputError(
            f"{path} has version {rules['version']!r}, this program reads {FORMAT_VERSION}: "
            f"train the tokenizer again"
        )
    if not isinstance(rules.get("language"), str) or not isinstance(rules.get("marks"), bool):
        raise InputError(f"{path} names no language or no marks: expected the file that training wrote")
    if rules.get("model_sha256") != hashlib.sha256(model).hexdigest():
        raise InputError(
            f"{folder / MODEL_FILE} is not the model that {RULES_FILE} names: copy the folder again"
        )
