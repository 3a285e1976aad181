"""Gives a language model the vocabulary of another tokenizer: rows go where their pieces went.

Two vocabularies are matched by the text of their pieces. Special tokens and marks are matched by what they
stand for, because every program spells them in its own way. U+2581 is the space before a piece; some lists of
whole words have none (fastai's spaCy tokens), and there it is left out of account. A whole word is never the
same as a piece of letters inside of longer words; a sign or a number without a space before it is one.

The row of a piece that the model has never seen is the mean of all its rows, as in ULMFiT (section 3.2).

Shapes: O old pieces, V new pieces, E embedding.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import torch
from torch import Tensor, nn

from ulmfit.language_model.encoder import PAD_ID
from ulmfit.language_model.model import LanguageModel
from ulmfit.pipeline.errors import InputError
from ulmfit.tokens.marks import MARK_NAMES, REPEAT_MARK_NAMES, WORD_BOUNDARY
from ulmfit.tokens.tokenizer import SPECIALS, Tokenizer

SPELLINGS: Mapping[str, tuple[str, ...]] = {
    "xxunk": ("xxunk", "<unk>", f"{WORD_BOUNDARY}xxunk", "_unk_"),
    "xxpad": (f"{WORD_BOUNDARY}xxpad", "xxpad", "<pad>", "_pad_"),
    "xxbos": (f"{WORD_BOUNDARY}xxbos", "xxbos", "<s>", "xbos", "_bos_"),
    "xxeos": (f"{WORD_BOUNDARY}xxeos", "xxeos", "</s>", "_eos_"),
    "xxmaj": (f"{WORD_BOUNDARY}xxmaj", "xxmaj"),
    "xxup": (f"{WORD_BOUNDARY}xxup", "xxup", "t_up"),
    "xxrep": (f"{WORD_BOUNDARY}xxrep", "xxrep", "tk_rep"),
    "xxwrep": (f"{WORD_BOUNDARY}xxwrep", "xxwrep", "tk_wrep"),
}
"""How other programs spell special tokens, the one to take first.

With SentencePiece fastai writes xxbos into the text, where it is cut as ▁xxbos: that row is the trained one,
xxbos beside it is not. Unknown characters are <unk> for SentencePiece (fastai v1), xxunk for fastai v2.
"""


@dataclass(frozen=True)
class Vocabulary:
    """The pieces of a language model, and what the special ones stand for."""

    pieces: tuple[str, ...]
    roles: Mapping[str, int]
    """Ids of special tokens and marks, by our names of them."""
    whole_words: bool
    """Whether a piece is a whole word, never a part of one."""
    has_spaces: bool
    """Whether U+2581 stands for the space before a piece."""

    @classmethod
    def of(cls, tokenizer: Tokenizer) -> Self:
        """Return the vocabulary of a tokenizer of ours: its special tokens and marks are its first ids."""
        pieces = tuple(tokenizer.vocabulary)
        names = [*SPECIALS, *MARK_NAMES.values(), *REPEAT_MARK_NAMES.values()]
        roles: dict[str, int] = {}
        for index, piece in enumerate(pieces[: len(names)]):
            if piece not in names or piece in roles:
                break
            roles[piece] = index
        return cls(pieces, roles, whole_words=tokenizer.kind == "words", has_spaces=True)

    @classmethod
    def of_foreign(cls, pieces: Sequence[str]) -> Self:
        """Return the vocabulary of somebody else's model: special tokens are known by their spelling."""
        ids: dict[str, int] = {}
        for index, piece in enumerate(pieces):
            ids.setdefault(piece, index)
        roles = {
            role: next(ids[spelling] for spelling in spellings if spelling in ids)
            for role, spellings in SPELLINGS.items()
            if any(spelling in ids for spelling in spellings)
        }
        special = {spelling for spellings in SPELLINGS.values() for spelling in spellings}
        has_spaces = any(piece.startswith(WORD_BOUNDARY) for piece in ids.keys() - special)
        return cls(tuple(pieces), roles, whole_words=not has_spaces, has_spaces=has_spaces)

    def rows_for(self, new: Vocabulary) -> np.ndarray:
        """Return for each piece of `new` its row here, int64 of shape (V,); -1: there is none."""
        reserved = set(self.roles.values())
        ids: dict[str, int] = {}
        for index, piece in enumerate(self.pieces):
            if index not in reserved and piece:
                ids.setdefault(piece, index)
        rows = np.array([ids.get(self._spelt_here(piece, new), -1) for piece in new.pieces], np.int64)
        for role, index in new.roles.items():
            rows[index] = self.roles.get(role, -1)
        return rows

    def _spelt_here(self, piece: str, new: Vocabulary) -> str:
        """Return how a piece of `new` is written here; the empty string where it cannot be."""
        part_of_word = not new.whole_words and not piece.startswith(WORD_BOUNDARY)
        if self.whole_words and part_of_word and any(map(str.isalpha, piece)):
            return ""
        return piece if self.has_spaces else piece.removeprefix(WORD_BOUNDARY)


