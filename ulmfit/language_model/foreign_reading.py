"""Guesses from the pieces of an imported vocabulary which settings read texts as its model did."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence

import numpy as np

from ulmfit.language_model.vocabulary import SPELLINGS, Vocabulary
from ulmfit.tokens.marks import WORD_BOUNDARY

SIGNS = ",.;:!?)、。，"
"""Signs that Moses makes words: their pieces begin with the space, and are frequent only so."""
ESCAPES = ("&apos", "&quot", "apos;", "quot;")
DEFAULT = {"marks": True, "repeats": False, "html": False, "nfkc": False, "moses": False}
MULTIFIT = dict.fromkeys(DEFAULT, True)
SHARE = 0.01
"""Share of a vocabulary that counts as frequent: its first pieces."""
FEWEST_EXPECTED = 10
"""Occurrences that Zipf's law predicts for a piece; below this number its absence means nothing."""
SHOWN = 8

_BYTE = re.compile("<0x[0-9A-F]{2}>")
_OTHER_SPECIALS = ("xxfld", "xxfake")


def reading_of(pieces: Sequence[str]) -> dict[str, bool]:
    """Return fields of a recipe's vocabulary that fit the texts on which `pieces` were trained."""
    roles = Vocabulary.of_foreign(pieces).roles
    rank = _first_rows(pieces)
    none = len(pieces)
    ahead = sum(np.sign(rank.get(sign, none) - rank.get(WORD_BOUNDARY + sign, none)).item() for sign in SIGNS)
    marks = "xxmaj" in roles or "xxup" in roles
    return {
        # Pieces with capitals: the texts kept case. Neither capitals nor marks: they were in small letters.
        "marks": marks or not any(pieces[row] != pieces[row].lower() for row in _ordinary_rows(pieces)),
        "repeats": "xxrep" in roles,
        # fastai's rules, which write the marks, mend HTML as well.
        "html": marks and not any(escape in piece for piece in pieces for escape in ESCAPES),
        "nfkc": all(unicodedata.is_normalized("NFKC", piece) for piece in pieces),
        "moses": ahead > 0,
    }


def describe_reading(pieces: Sequence[str]) -> str:
    """Return one line: which settings of a recipe let its tokenizer write the pieces of this vocabulary."""
    if not Vocabulary.of_foreign(pieces).has_spaces:
        return "the vocabulary is of whole words: set vocabulary.kind=words"
    reading = reading_of(pieces)
    if reading == MULTIFIT:
        return (
            "the vocabulary is of texts that Moses tokenised and fastai marked, as MultiFiT's are: "
            "set vocabulary.reading=multifit"
        )
    needed = [f"vocabulary.{name}={str(on).lower()}" for name, on in reading.items() if on != DEFAULT[name]]
    if not needed:
        return "the vocabulary needs no other reading of texts than the default"
    return f"the vocabulary's pieces tell how its texts were read: set {', '.join(needed)}"


def never_written(old: Vocabulary, new: Vocabulary, counts: np.ndarray) -> list[str]:
    """Return a warning where frequent pieces of a pretrained vocabulary never occur in texts.

    `counts` (V,) says how often each piece of `new` occurs in the texts. Frequent are the first SHARE of the
    ordinary pieces of `old`, which are sorted by frequency. By Zipf's law the piece of rank r should occur
    tokens / (r * (1 + 1/2 + ... + 1/pieces)) times; where that is less than FEWEST_EXPECTED, the texts are
    too few to tell.
    """
    special = set(old.roles.values())
    # The piece that is only a space depends on how words are cut, not on how texts are read.
    special |= {index for index, piece in enumerate(old.pieces) if piece == WORD_BOUNDARY}
    ordinary = [index for index in _ordinary_rows(old.pieces) if index not in special]
    harmonic = float(np.sum(1 / np.arange(1, len(ordinary) + 1)))
    tellable = int(counts.sum() / max(harmonic * FEWEST_EXPECTED, 1))
    frequent = ordinary[: min(int(np.ceil(SHARE * len(ordinary))), tellable)]
    written = set(old.rows_for(new)[counts > 0].tolist())
    missing = [old.pieces[index] for index in frequent if index not in written]
    if not missing:
        return []
    return [
        f"{len(missing)} of the {len(frequent)} most frequent pieces of the pretrained vocabulary never "
        f"occur in the training texts: {' '.join(missing[:SHOWN])}; if the model read texts in another way, "
        f"set that reading (ulmfit import names it)"
    ]


def _ordinary_rows(pieces: Sequence[str]) -> list[int]:
    """Return the rows of pieces that are no special token, mark or byte, each piece once."""
    special = {spelling for spellings in SPELLINGS.values() for spelling in spellings}
    special |= {form for name in _OTHER_SPECIALS for form in (name, WORD_BOUNDARY + name)}
    return sorted(
        row
        for piece, row in _first_rows(pieces).items()
        if piece not in special and not _BYTE.fullmatch(piece)
    )


def _first_rows(pieces: Sequence[str]) -> dict[str, int]:
    """Return the first row of each piece."""
    return {piece: row for row, piece in reversed(list(enumerate(pieces)))}
