"""The papers' hyper-parameters, each once, each with its source; and smaller sets for smaller machines."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import Field, model_validator

from ulmfit.classifier.schedules import multifit_1cycle, multifit_cycle, slanted, ulmfit_gradual
from ulmfit.classifier.settings import ClassifierSettings
from ulmfit.language_model.settings import Architecture, Dropouts, FineTuneSettings, PretrainSettings
from ulmfit.language_model.stages import Direction
from ulmfit.pipeline.settings import Settings
from ulmfit.training.settings import Phase

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


def head_then_all(
    head_rate: float, rate: float, epochs: int, discriminative: float = 2.6
) -> tuple[Phase, ...]:
    """Return one epoch of the top group alone, then `epochs` of all groups, each one cycle."""
    return (
        Phase(epochs=1, learning_rate=head_rate, trainable_groups=1),
        Phase(epochs=epochs, learning_rate=rate, discriminative=discriminative),
    )


ULMFIT_DROPOUTS = Dropouts(output=0.4, hidden=0.3, input=0.4, embedding=0.05, weight=0.5)
"""Howard & Ruder 2018 (arXiv 1801.06146), section 4.1."""

ULMFIT = Preset(
    note="ULMFiT (Howard & Ruder 2018), 3 layers of 1152 units, 15k pieces and bytes",
    comparisons=ALL_COMPARISONS,
    # Section 3.1: Wikitext-103, 103 million words; MultiFiT takes 100 million of each Wikipedia.
    max_tokens=100_000_000,
    # The paper's own vocabulary are 30,000 words, which the row `words` of the table has.
    vocabulary=VocabularySettings(size=15_000),
    # Section 4.1: embedding 400, 3 layers (1150 there; 1152 is fastai's multiple of 8), bptt 70, batch 64.
    pretrain=PretrainSettings(
        # Epochs and rate as in MultiFiT (Eisenschlos et al. 2019, arXiv 1909.04761); ULMFiT states none.
        phases=(Phase(epochs=10, learning_rate=5e-3, discriminative=1),),
        batch_size=64,
        bptt=70,
        dropouts=Dropouts(output=0.1, hidden=0.15, input=0.25, embedding=0.02, weight=0.2),
        gradient_clip=0.12,
    ),
    finetune=FineTuneSettings(
        phases=(slanted(1, 4e-3, trainable_groups=1), slanted(10, 4e-3)),
        batch_size=64,
        bptt=70,
        dropouts=ULMFIT_DROPOUTS.changed(multiplier=0.5),
        gradient_clip=0.12,
    ),
    classifier=ClassifierSettings(
        phases=ulmfit_gradual(10),
        batch_size=64,
        dropouts=ULMFIT_DROPOUTS,
        select="last",
    ),
)

MULTIFIT_DROPOUTS = Dropouts(output=0.25, hidden=0.1, input=0.2, embedding=0.02, weight=0.15)
"""The values of MultiFiT's configuration `multifit_paper_version`."""

MULTIFIT_VOCABULARY = VocabularySettings(size=15_000, byte_fallback=False)
"""The paper's own vocabulary: characters without a piece are unknown. On a command line:
`--set vocabulary.byte_fallback=false`. Tables of such a run say so below: perplexities are not comparable."""

MULTIFIT = Preset(
    note="MultiFiT (Eisenschlos et al. 2019), 4 QRNN layers of 1550 units, 15k pieces and bytes",
    comparisons=ALL_COMPARISONS,
    # Section 3 of the paper (arXiv 1909.04761): 100 million tokens of each Wikipedia, 15,000 subwords. They
    # hold no bytes in the paper: `MULTIFIT.changed(vocabulary=MULTIFIT_VOCABULARY)` is its own vocabulary.
    max_tokens=100_000_000,
    vocabulary=VocabularySettings(size=15_000),
    # From here on the configuration `multifit_paper_version` of its code. Its weight decay of 1e-7 is L2's,
    # ours is decoupled; at that size neither does anything.
    pretrain=PretrainSettings(
        architecture=Architecture(kind="qrnn", embedding_size=400, hidden_size=1550, layers=4),
        phases=(multifit_cycle(10, 5e-3),),
        batch_size=50,
        bptt=70,
        dropouts=MULTIFIT_DROPOUTS.changed(multiplier=0.0),
        weight_decay=1e-7,
        gradient_clip=0.12,
    ),
    finetune=FineTuneSettings(
        # The top group for one epoch at ten times the rate, then everything.
        phases=(multifit_cycle(1, 1e-2, trainable_groups=1), multifit_cycle(20, 1e-3)),
        batch_size=20,
        bptt=70,
        dropouts=MULTIFIT_DROPOUTS.changed(multiplier=0.3),
        weight_decay=1e-7,
        gradient_clip=0.12,
    ),
    classifier=ClassifierSettings(
        phases=multifit_1cycle(8),
        batch_size=18,
        dropouts=MULTIFIT_DROPOUTS.changed(multiplier=0.5),
        weight_decay=0.01,
        gradient_clip=0.12,
        label_smoothing=0.1,
        smoothing_divided_by_classes=True,
        select="last",
    ),
)

