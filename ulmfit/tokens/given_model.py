"""A foreign SentencePiece model, made into one of ours: its pieces and scores, our special tokens.

The model of a released language model cannot be used as it is: its special tokens have other ids and
spellings, its normaliser changes texts (NFKC), its dummy prefix depends on where a line begins, and its
scores add up inexactly. Here its ordinary pieces keep text, order and (rounded) score and follow our special
tokens and marks; texts are then written in our form. A word that both write in the same way is cut into the
same pieces, except where rounding makes ties; a language model's rows are matched by the text of the pieces.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

from ulmfit.datasets.text_rules import FIELD_MARK
from ulmfit.pipeline.errors import InputError
from ulmfit.pipeline.files import read_bytes
from ulmfit.tokens.marks import WORD_BOUNDARY
from ulmfit.tokens.sentencepiece_model import BPE, SCORE_UNIT, UNIGRAM, fields, model_type
from ulmfit.tokens.sentencepiece_tokenizer import SentencePieceTokenizer
from ulmfit.tokens.text_form import Rules
from ulmfit.tokens.tokenizer import SPECIALS

LARGEST_MODEL = 64_000_000
"""Bytes; a model of 100,000 pieces has 2 million."""
LOWEST_SCORE = -1_000_000
"""Scores are logarithms of probabilities (unigram), or ranks of merges (bpe)."""

# Numbers of fields and values in sentencepiece_model.proto.
PIECES, TRAINER, NORMALIZER = 1, 2, 3
TEXT, SCORE, TYPE = 1, 2, 3
NORMAL, UNKNOWN, CONTROL, USER_DEFINED, BYTE = 1, 2, 3, 4, 6
MODEL_TYPE = 3
BYTE_FALLBACK = 35
SPECIAL_IDS, SPECIAL_PIECES = 40, 45
"""Number of the field for xxunk; those for bos, eos and pad follow."""
SPECIALS_IN_ORDER = ("xxunk", "xxbos", "xxeos", "xxpad")
NAME, ADD_DUMMY_PREFIX, REMOVE_EXTRA_WHITESPACES, ESCAPE_WHITESPACES = 1, 3, 4, 5
VARINT, DELIMITED, FOUR_BYTES = 0, 2, 5


FIELD_PIECE = f"{WORD_BOUNDARY}{FIELD_MARK}"


class Piece(NamedTuple):
    """One entry of a SentencePiece model."""

    text: str
    score: float
    kind: int


def tokenizer_of_model(model: bytes, rules: Rules) -> SentencePieceTokenizer:
    """Return our tokenizer with the pieces of a serialized model; raises InputError when it is none."""
    try:
        pieces, algorithm = list(_pieces(model)), model_type(model)
    except (IndexError, KeyError, struct.error, UnicodeDecodeError) as error:
        raise InputError("not a SentencePiece model, or a damaged one") from error
    if not any(piece.kind in (NORMAL, BYTE) for piece in pieces):
        raise InputError("not a SentencePiece model, or one without pieces")
    if algorithm not in (UNIGRAM, BPE):
        raise InputError("a SentencePiece model of whole words or characters: expected unigram or bpe")
    if any(not LOWEST_SCORE <= piece.score <= 0 for piece in pieces):
        raise InputError(f"a SentencePiece model whose scores are not between {LOWEST_SCORE:,} and 0")
    return SentencePieceTokenizer(_serialized(_ours(pieces, rules), algorithm), rules)


def read_given_model(path: Path, rules: Rules) -> SentencePieceTokenizer:
    """Return our tokenizer with the pieces of the SentencePiece model in `path`; raises InputError."""
    try:
        if path.stat().st_size > LARGEST_MODEL:
            raise InputError(f"more than {LARGEST_MODEL:,} bytes: no SentencePiece model has as many")
        return tokenizer_of_model(read_bytes(path), rules)
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror or error}") from error
    except InputError as error:
        raise InputError(f"{path}: {error}") from error


def _ours(pieces: Iterable[Piece], rules: Rules) -> list[Piece]:
    """Return our special tokens and marks, then the ordinary pieces and bytes of a foreign model."""
    specials = [Piece(name, 0.0, UNKNOWN if name == "xxunk" else CONTROL) for name in SPECIALS]
    marks = [Piece(mark, 0.0, NORMAL) for mark in rules.mark_names()]
    taken = {piece.text for piece in (*specials, *marks)}
    kept = [
        Piece(
            piece.text, round(piece.score / SCORE_UNIT) * SCORE_UNIT, BYTE if piece.kind == BYTE else NORMAL
        )
        for piece in pieces
        if (piece.kind in (NORMAL, BYTE) and piece.text not in taken) or _marks_fields(piece)
    ]
    if not any(piece.text == WORD_BOUNDARY for piece in kept):
        kept.append(Piece(WORD_BOUNDARY, min((piece.score for piece in kept), default=0.0), NORMAL))
    return [*specials, *marks, *kept]


def _marks_fields(piece: Piece) -> bool:
    """Whether it is fastai's xxfld, a word of a text: its score of 0 makes it win over any other pieces."""
    return piece.kind == USER_DEFINED and piece.text == FIELD_PIECE


def _pieces(model: bytes) -> Iterator[Piece]:
    for number, begin, end in fields(model, 0, len(model)):
        if number != PIECES:
            continue
        text, score, kind = "", 0.0, NORMAL
        for inner, place, after in fields(model, begin, end):
            if inner == TEXT:
                text = model[place:after].decode("utf-8")
            elif inner == SCORE:
                (score,) = struct.unpack_from("<f", model, place)
            elif inner == TYPE:
                kind = model[place]
        yield Piece(text, score, kind)


def _serialized(pieces: list[Piece], algorithm: int) -> bytes:
    has_bytes = any(piece.kind == BYTE for piece in pieces)
    ids = [piece.text for piece in pieces[: len(SPECIALS)]]
    trainer = _number(MODEL_TYPE, algorithm) + _number(BYTE_FALLBACK, has_bytes)
    for offset, name in enumerate(SPECIALS_IN_ORDER):
        trainer += _number(SPECIAL_IDS + offset, ids.index(name))
        trainer += _message(SPECIAL_PIECES + offset, name.encode())
    normalizer = _message(NAME, b"identity") + _number(ADD_DUMMY_PREFIX, 0)
    normalizer += _number(REMOVE_EXTRA_WHITESPACES, 0) + _number(ESCAPE_WHITESPACES, 1)
    return (
        b"".join(_message(PIECES, _piece(piece)) for piece in pieces)
        + _message(TRAINER, trainer)
        + _message(NORMALIZER, normalizer)
    )


def _piece(piece: Piece) -> bytes:
    score = _varint(SCORE << 3 | FOUR_BYTES) + struct.pack("<f", piece.score)
    return _message(TEXT, piece.text.encode()) + score + _number(TYPE, piece.kind)


def _message(number: int, content: bytes) -> bytes:
    return _varint(number << 3 | DELIMITED) + _varint(len(content)) + content


def _number(number: int, value: int) -> bytes:
    return _varint(number << 3 | VARINT) + _varint(value)


def _varint(value: int) -> bytes:
    encoded = bytearray()
    while value > 0x7F:
        encoded.append(value & 0x7F | 0x80)
        value >>= 7
    encoded.append(value)
    return bytes(encoded)