@dataclass(frozen=True)
class VocabularyMatch:
    """How much of a new vocabulary a model knew before."""

    pieces: int
    matched: int
    old_pieces: int
    tokens: int
    """Tokens of the training texts; 0: not counted."""
    matched_tokens: int

    def summary(self) -> dict[str, Any]:
        """Return numbers for metrics and records; shares are between 0 and 1."""
        return {
            "pieces": self.pieces,
            "matched": self.matched,
            "pretrained_pieces": self.old_pieces,
            "matched_share": self.matched / self.pieces,
            "matched_token_share": self.matched_tokens / self.tokens if self.tokens else None,
        }

    def __str__(self) -> str:
        weighted = f", {self.matched_tokens / self.tokens:.1%} of the training tokens," if self.tokens else ""
        return (
            f"another vocabulary than the pretrained model's: {self.matched:,} of {self.pieces:,} pieces "
            f"({self.matched / self.pieces:.1%}){weighted} have a row in it; the others begin with the mean "
            f"of its {self.old_pieces:,} rows"
        )


def adapt_vocabulary(
    model: LanguageModel, old: Vocabulary, new: Vocabulary, counts: np.ndarray | None = None
) -> VocabularyMatch | None:
    """Give `model` the vocabulary `new`, in place; None when it has that already, and nothing was done.

    `counts` (V,) says how often each new piece occurs in the texts to come. Raises InputError when `old` has
    another number of pieces than the model has rows.
    """
    embedding, decoder = model.encoder.encoder, model.decoder.decoder
    if len(old.pieces) != embedding.num_embeddings:
        raise InputError(
            f"the vocabulary has {len(old.pieces):,} entries, the embedding {embedding.num_embeddings:,} rows"
        )
    if old.pieces == new.pieces and old.roles == new.roles:
        return None
    rows = old.rows_for(new)
    with torch.no_grad():
        weight = nn.Parameter(_picked(embedding.weight, rows))
        bias = nn.Parameter(_picked(decoder.bias, rows))
    model.encoder.encoder = nn.Embedding(len(rows), embedding.embedding_dim, PAD_ID, _weight=weight.data)
    # The decoder's weight and the embedding are one tensor, so they are copied once.
    model.encoder.encoder.weight = decoder.weight = weight
    decoder.bias = bias
    decoder.out_features = len(rows)
    known = rows >= 0
    return VocabularyMatch(
        pieces=len(rows),
        matched=int(known.sum()),
        old_pieces=len(old.pieces),
        tokens=0 if counts is None else int(counts.sum()),
        matched_tokens=0 if counts is None else int(counts[known].sum()),
    )


def _picked(old: Tensor, rows: np.ndarray) -> Tensor:
    """Return the rows of `old` (O, ...) that `rows` (V,) names, and for -1 their mean."""
    mean = old.double().mean(0, keepdim=True).to(old.dtype)
    index = torch.from_numpy(np.where(rows < 0, len(old), rows)).to(old.device)
    return torch.cat([old.detach(), mean])[index].contiguous()
