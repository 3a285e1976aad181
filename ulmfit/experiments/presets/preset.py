"""What a preset is made of: everything of an experiment that does not depend on language and data."""

from __future__ import annotations

from typing import Any, Literal, Self

from pydantic import Field, model_validator

from ulmfit.classifier.settings import ClassifierSettings
from ulmfit.language_model.settings import FineTuneSettings, PretrainSettings
from ulmfit.language_model.stages import Direction
from ulmfit.pipeline.settings import Settings

Comparison = Literal["ensemble", "without_finetuning", "words", "from_scratch", "tfidf", "with_tfidf"]

TEXT_FIELDS = ("marks", "repeats", "html", "nfkc", "moses")
ALL_COMPARISONS: tuple[Comparison, ...] = ("ensemble", "without_finetuning", "words", "from_scratch", "tfidf")
"""What the papers' presets have; `with_tfidf` is in none until the records are run again."""


class VocabularySettings(Settings):
    """What kind of vocabulary is trained."""

    size: int = Field(
        15_000, ge=32, description="pieces; lowered with a warning when the text cannot carry it"
    )
    exact: bool = Field(False, description="true: a text that cannot carry the size is an error")
    kind: Literal["unigram", "bpe", "words"] = Field(
        "unigram", description="SentencePiece's model type; words: whole words, as a baseline"
    )
    min_count: int = Field(
        3, ge=1, description="kind words: occurrences below which a word is unknown; 1: none is left out"
    )
    byte_fallback: bool = Field(
        True,
        description="encode characters without a piece as bytes, which take 256 of the pieces; false: they "
        "are unknown, as in the papers; without effect on kind words",
    )
    task_share: float = Field(
        0.0,
        ge=0,
        lt=1,
        description="share of the text that the vocabulary learns from which is the task's own: its train "
        "and unlabelled texts, repeated where they are too few; 0: the corpus alone",
    )
    marks: bool = Field(
        True, description="write capitals as marks and small letters; false: cased pieces, as they stand"
    )
    repeats: bool = Field(
        False, description="mark repeated characters and words, as fastai does; false: keep them"
    )
    html: bool = Field(
        False, description="mend HTML's entities, as fastai v1's fix_html does; false: keep them"
    )
    nfkc: bool = Field(
        False, description="compatible characters as their plain forms (NFKC); false: composed ones (NFC)"
    )
    moses: bool = Field(
        False, description="tokenise and escape with Moses before the pieces are cut; false: do not"
    )
    reading: Literal["own", "multifit"] = Field(
        "own",
        description="multifit: texts as MultiFiT read them, which is Moses, HTML mended, NFKC, marks of "
        "capitals and repeats, whatever the single fields say; own: as the single fields say",
    )
    character_coverage: float | None = Field(
        None,
        gt=0,
        le=1,
        description="share of the characters of the text that get a piece; 1: all; None: by script, 0.9995 "
        "where most letters are Han or kana, else 0.9999",
    )
    sample_bytes: int = Field(
        50_000_000, ge=1, description="bytes of the training documents that the vocabulary is made from"
    )
    compared_sizes: tuple[int, ...] = Field(
        (), description="sizes that the tokenizer card measures beside `size`; none: that one alone"
    )

    def of_its_kind(self) -> dict[str, Any]:
        """Return the fields of a `TrainTokenizer` that only words, or only pieces, have."""
        if self.kind == "words":
            return {"min_count": self.min_count}
        return {"byte_fallback": self.byte_fallback, "character_coverage": self.character_coverage}

    def texts(self) -> dict[str, bool]:
        """Return what tokenizers do to texts, as fields of a `TokenizerStage`."""
        if self.reading == "multifit":
            # Its class SPProcessor2: Moses with escapes, then fastai v1's rules; SentencePiece normalised by
            # NFKC. fastai v1 also wrote the other capitals in small letters (McDonald), without a mark.
            return dict.fromkeys(TEXT_FIELDS, True)
        return {name: getattr(self, name) for name in TEXT_FIELDS}


class Preset(Settings):
    """Everything of an experiment that does not depend on language and data."""

    note: str = Field("", description="one line for the table, such as the size; empty: none")
    vocabulary: VocabularySettings = VocabularySettings()
    pretrain: PretrainSettings = PretrainSettings()
    finetune: FineTuneSettings = FineTuneSettings()
    classifier: ClassifierSettings = ClassifierSettings()
    directions: tuple[Direction, ...] = Field(
        ("forward", "backward"), min_length=1, description="with both, their average is a row of the table"
    )
    comparisons: tuple[Comparison, ...] = Field(
        ("ensemble", "from_scratch", "tfidf"),
        description="rows of the table beside ULMFiT's own, (): none. ensemble: the average of all seeds and "
        "directions, where there are several seeds; without_finetuning: the classifier straight on the "
        "pretrained language model; words: everything with a vocabulary of words, pretraining too, unless "
        "weights are given or the vocabulary is of words anyway; from_scratch: a classifier that begins with "
        "random weights and trains all layers from the first step, at one rate, for as many epochs, its "
        "gradients clipped as in pretraining where the classifier's are not; tfidf: logistic regressions and "
        "linear SVMs; with_tfidf: ULMFiT averaged with the row of tfidf that is best on validation",
    )
    from_scratch_rate: float | None = Field(
        None,
        gt=0,
        description="learning rate of the row `from_scratch`; None: the last one of the classifier's phases",
    )
    words: int = Field(
        30_000,
        ge=32,
        description="size of the vocabulary of the row `words`; lowered where the text is short",
    )
    max_documents: int | None = Field(
        None, ge=3, description="documents of the corpus, an unbiased sample; None: all of them"
    )
    max_tokens: int | None = Field(
        None, ge=1, description="words of the corpus, an unbiased sample of documents; None: all of them"
    )
    min_words: int = Field(
        0, ge=0, description="words that a document of the corpus needs to be kept; 0: none"
    )
    counted_in: Literal["words", "runs"] = Field(
        "words",
        description="what max_tokens and min_words count: words, or runs between spaces and punctuation as "
        "MultiFiT did; words: as the corpus says",
    )

    @model_validator(mode="after")
    def _tfidf_has_rows_where_it_is_averaged(self) -> Self:
        if "with_tfidf" in self.comparisons and "tfidf" not in self.comparisons:
            raise ValueError("comparisons: with_tfidf averages ULMFiT with a row of tfidf: add tfidf")
        return self
