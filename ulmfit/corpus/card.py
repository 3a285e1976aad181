"""The corpus card: numbers that describe a corpus, and a few of its documents to look at."""

from __future__ import annotations

from typing import ClassVar

from pydantic import Field

from ulmfit.corpus.stages import CorpusStage
from ulmfit.pipeline.stage import Stage, Work

CARD, SAMPLES = "card.json", "samples.json"


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
        from ulmfit.pipeline.files import read_json, write_json

        folder = work.input(self.corpus)
        statistics = CorpusStatistics(max(self.language_documents, self.sample_documents))
        progress = work.progress(document_count(folder), "documents")
        for document in stored_documents(folder):
            statistics.add(document)
            progress.advance(1)
        progress.close()
        card = statistics.card(self.language_documents)
        write_json(work.folder / CARD, {"account": account_counts(read_json(folder / ACCOUNT)), **card})
        write_json(work.folder / SAMPLES, statistics.samples(self.sample_documents))
        work.log(summary(card))