MULTIFIT_FP16 = Preset(
    note="MultiFiT's fp16 variant in bf16, 4 QRNN layers of 1552 units, 15k pieces and bytes",
    comparisons=ALL_COMPARISONS,
    max_tokens=100_000_000,
    vocabulary=VocabularySettings(size=15_000),
    # The configuration `multifit1552_fp16` of MultiFiT's code; dropouts are fastai v1's defaults, those of
    # `PretrainSettings` here. The rates are 1e-2 and 1e-3 times batch size / 48.
    pretrain=PretrainSettings(
        architecture=Architecture(kind="qrnn", embedding_size=400, hidden_size=1552, layers=4),
        phases=(multifit_cycle(10, 1e-2 * 128 / 48),),
        batch_size=128,
        bptt=70,
        dropouts=Dropouts(output=0.1, hidden=0.15, input=0.25, embedding=0.02, weight=0.2, multiplier=0.5),
        weight_decay=0.1,
        precision="bf16",
    ),
    finetune=FineTuneSettings(
        phases=(
            multifit_cycle(1, 1e-2 * 128 / 48, trainable_groups=1),
            multifit_cycle(10, 1e-3 * 128 / 48),
        ),
        batch_size=128,
        bptt=70,
        dropouts=Dropouts(output=0.1, hidden=0.15, input=0.25, embedding=0.02, weight=0.2),
        weight_decay=0.1,
        precision="bf16",
    ),
    classifier=ClassifierSettings(
        phases=multifit_1cycle(8),
        batch_size=20,
        # fastai v1's defaults for classifiers, which are ULMFiT's.
        dropouts=ULMFIT_DROPOUTS.changed(multiplier=0.5),
        weight_decay=0.1,
        # Not divided by the number of classes, unlike in the paper's configuration.
        label_smoothing=0.1,
        select="last",
    ),
)

SMALL = Preset(
    note="small: 3 layers of 400 units, 8k pieces and bytes, a CPU's half hour",
    vocabulary=VocabularySettings(size=8_000),
    pretrain=PretrainSettings(
        architecture=Architecture(embedding_size=200, hidden_size=400, layers=3),
        phases=(Phase(epochs=1, learning_rate=5e-3, discriminative=1),),
        batch_size=32,
        dropouts=Dropouts(multiplier=0.2),
        gradient_clip=0.25,
    ),
    finetune=FineTuneSettings(
        phases=head_then_all(5e-3, 4e-3, 2),
        batch_size=32,
        dropouts=Dropouts(multiplier=0.3),
        gradient_clip=0.25,
    ),
    classifier=ClassifierSettings(
        # Gradual unfreezing at rates divided by 2.6 a layer leaves the lower layers as they were: a language
        # model that has read this little has more to learn from a few hundred steps than it has to lose.
        phases=head_then_all(1e-2, 3e-3, 5, discriminative=1),
        batch_size=32,
        dropouts=ULMFIT_DROPOUTS.changed(multiplier=0.5),
    ),
    directions=("forward",),
)

TOY = Preset(
    note="toy size: 2 layers of 128 units",
    vocabulary=VocabularySettings(size=1_500),
    pretrain=PretrainSettings(
        architecture=Architecture(embedding_size=64, hidden_size=128, layers=2),
        phases=(Phase(epochs=3, learning_rate=1e-2, discriminative=1),),
        batch_size=32,
        bptt=50,
        dropouts=Dropouts(multiplier=0.3),
        gradient_clip=0.25,
    ),
    finetune=FineTuneSettings(
        phases=head_then_all(1e-2, 5e-3, 3), batch_size=16, bptt=50, dropouts=Dropouts(multiplier=0.5)
    ),
    classifier=ClassifierSettings(
        # Not gradual unfreezing: its low rates for low layers do not get far in the few steps of few texts.
        phases=head_then_all(1e-2, 3e-3, 15, discriminative=1),
        batch_size=16,
        dropouts=ULMFIT_DROPOUTS.changed(multiplier=0.5),
    ),
    directions=("forward",),
)
