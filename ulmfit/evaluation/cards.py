"""What a record says of a corpus and of tokenizers: the numbers of their cards, never texts or pieces."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import Field, NonNegativeInt, model_validator

from ulmfit.evaluation.record_part import RecordPart, Split

Quantiles = dict[str, NonNegativeInt]
"""Share of the texts, such as "0.95" -> the smallest length that so many of them do not exceed."""


class SplitSize(RecordPart):
    """How large one split of a corpus is."""

    documents: int = Field(ge=0)
    words: int = Field(ge=0, description="as corpus.words.count_words has them")
    characters: int = Field(ge=0, description="Unicode code points")


class LengthBin(RecordPart):
    """The documents of some range of lengths."""

    fewest: int = Field(ge=0, description="words of the shortest document that counts here")
    most: int = Field(ge=0, description="words of the longest document that counts here")
    documents: int = Field(ge=0)


class Lengths(RecordPart):
    """How long the documents of a corpus are, in words."""

    quantiles: Quantiles
    histogram: tuple[LengthBin, ...] = Field(description="each range twice as wide as the one before")


class Languages(RecordPart):
    """The languages that were identified in a sample of the documents."""

    documents: int = Field(ge=1, description="documents of the sample")
    known: int = Field(ge=1, description="languages that the identifier knows")
    found: dict[str, NonNegativeInt] = Field(description="language code -> documents; und: not sure")

    @model_validator(mode="after")
    def _every_document_has_one(self) -> Self:
        if sum(self.found.values()) != self.documents:
            raise ValueError(f"{sum(self.found.values())} languages of {self.documents} documents")
        return self


class CorpusFigures(RecordPart):
    """What a corpus is made of."""

    splits: dict[Split, SplitSize]
    lengths: Lengths
    scripts: dict[str, NonNegativeInt] = Field(description="Unicode script -> letters")
    languages: Languages | None = Field(description="None: not identified")
    leftovers: dict[str, NonNegativeInt] = Field(description="kind of markup -> times that it was left over")

    @property
    def documents(self) -> int:
        """Documents of all splits."""
        return sum(size.documents for size in self.splits.values())

    @property
    def words(self) -> int:
        """Words of all splits."""
        return sum(size.words for size in self.splits.values())

    @model_validator(mode="after")
    def _every_document_has_a_length(self) -> Self:
        counted = sum(part.documents for part in self.lengths.histogram)
        if counted != self.documents:
            raise ValueError(f"{counted} documents in the histogram, {self.documents} in the splits")
        return self


class LeakSummary(RecordPart):
    """Which texts of the test split stand in the corpus."""

    ngram_words: int = Field(ge=1, description="words of an n-gram that is searched")
    min_share: float = Field(
        ge=0, le=1, description="share of a text's n-grams that one document has to hold"
    )
    min_words: int = Field(ge=0, description="words below which a text is too short to be searched")
    checked: int = Field(ge=0, description="test texts that were searched")
    too_short: int = Field(ge=0, description="test texts that were not")
    below_min_share: int = Field(ge=0, description="texts with some n-grams in the corpus, but too few")
    leaked: tuple[str, ...] = Field(description="ids of the texts that stand in the corpus")
    documents: int = Field(ge=0, description="documents that hold them")
    removed: int = Field(ge=0, description="of these documents, those that were left out of the corpus")


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
    whole_words: int = Field(ge=0, description="of these, those that are one piece, punctuation around aside")
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
