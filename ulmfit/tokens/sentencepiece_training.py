"""Training of a SentencePiece model on texts."""

from __future__ import annotations

import io
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from typing import Any, Literal

import sentencepiece

from ulmfit.pipeline.errors import InputError
from ulmfit.tokens.marks import normalize
from ulmfit.tokens.sentencepiece_model import with_exact_sums
from ulmfit.tokens.sentencepiece_tokenizer import SentencePieceTokenizer
from ulmfit.tokens.text_form import Rules, TextForm
from ulmfit.tokens.tokenizer import SPECIALS

TRAINING_LINE_BYTES = 4192
"""SentencePiece drops longer training lines; ours are split instead."""
TRAINING_THREADS = 8
"""Fixed for every machine: the number is written into the model, and rounding of sums depends on it."""
RESERVED_IN_TRAINING = "\u2585"
"""SentencePiece drops training lines with this character; here they lose only the character."""
DIGITS = "0123456789"
"""Digits write the numbers of repetitions, so they always have a piece."""
LOG_LEVEL = 3
"""SentencePiece's log level; errors are raised as exceptions anyway."""

ModelType = Literal["unigram", "bpe"]

_SENTENCE_END = re.compile(r"[.!?…։؟।]\S{0,2}\s|[。！？]")
_SPACE = re.compile(r"\s")
_TOO_SMALL = re.compile(r"smaller than required_chars\. \d+ vs (\d+)")


class TrainingLines:
    """The texts as SentencePiece is trained on them, and an account of what became of them.

    One line per paragraph; longer ones are split at the end of a sentence nearest the middle, or else at a
    space. Iterate over it once only.
    """

    def __init__(self, texts: Iterable[str], form: TextForm) -> None:
        self._texts = texts
        self._form = form
        self.texts = self.paragraphs = self.split_paragraphs = self.lines = self.bytes = self.reserved = 0
        self.characters: Counter[str] = Counter()
        """How often each character stands in the lines."""

    def __iter__(self) -> Iterator[str]:
        for text in self._texts:
            self.texts += 1
            for paragraph in text.splitlines():
                normal = self._form.normal(paragraph)
                if RESERVED_IN_TRAINING in normal:
                    self.reserved += normal.count(RESERVED_IN_TRAINING)
                    normal = normalize(normal.replace(RESERVED_IN_TRAINING, " "))
                if normal:
                    yield from self._counted(normal)

    def report(self, tokenizer: SentencePieceTokenizer) -> str:
        """Return in words what `tokenizer` was trained on."""
        pieces = {*tokenizer.vocabulary, *tokenizer.rules.mark_names(), " "}
        left = {name: count for name, count in self.characters.items() if name not in pieces}
        share = 100 * sum(left.values()) / max(self.characters.total(), 1)
        return (
            f"read all of {self.texts:,} texts: {self.paragraphs:,} paragraphs, {self.split_paragraphs:,} of "
            f"them long ones that were split; {self.lines:,} lines of {self.bytes:,} bytes, none dropped; "
            f"{self.reserved:,} times U+2585 read as a space; {len(left):,} of {len(self.characters):,} "
            f"characters got no piece ({share:.4f}% of the text)"
        )

    def _counted(self, paragraph: str) -> Iterator[str]:
        before = self.lines
        for line in self._short_lines(paragraph):
            self.lines += 1
            self.bytes += len(line.encode())
            self.characters.update(line)
            yield line
        self.paragraphs += 1
        self.split_paragraphs += self.lines > before + 1

    def _short_lines(self, text: str) -> Iterator[str]:
        if not text:
            return
        if len(text) < TRAINING_LINE_BYTES:
            line = self._form.write_normal(text)
            if len(line.encode()) <= TRAINING_LINE_BYTES:
                yield line
                return
        cut = _cut(text)
        yield from self._short_lines(text[:cut].strip())
        yield from self._short_lines(text[cut:].strip())


def train_tokenizer(
    texts: Iterable[str],
    rules: Rules,
    *,
    vocab_size: int = 15_000,
    model_type: ModelType = "unigram",
    character_coverage: float = 0.9999,
    byte_fallback: bool = False,
    log: Callable[[str], None] = lambda message: None,
) -> SentencePieceTokenizer:
    """Train on `texts`, which are read once.

    Holds all of `texts` in memory, so the caller passes a sample. The result depends on nothing but the
    arguments. Its `size` is less than `vocab_size` when the texts cannot carry that many pieces. `log` is
    told what was read. Raises InputError when there is no text, or when `vocab_size` cannot hold the
    characters.
    """
    lines = TrainingLines(texts, TextForm(rules))
    reader = _Reader(iter(lines))
    model = io.BytesIO()
    try:
        sentencepiece.SentencePieceTrainer.train(
            sentence_iterator=reader,
            model_writer=model,
            model_type=model_type,
            vocab_size=vocab_size,
            hard_vocab_limit=False,
            character_coverage=character_coverage,
            byte_fallback=byte_fallback,
            user_defined_symbols=list(rules.mark_names()),
            required_chars=DIGITS if rules.repeats else "",
            normalization_rule_name="identity",
            remove_extra_whitespaces=False,
            add_dummy_prefix=False,
            max_sentence_length=TRAINING_LINE_BYTES,
            input_sentence_size=0,
            num_threads=TRAINING_THREADS,
            minloglevel=LOG_LEVEL,
            **_special_options(),
        )
    except RuntimeError as error:
        raise reader.error or _in_one_line(error, vocab_size) from error
    tokenizer = SentencePieceTokenizer(with_exact_sums(model.getvalue()), rules)
    log(lines.report(tokenizer))
    return tokenizer


def _cut(text: str) -> int:
    """Return where to cut in the middle half of `text`: behind a sentence, a space, or any character."""
    first, middle, last = len(text) // 4, len(text) // 2, 3 * len(text) // 4
    for pattern in (_SENTENCE_END, _SPACE):
        if match := pattern.search(text, middle, last) or pattern.search(text, first, middle):
            return match.end()
    return middle


class _Reader:
    """Passes lines to SentencePiece, and keeps an error of the iterator, which SentencePiece would hide."""

    def __init__(self, lines: Iterator[str]) -> None:
        self._lines = lines
        self._empty = True
        self.error: BaseException | None = None

    def __iter__(self) -> Iterator[str]:
        return self

    def __next__(self) -> str:
        try:
            line = next(self._lines)
        except StopIteration:
            if self._empty:
                self.error = InputError("the training documents hold no text: a tokenizer needs some")
            raise
        except BaseException as error:  # a signal that ends the process comes as SystemExit
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
