"""The stages of step 2: a tokenizer from the training documents, and token arrays of all documents."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from pydantic import Field

from ulmfit.corpus.stages import CorpusStage
from ulmfit.settings import NOT_IN_KEY
from ulmfit.stage import Stage, Work


class TrainTokenizer(Stage):
    """Trains a SentencePiece model on a sample of the training documents; writes a tokenizer folder."""

    stage_name: ClassVar[str] = "tokenizer"

    corpus: CorpusStage = Field(description="documents; only the training split is read")
    language: str = Field(description="language code, e.g. `de`; tr, az and their like map I to ı")
    vocab_size: int = Field(
        15_000, ge=8, description="pieces, special tokens included; lowered where the corpus cannot carry it"
    )
    exact: bool = Field(
        False, description="fail where the corpus cannot carry vocab_size, instead of lowering it"
    )
    model_type: Literal["unigram", "bpe"] = Field("unigram", description="SentencePiece's algorithm")
    character_coverage: float = Field(
        0.9999, gt=0, le=1, description="share of the characters of the text that get a piece; 1: all"
    )
    marks: bool = Field(True, description="write capitals as marks and small letters; off: keep the letters")
    sample_bytes: int = Field(
        50_000_000, ge=1, description="bytes of text that are trained on, whole documents chosen by hash"
    )

    def build(self, work: Work) -> None:
        """Write `spm.model` and `tokenizer.json`; InputError where `exact` cannot be met."""
        from ulmfit.errors import InputError
        from ulmfit.tokens.documents import TrainingSample
        from ulmfit.tokens.tokenizer import Tokenizer

        sample = TrainingSample(work.input(self.corpus) / "documents.parquet", self.sample_bytes)
        work.log(f"training on {sample.documents:,} of {sample.all_documents:,} training documents")
        tokenizer = Tokenizer.train(
            sample.texts(),
            self.language,
            vocab_size=self.vocab_size,
            model_type=self.model_type,
            character_coverage=self.character_coverage,
            marks=self.marks,
        )
        if tokenizer.size < self.vocab_size:
            if self.exact:
                raise InputError(
                    f"the corpus cannot carry vocab_size {self.vocab_size}: set it to {tokenizer.size} "
                    f"or less, or take more text"
                )
            work.warn(f"the corpus cannot carry vocab_size {self.vocab_size}: lowered to {tokenizer.size}")
        tokenizer.save(work.folder)


class EncodeTokens(Stage):
    """Encodes the documents of every split into memory-mapped arrays, and counts what it saw."""

    stage_name: ClassVar[str] = "tokens"

    documents: CorpusStage = Field(description="documents that are encoded")
    tokenizer: TrainTokenizer = Field(description="tokenizer that encodes them")
    threads: Annotated[int, NOT_IN_KEY] = Field(0, ge=0, description="threads of SentencePiece; 0: all cores")

    def build(self, work: Work) -> None:
        """Write `{split}.npy`, `{split}.offsets.npy` and `counts.json`."""
        from ulmfit.files import write_json
        from ulmfit.tokens.documents import count_documents
        from ulmfit.tokens.encode import encode_documents
        from ulmfit.tokens.tokenizer import Tokenizer

        path = work.input(self.documents) / "documents.parquet"
        tokenizer = Tokenizer.load(work.input(self.tokenizer))
        progress = work.progress(count_documents(path), "documents")
        counts = encode_documents(path, tokenizer, work.folder, self.threads, progress.advance)
        progress.close()
        write_json(work.folder / "counts.json", counts)
        for split, count in counts.items():
            work.log(
                f"{split}: {count['documents']:,} documents, {count['tokens']:,} tokens, "
                f"{count['unknown']:,} of them unknown"
            )
