"""Reads the vocabulary of an imported language model: the pieces, in the order of the model's rows."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ulmfit.language_model.restricted_pickle import LARGEST_FILE, read_string_list
from ulmfit.pipeline.errors import InputError
from ulmfit.pipeline.files import check_ends, read_json

FORMATS = {
    ".pkl": "a pickled list of strings, fastai's itos.pkl",
    ".json": "a JSON list of strings",
    ".model": "a SentencePiece model",
    ".vocab": "SentencePiece's list: per line a piece, a tab and its score",
}


def read_vocabulary(path: Path) -> list[str]:
    """Return the pieces listed in `path`; raises InputError for another content, or for a suffix not known.

    A SentencePiece model is the vocabulary only where the model was trained on its ids, as with fastai v1 and
    MultiFiT. fastai v2 counts the pieces anew and numbers them by frequency: there the vocabulary is the
    pickle beside it.
    """
    suffix = path.suffix.lower()
    if suffix not in FORMATS:
        known = "; ".join(f"{name}: {meaning}" for name, meaning in FORMATS.items())
        raise InputError(f"vocabulary {path}: the suffix says what it is, and is one of {known}")
    if suffix == ".pkl":
        return _checked(read_string_list(path), path)
    try:
        check_ends(path)
        if path.stat().st_size > LARGEST_FILE:
            raise InputError(f"vocabulary {path} has more than {LARGEST_FILE:,} bytes: no list of words has")
        if suffix == ".json":
            return _checked(read_json(path), path)
        if suffix == ".vocab":
            lines = path.read_text(encoding="utf-8").removesuffix("\n").split("\n")
            return _checked([line.partition("\t")[0] for line in lines], path)
        return _checked(_sentencepiece_pieces(path), path)
    except OSError as error:
        raise InputError(f"vocabulary {path} cannot be read: {error.strerror or error}") from error
    except (ValueError, RecursionError) as error:
        raise InputError(f"vocabulary {path} is damaged, or not {FORMATS[suffix]}: {error}") from error


def _sentencepiece_pieces(path: Path) -> list[str]:
    import sentencepiece

    try:
        processor = sentencepiece.SentencePieceProcessor(model_proto=path.read_bytes())
    except RuntimeError as error:
        raise InputError(f"vocabulary {path} is no SentencePiece model, or a damaged one") from error
    return [processor.id_to_piece(index) for index in range(processor.get_piece_size())]


def _checked(pieces: Any, path: Path) -> list[str]:
    if not isinstance(pieces, list) or not all(isinstance(piece, str) for piece in pieces):
        raise InputError(f"vocabulary {path}: expected a list of strings")
    if not pieces:
        raise InputError(f"vocabulary {path} is empty")
    try:
        "".join(pieces).encode()
    except UnicodeEncodeError as error:
        raise InputError(f"vocabulary {path}: an entry is no Unicode text: {error.reason}") from error
    return pieces
