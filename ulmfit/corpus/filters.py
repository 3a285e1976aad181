"""The stages that leave documents out of a finished corpus: copies, and texts of a test split."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar, Literal, Self

from pydantic import Field, model_validator

from ulmfit.corpus.stages import CorpusStage
from ulmfit.datasets.stages import DatasetStage
from ulmfit.pipeline.files import read_json, write_json
from ulmfit.pipeline.record_part import RecordPart, part_of
from ulmfit.pipeline.stage import Stage, Work

LEAKS = "leaks.json"
HOLDS_TEST_TEXT = "holds a test text"
"""Why an account leaves a document out."""


class FilteredCorpus(CorpusStage):
    """A corpus without some of its documents; those that are left keep their splits.

    The account goes on from that of `corpus`: pages_read stays, and what is left out comes on top.
    """

    corpus: CorpusStage = Field(description="the corpus that is filtered")

    @model_validator(mode="after")
    def _keeps_the_splits(self) -> Self:
        for name in ("valid_fraction", "test_fraction"):
            if getattr(self, name) != type(self).model_fields[name].default:
                raise ValueError(
                    f"{name} cannot be set: the documents keep the splits of the corpus; set it there"
                )
        return self


class Deduplicated(FilteredCorpus):
    """A corpus without exact and near-duplicates, such as the stubs that bots write from one template.

    Of documents that are alike the first stays, in whichever split it is; so no text of one split has a copy
    in another. Memory: about 260 bytes a document with the defaults (the account has the figure) and 50 more
    for a moment; with method "exact" 21 and 40. The defaults of web pipelines (datatrove, data-juicer) are
    plain shingles of 5 words and a similarity of about 0.7. They find hardly any stub: in a text of 20 words,
    another name and another number change half of its shingles.
    """

    stage_name: ClassVar[str] = "deduplicated"
    stage_version: ClassVar[int] = 2

    method: Literal["exact", "minhash"] = Field(
        "minhash",
        description="exact: texts whose words are all the same, whatever case and punctuation; minhash: "
        "near-duplicates as well",
    )
    similarity: float = Field(
        0.7,
        ge=0.3,
        le=1,
        description="estimated Jaccard similarity of the shingles from which texts are near-duplicates",
    )
    shingle_words: int = Field(
        2,
        ge=1,
        le=20,
        description="words in a shingle; where a script sets no spaces between words, two characters a word",
    )
    permutations: int = Field(
        128,
        ge=16,
        le=1024,
        description="permutations of MinHash; at 128 the estimate's standard error is 0.04",
    )
    ignore_title_and_numbers: bool = Field(
        True,
        description="compare texts without numbers and the words of their own titles, by which stubs differ; "
        "False compares all words",
    )

    def build(self, work: Work) -> None:
        """Read the corpus twice: find what repeats an earlier document, then write the rest."""
        from ulmfit.corpus.filtering.deduplication import Nearness, find_duplicates
        from ulmfit.corpus.stored import document_count, stored_documents, write_filtered

        folder = work.input(self.corpus)
        nearness = Nearness(
            self.similarity, self.shingle_words, self.permutations, self.ignore_title_and_numbers
        )
        count = document_count(folder)
        progress = work.progress(count, "documents")
        duplicates = find_duplicates(
            stored_documents(folder), count, nearness if self.method == "minhash" else None, progress.advance
        )
        progress.close()
        work.log(f"{duplicates.description['bytes_a_document']} bytes of memory a document")
        more = {"deduplication": duplicates.description}
        write_filtered(folder, lambda row, _: duplicates.reason(row), work, self.selection(), more)


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


class LeakCheck(Stage):
    """Which test texts of a data set stand in a corpus; writes `leaks.json`, with ids and no texts.

    Reads the texts of the test split and none of its labels. Letter case, punctuation and width do not count.
    The reports on PaLM and GPT-3 used n-grams of 8 and of 13 words; test texts of classification are short.
    """

    stage_name: ClassVar[str] = "leak-check"
    stage_version: ClassVar[int] = 2

    corpus: CorpusStage = Field(description="the corpus that is searched")
    dataset: DatasetStage = Field(description="the data set whose test texts are looked for")
    ngram_words: int = Field(
        8,
        ge=2,
        le=64,
        description="words in an n-gram; where a script sets no spaces between words, two characters a word",
    )
    min_share: float = Field(
        0.5,
        gt=0,
        le=1,
        description="share of a text's n-grams in one document from which it counts as leaked",
    )
    min_words: int = Field(
        5, ge=1, description="words from which a text shorter than an n-gram is searched as a whole"
    )

    @model_validator(mode="after")
    def _min_words_fit(self) -> Self:
        if self.min_words > self.ngram_words:
            raise ValueError(f"min_words {self.min_words} must not be above ngram_words {self.ngram_words}")
        return self

    def build(self, work: Work) -> None:
        """Read the corpus once."""
        import pandas as pd

        from ulmfit.corpus.filtering.leaks import Overlap, find_leaks
        from ulmfit.corpus.stored import document_count, stored_documents

        folder = work.input(self.corpus)
        table = pd.read_parquet(work.input(self.dataset) / "test.parquet", columns=["id", "text"])
        texts = list(zip(table["id"], table["text"], strict=True))
        progress = work.progress(document_count(folder), "documents")
        overlap = Overlap(self.ngram_words, self.min_share, self.min_words)
        leaks = find_leaks(texts, stored_documents(folder), overlap, progress.advance)
        progress.close()
        write_json(work.folder / LEAKS, leaks)
        work.log(
            f"{len(leaks['leaked'])} of {leaks['checked']} test texts stand in {len(leaks['documents'])} "
            f"documents; {leaks['too_short']} were too short to be checked"
        )


def read_leaks(folder: Path) -> LeakSummary:
    """Return what a record says of a leak check, from the folder of a LeakCheck or of a WithoutLeaks.

    Raises InputError when its files are malformed.
    """
    from ulmfit.corpus.documents import ACCOUNT

    leaks, removed = read_json(folder / LEAKS), 0
    if (folder / ACCOUNT).exists():
        removed = read_json(folder / ACCOUNT)["left_out"].get(HOLDS_TEST_TEXT, {"count": 0})["count"]
    leaked = [entry["id"] for entry in leaks["leaked"]]
    content = {**leaks, "leaked": leaked, "documents": len(leaks["documents"]), "removed": removed}
    return part_of(LeakSummary, content, "leak check")


class WithoutLeaks(FilteredCorpus):
    """A corpus without the documents that hold test texts; its folder has the check's `leaks.json` too."""

    stage_name: ClassVar[str] = "without-leaks"
    stage_version: ClassVar[int] = 2

    check: LeakCheck = Field(description="the leak check of this corpus")

    @model_validator(mode="after")
    def _same_corpus(self) -> Self:
        if self.check.corpus != self.corpus:
            raise ValueError("check was made on another corpus: it needs the corpus that is filtered here")
        return self

    def build(self, work: Work) -> None:
        """Write the documents that the check does not list."""
        from ulmfit.corpus.documents import Document
        from ulmfit.corpus.stored import write_filtered

        folder = work.input(self.corpus)
        leaks = read_json(work.input(self.check) / LEAKS)
        listed = set(leaks["documents"])

        def reason(_: int, document: Document) -> str:
            return HOLDS_TEST_TEXT if document.id in listed else ""

        write_filtered(folder, reason, work, self.selection())
        write_json(work.folder / LEAKS, leaks)
