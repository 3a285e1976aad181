"""The tokenizer card: figures for choosing a vocabulary, of one tokenizer or of several side by side.

`TokenizerComparison` is what a record says of tokenizers: the numbers of their card, never pieces.
"""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar, Literal, Self

from pydantic import Field, NonNegativeInt, model_validator

from ulmfit.corpus.stages import CorpusStage
from ulmfit.datasets.stages import DatasetStage
from ulmfit.pipeline.files import read_json, write_json
from ulmfit.pipeline.record_part import RecordPart, part_of, parts_of
from ulmfit.pipeline.stage import Stage, Work
from ulmfit.tokens.stages import TokenizerStage

CARD, PIECES = "card.json", "pieces.json"

Quantiles = dict[str, NonNegativeInt]
"""Share of the texts, such as "0.95" -> the smallest length that so many of them do not exceed."""


class TextSize(RecordPart):
    """How large the texts are that tokenizers were measured on."""

    texts: int = Field(ge=0)
    words: int = Field(ge=0, description="as in SplitSize")
    characters: int = Field(ge=0)
    bytes: int = Field(ge=0, description="bytes of UTF-8")


class TokenCounts(RecordPart):
    """How a tokenizer cuts some texts; xxbos does not count."""

    tokens: int = Field(ge=0)
    unknown_tokens: int = Field(ge=0)
    byte_tokens: int = Field(ge=0, description="pieces that stand for one byte each")
    words: int = Field(ge=0, description="words between white space, scripts without spaces left out")
    words_with_unknown: int = Field(ge=0, description="of these, those with an unknown token")
    bare_words: int = Field(ge=0, description="words that are more than punctuation")
    whole_words: int = Field(
        ge=0, description="of these, those that are one piece, apart from punctuation around them"
    )
    lengths: Quantiles = Field(description="tokens of the texts")


TextKind = Literal["corpus", "target", "test"]


class TokenizerFigures(RecordPart):
    """One tokenizer on the texts of a comparison."""

    kind: str = Field(description="unigram, bpe or words")
    size: int = Field(ge=1, description="ids of the vocabulary")
    learned: int = Field(ge=0, description="ids that training chose: no special tokens, marks or bytes")
    unused: int = Field(ge=0, description="of these, those that no text uses")
    texts: dict[TextKind, TokenCounts]


class TokenizerComparison(RecordPart):
    """Tokenizers on the same texts: validation documents, train and valid texts of a task, its test texts."""

    texts: dict[TextKind, TextSize]
    tokenizers: tuple[TokenizerFigures, ...]

    @model_validator(mode="after")
    def _all_on_the_same_texts(self) -> Self:
        if any(set(tokenizer.texts) != set(self.texts) for tokenizer in self.tokenizers):
            raise ValueError("a tokenizer was measured on other texts than the rest")
        return self


class Piece(RecordPart):
    """A piece of a vocabulary, which a page may show and a record may not."""

    piece: str
    uses: int


class PieceLists(RecordPart):
    """Some pieces of one tokenizer."""

    longest: tuple[Piece, ...]
    rarest: tuple[Piece, ...]


class TokenizerCard(Stage):
    """Measures tokenizers on the same texts: `card.json` has numbers alone, `pieces.json` pieces.

    Measured are validation documents of a corpus, which no tokenizer is trained on, and the texts of a data
    set: train and valid together, and test by itself, for information only. Labels are never read. Texts of
    the task that hold unknown tokens are a warning.
    """

    stage_name: ClassVar[str] = "tokenizer-card"
    stage_version: ClassVar[int] = 2

    tokenizers: tuple[TokenizerStage, ...] = Field(min_length=1, description="one column each, in this order")
    documents: CorpusStage = Field(description="corpus whose validation split is encoded")
    target: DatasetStage | None = Field(None, description="data set whose texts are encoded; None: none")
    sample_bytes: int = Field(
        5_000_000,
        ge=1,
        description="size of the sample of each, in bytes of UTF-8; whole texts, chosen by a hash of the id",
    )
    listed_pieces: int = Field(
        40, ge=0, description="longest, and rarest, pieces of each tokenizer to list; 0: none"
    )

    def build(self, work: Work) -> None:
        """Encode both samples with every tokenizer."""
        from ulmfit.tokens.loading import load_tokenizer
        from ulmfit.tokens.statistics import (
            measure,
            sample_of_dataset,
            sample_of_documents,
            size_of,
            unknown_warning,
        )

        samples: dict[TextKind, list[str]] = {
            "corpus": sample_of_documents(work.input(self.documents), self.sample_bytes)
        }
        if self.target is not None:
            folder = work.input(self.target)
            samples["target"] = sample_of_dataset(folder, ("train", "valid"), self.sample_bytes)
            samples["test"] = sample_of_dataset(folder, ("test",), self.sample_bytes)
        sizes = {name: size_of(texts) for name, texts in samples.items()}
        figures, pieces = [], []
        for stage in self.tokenizers:
            measured = measure(stage.label, load_tokenizer(work.input(stage)), samples)
            figures.append(measured.figures)
            pieces.append(measured.pieces(self.listed_pieces))
            work.log(f"{stage.label}, {measured.summary()}")
            for name in samples:
                if stage.has_subwords and (line := unknown_warning(name, measured, sizes[name].words)):
                    work.warn(f"{stage.label} {measured.figures.size:,}, {line}")
        card = TokenizerComparison(texts=sizes, tokenizers=tuple(figures))
        write_json(work.folder / CARD, card.model_dump(mode="json"))
        write_json(work.folder / PIECES, [lists.model_dump(mode="json") for lists in pieces])


def read_tokenizer_card(folder: Path) -> TokenizerComparison:
    """Return what a record says of tokenizers, from the folder of a TokenizerCard.

    Raises InputError when its card is malformed.
    """
    return part_of(TokenizerComparison, read_json(folder / CARD), "card of the tokenizers")


def read_pieces(folder: Path) -> list[PieceLists]:
    """Return the pieces that a page shows, a list per tokenizer; raises InputError likewise."""
    return parts_of(PieceLists, read_json(folder / PIECES), "pieces of the tokenizers")
