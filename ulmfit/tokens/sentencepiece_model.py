"""A trained SentencePiece model, changed so that a word's pieces depend on the word alone.

SentencePiece adds up the scores of a line's pieces in 32-bit floats. Rounding then breaks ties between
equally good segmentations, and how a word is cut depends on the words before it. With scores that are
multiples of 2**-8, every sum below 2**16 is exact, and words can be encoded one by one or many per line. The
marks become ordinary pieces, because the bonus that SentencePiece gives user-defined pieces is no such
multiple; no other piece holds a mark's character.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator

from ulmfit.pipeline.errors import InputError

SCORE_UNIT = 2.0**-8
LARGEST_EXACT_SUM = 2.0**16
UNKNOWN_PENALTY = 10.0
"""Subtracted by SentencePiece from the lowest score, for a character without a piece."""

UNIGRAM, BPE = 1, 2

_PIECES, _SCORE, _TYPE = 1, 2, 3
_NORMAL, _USER_DEFINED = 1, 4
_TRAINER, _MODEL_TYPE = 2, 3
_VARINT, _EIGHT_BYTES, _DELIMITED, _FOUR_BYTES = 0, 1, 2, 5


def with_exact_sums(model: bytes) -> bytes:
    """Return a serialized model with rounded scores, and ordinary pieces in place of user-defined ones."""
    changed = bytearray(model)
    for number, begin, end in fields(model, 0, len(model)):
        if number == _PIECES:
            for inner, place, _ in fields(model, begin, end):
                if inner == _SCORE:
                    (score,) = struct.unpack_from("<f", model, place)
                    struct.pack_into("<f", changed, place, round(score / SCORE_UNIT) * SCORE_UNIT)
                elif inner == _TYPE and model[place] == _USER_DEFINED:
                    changed[place] = _NORMAL
    return bytes(changed)


def model_type(model: bytes) -> int:
    """Return the algorithm of a serialized model: UNIGRAM, BPE or another number.

    The trainer's part comes after the pieces; IndexError where a cut-off file lacks it.
    """
    trainers = [(begin, end) for number, begin, end in fields(model, 0, len(model)) if number == _TRAINER]
    for inner, place, _ in fields(model, *trainers[0]):
        if inner == _MODEL_TYPE:
            return model[place]
    return UNIGRAM


def is_unigram(model: bytes) -> bool:
    """Return whether a serialized model cuts words by scores; the other kind (BPE) adds nothing up."""
    try:
        return model_type(model) == UNIGRAM
    except IndexError:
        return True  # SentencePiece's default


def exact_line_length(scores: list[float]) -> int:
    """Return how many characters a line may have for its sums to be exact; InputError for other scores."""
    if any(score % SCORE_UNIT for score in scores):
        raise InputError("the SentencePiece model has scores that add up inexactly: train it again")
    return int(LARGEST_EXACT_SUM / (UNKNOWN_PENALTY - min(scores)))


def fields(message: bytes, begin: int, end: int) -> Iterator[tuple[int, int, int]]:
    """Yield number, begin and end of each field of a message in protocol buffers' wire format."""
    while begin < end:
        key, begin = _varint(message, begin)
        if key & 7 == _DELIMITED:
            length, begin = _varint(message, begin)
            after = begin + length
        elif key & 7 == _VARINT:
            _, after = _varint(message, begin)
        else:
            after = begin + {_FOUR_BYTES: 4, _EIGHT_BYTES: 8}[key & 7]
        if after > end:
            raise IndexError("a field goes past the end of its message")
        yield key >> 3, begin, after
        begin = after


def _varint(message: bytes, place: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = message[place]
        place += 1
        value |= (byte & 0x7F) << shift
        shift += 7
        if byte < 0x80:
            return value, place
