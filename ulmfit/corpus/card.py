"""The corpus card: what a corpus is made of, in numbers, and a few of its documents to look at.

`CorpusAccount` is what a record says of a corpus: the numbers of its card, never texts.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar, Self

from pydantic import Field, NonNegativeInt, model_validator

from ulmfit.corpus.stages import CorpusStage
from ulmfit.pipeline.files import read_json, write_json
from ulmfit.pipeline.record_part import RecordPart, Split, part_of, parts_of
from ulmfit.pipeline.stage import Stage, Work

CARD, SAMPLES = "card.json", "samples.json"

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


class CorpusPart(RecordPart):
    """What a joined corpus took of one of its parts."""

    source: str = Field(description="the part, in words")
    available: int = Field(ge=0, description="documents of the part, before it was sampled or repeated")
    documents: int = Field(ge=0, description="documents taken, repeats counted")
    words: int = Field(ge=0, description="words of those")


class CorpusAccount(RecordPart):
    """Where the pages of a corpus went; the sum closes."""

    source: str = Field(description="the dump or files, in words")
    pages_read: int = Field(ge=0)
    documents_written: int = Field(ge=0)
    left_out: dict[str, NonNegativeInt] = Field(description="reason -> number of pages")
    parts: tuple[CorpusPart, ...] = Field(
        (), description="what was taken of each part of a joined corpus; (): it is not joined"
    )
    figures: CorpusFigures | None = Field(None, description="what the documents are; None: not measured")

    @model_validator(mode="after")
    def _sum_closes(self) -> Self:
        accounted = self.documents_written + sum(self.left_out.values())
        if accounted != self.pages_read:
            raise ValueError(f"{self.pages_read} pages read but {accounted} accounted for")
        if self.figures and self.figures.documents != self.documents_written:
            raise ValueError(
                f"{self.documents_written} documents, but {self.figures.documents} were measured"
            )
        return self


class SampleDocument(RecordPart):
    """The beginning of a document, which a page may show and a record may not."""

    id: str
    title: str
    split: Split
    words: int
    text: str


class CorpusCard(Stage):
    """Measures a corpus: `card.json` has only numbers, `samples.json` has beginnings of documents.

    Texts are in a separate file, because records contain the card, and records are published.
    """

    stage_name: ClassVar[str] = "corpus-card"
    stage_version: ClassVar[int] = 2

    corpus: CorpusStage = Field(description="documents and account that are measured")
    language_documents: int = Field(
        2000, ge=0, description="documents whose language is identified, an unbiased sample; 0: none"
    )
    sample_documents: int = Field(
        12, ge=0, description="documents that the local report shows, an unbiased sample; 0: none"
    )

    def build(self, work: Work) -> None:
        """Read the documents once, in bounded memory."""
        from ulmfit.corpus.documents import ACCOUNT
        from ulmfit.corpus.statistics import CorpusStatistics, account_counts, summary
        from ulmfit.corpus.stored import document_count, stored_documents

        folder = work.input(self.corpus)
        statistics = CorpusStatistics(max(self.language_documents, self.sample_documents))
        progress = work.progress(document_count(folder), "documents")
        for document in stored_documents(folder):
            statistics.add(document)
            progress.advance(1)
        progress.close()
        figures = statistics.figures(self.language_documents)
        account = account_counts(read_json(folder / ACCOUNT))
        write_json(work.folder / CARD, {"account": account, **figures.model_dump(mode="json")})
        samples = statistics.samples(self.sample_documents)
        write_json(work.folder / SAMPLES, [sample.model_dump(mode="json") for sample in samples])
        work.log(summary(figures))


def read_corpus_card(folder: Path, corpus: Path | None = None) -> CorpusAccount:
    """Return what a record says of a corpus, from the folder of a CorpusCard.

    The corpus' own folder tells what was taken of each part of a joined one. Raises InputError when the card
    is malformed.
    """
    from ulmfit.corpus.documents import ACCOUNT

    card = read_json(folder / CARD)
    account = card.pop("account", None) if isinstance(card, dict) else None
    content = {**account, "figures": card} if isinstance(account, dict) else account
    if corpus is not None and isinstance(content, dict):
        content = {**content, "parts": _parts(read_json(corpus / ACCOUNT))}
    return part_of(CorpusAccount, content, "card of the corpus")


def _parts(account: dict[str, Any]) -> list[dict[str, Any]]:
    """Return what was taken of each part of a joined corpus; none: it is not joined, or filtered."""
    parts = account.get("parts", [])
    if not all("taken" in part for part in parts):
        return []
    if sum(part["taken"]["documents"] for part in parts) != account["documents_written"]:
        return []
    return [
        {"source": part["source"], "available": part["documents_written"], **part["taken"]} for part in parts
    ]


def read_samples(folder: Path) -> list[SampleDocument]:
    """Return the documents that a page shows, from the same folder; raises InputError likewise."""
    return parts_of(SampleDocument, read_json(folder / SAMPLES), "sample documents")
