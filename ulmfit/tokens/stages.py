"""The stages of step 2: a tokenizer, trained or given, and token arrays of all documents."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, ClassVar, Literal, Self

from pydantic import Field, model_validator

from ulmfit.corpus.stages import CorpusStage
from ulmfit.pipeline.assets import File
from ulmfit.pipeline.errors import InputError
from ulmfit.pipeline.settings import NOT_IN_KEY
from ulmfit.pipeline.stage import Stage, Work

if TYPE_CHECKING:
    from ulmfit.tokens.documents import TrainingTexts
    from ulmfit.tokens.text_form import Rules
    from ulmfit.tokens.tokenizer import Tokenizer


class TokenizerStage(Stage):
    """A stage whose folder holds a tokenizer, which `tokens.tokenizer.load_tokenizer` reads."""

    language: str = Field(description="language code, e.g. `de`; tr, az and their like map I to ı")
    marks: bool = Field(True, description="write capitals as marks and small letters; off: keep the letters")
    repeats: bool = Field(
        False,
        description="write a character four times or more, and a word three times or more, as a mark and a "
        "number; off: keep them",
    )
    moses: bool = Field(
        False,
        description="tokenise and escape each line with Moses before everything else, as MultiFiT did; off: "
        "words are what stands between spaces",
    )
    html: bool = Field(
        False,
        description="mend HTML's entities as fastai v1's fix_html did, after Moses; off: keep them",
    )
    nfkc: bool = Field(
        False, description="compatible characters as their plain forms (NFKC); off: composed ones (NFC)"
    )

    def rules(self) -> Rules:
        """Return the rules for texts that the fields describe."""
        from ulmfit.tokens.text_form import Rules

        return Rules(**{name: getattr(self, name) for name in Rules.model_fields})

    @property
    def label(self) -> str:
        """What tables call it."""
        raise TypeError(f"{type(self).__name__} has no label")

    @property
    def has_subwords(self) -> bool:
        """Whether a word can be cut into other pieces, which subword sampling needs."""
        return True

    def check_sampling(self, strength: float) -> None:
        """Raise InputError when `strength` asks for subword sampling and there are no subwords."""
        if strength and not self.has_subwords:
            raise InputError(
                f"subword_sampling {strength:g}: a tokenizer of words has no other pieces to choose from; "
                f"set it to 0, or take model_type unigram or bpe"
            )


class GivenTokenizer(TokenizerStage):
    """A SentencePiece model that was trained elsewhere: its pieces behind our special tokens and marks.

    Texts are written in our form, see `given_model`; so the ids are not those of the model that was given.
    """

    stage_name: ClassVar[str] = "given-tokenizer"
    stage_version: ClassVar[int] = 2
    model: File = Field(
        description="a SentencePiece model, such as the spm.model of a released language model"
    )

    @property
    def label(self) -> str:
        """What tables call it."""
        return "given"

    def build(self, work: Work) -> None:
        """Write `tokenizer.json` and `spm.model`."""
        from ulmfit.tokens.given_model import read_given_model

        tokenizer = read_given_model(work.file(self.model), self.rules())
        work.log(f"{tokenizer.size:,} pieces, special tokens and marks included")
        tokenizer.save(work.folder)


class TrainTokenizer(TokenizerStage):
    """Trains a tokenizer on a sample of the training documents; writes a tokenizer folder.

    Fields that have no effect on the chosen `model_type` are refused where they are not at their default.
    """

    stage_name: ClassVar[str] = "tokenizer"
    stage_version: ClassVar[int] = 3

    corpus: CorpusStage = Field(description="documents; only the training split is read")
    vocab_size: int = Field(
        15_000, ge=8, description="pieces, special tokens included; lowered where the corpus cannot carry it"
    )
    exact: bool = Field(
        False, description="fail where the corpus cannot carry vocab_size, instead of lowering it"
    )
    model_type: Literal["unigram", "bpe", "words"] = Field(
        "unigram", description="SentencePiece's algorithm; words: whole words, the others being unknown"
    )
    min_count: int = Field(
        3,
        ge=1,
        description="words only: occurrences in the sample below which a word is unknown (3: fastai's)",
    )
    character_coverage: float | None = Field(
        None,
        gt=0,
        le=1,
        description="share of the characters of the text that get a piece; 1: all; None: by script, 0.9995 "
        "where most letters are Han or kana, else 0.9999",
    )
    byte_fallback: bool = Field(
        False, description="encode characters without a piece as bytes (256 pieces); off: they are unknown"
    )
    sample_bytes: int = Field(
        50_000_000, ge=1, description="bytes of text that are trained on, whole documents chosen by hash"
    )
    target: CorpusStage | None = Field(
        None, description="texts of the task, of which the training split is learned from too; None: none"
    )
    target_share: float = Field(
        0.0,
        ge=0,
        lt=1,
        description="share of the bytes trained on that are the target's, repeated where they are too few; "
        "0: none",
    )

    @property
    def label(self) -> str:
        """What tables call it."""
        return self.model_type

    def version(self) -> int:
        """Words of languages without spaces were whole runs before."""
        from ulmfit.corpus.words import sets_no_spaces

        return self.stage_version + (not self.has_subwords and sets_no_spaces(self.language))

    @property
    def has_subwords(self) -> bool:
        """Whether a word can be cut into other pieces, which subword sampling needs."""
        return self.model_type != "words"

    @property
    def details(self) -> tuple[str, ...]:
        """Short label for logs: what differs from other stages of this kind."""
        return (self.model_type, str(self.vocab_size))

    @model_validator(mode="after")
    def _has_no_field_without_effect(self) -> Self:
        without_effect = ["min_count"] if self.has_subwords else ["character_coverage", "byte_fallback"]
        for name in without_effect:
            if getattr(self, name) != type(self).model_fields[name].default:
                raise ValueError(f"{name} has no effect on model_type {self.model_type}: leave it out")
        if (self.target is None) != (self.target_share == 0):
            raise ValueError("target and target_share go together: set both, or neither")
        return self

    def build(self, work: Work) -> None:
        """Write `tokenizer.json`, and `spm.model` or `words.txt`; InputError where `exact` cannot be met."""
        sample = self._sample(work)
        tokenizer = self._trained(sample, work)
        if tokenizer.size < self.vocab_size:
            if self.exact:
                raise InputError(
                    f"the corpus cannot carry vocab_size {self.vocab_size}: set it to {tokenizer.size} "
                    f"or less, or take more text"
                )
            work.warn(f"the corpus cannot carry vocab_size {self.vocab_size}: lowered to {tokenizer.size}")
        tokenizer.save(work.folder)

    def _sample(self, work: Work) -> TrainingTexts:
        from ulmfit.corpus.documents import DOCUMENTS
        from ulmfit.tokens.documents import TrainingSample, WithTarget

        own = round(self.sample_bytes * (1 - self.target_share))
        sample = TrainingSample(work.input(self.corpus) / DOCUMENTS, max(own, 1))
        work.log(f"training on {sample.documents:,} of {sample.all_documents:,} training documents")
        if self.target is None:
            return sample
        wanted = round(sample.bytes * self.target_share / (1 - self.target_share))
        target = TrainingSample(work.input(self.target) / DOCUMENTS, max(wanted, 1))
        both = WithTarget(sample, target, self.target_share)
        work.log(
            f"and on {target.documents:,} of {target.all_documents:,} texts of the task, "
            f"{both.repeats} times each: {100 * both.share:.1f} % of the bytes"
        )
        return both

    def _trained(self, sample: TrainingTexts, work: Work) -> Tokenizer:
        from ulmfit.tokens.scripts import character_coverage
        from ulmfit.tokens.sentencepiece_training import train_tokenizer
        from ulmfit.tokens.words_training import train_words_tokenizer

        rules = self.rules()
        if self.model_type == "words":
            words, known = train_words_tokenizer(
                sample.texts(), rules, vocab_size=self.vocab_size, min_count=self.min_count
            )
            work.log(str(known))
            return words
        coverage = self.character_coverage or character_coverage(sample.texts())
        work.log(f"character coverage {coverage:g}")
        return train_tokenizer(
            sample.texts(),
            rules,
            vocab_size=self.vocab_size,
            model_type=self.model_type,
            character_coverage=coverage,
            byte_fallback=self.byte_fallback,
            log=work.log,
        )


class EncodeTokens(Stage):
    """Encodes the documents of every split into memory-mapped arrays, and counts what it saw."""

    stage_name: ClassVar[str] = "tokens"
    stage_version: ClassVar[int] = 3

    documents: CorpusStage = Field(description="documents that are encoded")
    tokenizer: TokenizerStage = Field(description="tokenizer that encodes them")
    workers: Annotated[int, NOT_IN_KEY] = Field(
        0, ge=0, description="threads that encode; 0: as many as there are cores, but at most 2"
    )

    def version(self) -> int:
        """After the steps of reading, words in scripts without spaces were counted as whole runs before."""
        return self.stage_version + (self.tokenizer.moses or self.tokenizer.html or self.tokenizer.nfkc)

    @property
    def details(self) -> tuple[str, ...]:
        """Short label for logs: what differs from other stages of this kind."""
        return (self.documents.stage_name, *self.documents.details, *self.tokenizer.details)

    def build(self, work: Work) -> None:
        """Write `{split}.npy`, `{split}.offsets.npy` and `counts.json`."""
        from ulmfit.corpus.stored import document_count
        from ulmfit.pipeline.files import write_json
        from ulmfit.tokens.encode import encode_documents
        from ulmfit.tokens.loading import load_tokenizer

        folder = work.input(self.documents)
        tokenizer = load_tokenizer(work.input(self.tokenizer))
        progress = work.progress(document_count(folder), "documents")
        counts = encode_documents(
            folder / "documents.parquet", tokenizer, work.folder, self.workers, progress.advance
        )
        progress.close()
        write_json(work.folder / "counts.json", counts)
        for split, count in counts.items():
            work.log(
                f"{split}: {count['documents']:,} documents, {count['tokens']:,} tokens, "
                f"{count['unknown']:,} of them unknown"
            )
