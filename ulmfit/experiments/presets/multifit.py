"""MultiFiT (Eisenschlos et al. 2019, arXiv 1909.04761): the configurations of its code, by their names there.

`multifit/configurations.py` of github.com/n-waves/multifit; schedules and defaults are those of `training.py`
beside it.
"""

from __future__ import annotations

from typing import Any, Final, Literal

from ulmfit.classifier.schedules import multifit_1cycle, multifit_cycle
from ulmfit.experiments.presets.originals import CLASSIFIER, FASTAI_DROPOUTS, ULMFIT_DROPOUTS
from ulmfit.experiments.presets.ours import OURS
from ulmfit.experiments.presets.preset import ALL_COMPARISONS, Preset, VocabularySettings
from ulmfit.language_model.settings import Architecture, Dropouts, FineTuneSettings, PretrainSettings

MULTIFIT_DROPOUTS: Final = Dropouts(output=0.25, hidden=0.1, input=0.2, embedding=0.02, weight=0.15)
"""`dps` of `multifit_paper_version`."""

CORPUS: Final[dict[str, Any]] = {"max_tokens": 100_000_000, "min_words": 100, "counted_in": "runs"}
"""100 million tokens of each Wikipedia (section 3), of articles with 100 at least (create_wikitext.py), both
counted after Moses."""

PIECES: Final = VocabularySettings(size=15_000, reading="multifit", byte_fallback=OURS.byte_fallback)
"""15,000 pieces (section 3) of texts as `SPProcessor2` reads them."""

MULTIFIT_VOCABULARY: Final = PIECES.changed(byte_fallback=False)
"""The paper's own vocabulary: characters without a piece are unknown. On a command line:
`--set vocabulary.byte_fallback=false`. Tables of such a run say so below: perplexities are not comparable."""

PAPER_LANGUAGE_MODEL: Final[dict[str, Any]] = {
    "bptt": 70,
    "weight_decay": 1e-7,
    # true_wd=False
    "weight_decay_kind": "l2",
    "gradient_clip": 0.12,
}

MULTIFIT: Final = Preset(
    note="MultiFiT (Eisenschlos et al. 2019), 4 QRNN layers of 1550 units, 15k pieces and bytes",
    comparisons=ALL_COMPARISONS,
    directions=("forward",),
    vocabulary=PIECES,
    # The configuration `multifit_paper_version`.
    pretrain=PretrainSettings(
        architecture=Architecture(kind="qrnn", embedding_size=400, hidden_size=1550, layers=4),
        phases=(multifit_cycle(10, 5e-3),),
        batch_size=50,
        dropouts=MULTIFIT_DROPOUTS.changed(multiplier=0.0),
        **PAPER_LANGUAGE_MODEL,
    ),
    finetune=FineTuneSettings(
        # The top group for one epoch at ten times the rate, then everything.
        phases=(multifit_cycle(1, 1e-2, trainable_groups=1), multifit_cycle(20, 1e-3)),
        batch_size=20,
        dropouts=MULTIFIT_DROPOUTS.changed(multiplier=0.3),
        **PAPER_LANGUAGE_MODEL,
    ),
    classifier=CLASSIFIER.changed(
        phases=multifit_1cycle(8),
        batch_size=18,
        dropouts=MULTIFIT_DROPOUTS.changed(multiplier=0.5),
        weight_decay=0.01,
        gradient_clip=0.12,
        label_smoothing=0.1,
        smoothing_divided_by_classes=True,
    ),
    **CORPUS,
)

ULMFIT_ORIG: Final = MULTIFIT.changed(
    note="MultiFiT's `ulmfit_orig`, 3 layers of 1150 units, 60k words",
    # tokenizer_type f: spaCy's words by fastai v1's rules.
    vocabulary=VocabularySettings(kind="words", size=60_000, min_count=2, repeats=True, html=True),
    pretrain=MULTIFIT.pretrain.changed(
        architecture=Architecture(embedding_size=400, hidden_size=1150, layers=3)
    ),
)


def _rewritten(
    model: str,
    architecture: Architecture,
    batch_size: int,
    *,
    precision: Literal["fp32", "bf16"] = "fp32",
    epochs: tuple[int, int, int] = (10, 10, 8),
) -> Preset:
    """Return `multifit1552_fp32(bs)` of another model, batch size or epochs (pretrain, finetune, classifier).

    fp16 is bf16 here. The classifier computes in what the machine has.
    """
    pretrain, finetune, classifier = epochs
    size = f"{architecture.layers} {architecture.kind.upper()} layers of {architecture.hidden_size} units"
    rate = 1e-3 * batch_size / 48
    language_model: dict[str, Any] = {
        "batch_size": batch_size,
        "bptt": 70,
        "weight_decay": 0.1,
        "precision": precision,
    }
    return Preset(
        note=f"MultiFiT's {model}, {size}, 15k pieces and bytes",
        comparisons=ALL_COMPARISONS,
        directions=("forward",),
        vocabulary=PIECES,
        pretrain=PretrainSettings(
            architecture=architecture,
            phases=(multifit_cycle(pretrain, 1e-2 * batch_size / 48),),
            dropouts=FASTAI_DROPOUTS.changed(multiplier=0.5),
            **language_model,
        ),
        finetune=FineTuneSettings(
            phases=(multifit_cycle(1, 10 * rate, trainable_groups=1), multifit_cycle(finetune, rate)),
            dropouts=FASTAI_DROPOUTS,
            **language_model,
        ),
        classifier=CLASSIFIER.changed(
            phases=multifit_1cycle(classifier),
            batch_size=20,
            dropouts=ULMFIT_DROPOUTS.changed(multiplier=0.5),
            weight_decay=0.1,
            # Not divided by the number of classes, unlike in the paper's configuration.
            label_smoothing=0.1,
        ),
        **CORPUS,
    )


QRNN: Final = Architecture(kind="qrnn", embedding_size=400, hidden_size=1552, layers=4)
LSTM_OF_3: Final = Architecture(embedding_size=400, hidden_size=1152, layers=3)

MULTIFIT1552_FP32: Final = _rewritten("fp32 variant", QRNN, 64)
MULTIFIT_FP32_NL3: Final = _rewritten("fp32 variant", QRNN.changed(layers=3), 64)
MULTIFIT_FP16: Final = _rewritten("fp16 variant in bf16", QRNN, 128, precision="bf16")
MULTIFIT_FP16_NL3: Final = _rewritten("fp16 variant in bf16", QRNN.changed(layers=3), 128, precision="bf16")
MULTIFIT_LSTM: Final = _rewritten("LSTM variant", QRNN.changed(kind="lstm"), 128)
MULTIFIT1152_LSTM_NL3: Final = _rewritten("LSTM variant", LSTM_OF_3, 128)

LARGE_EPOCHS: Final = (20, 20, 20)
"""`replace_(num_epochs=20)` changes all three steps."""
MULTIFIT1552_FP16_NL3_LARGE: Final = _rewritten(
    "large fp16 variant in bf16", QRNN.changed(layers=3), 448, precision="bf16", epochs=LARGE_EPOCHS
)
MULTIFIT1152_LSTM_NL3_FP16_LARGE: Final = _rewritten(
    "large LSTM variant in bf16", LSTM_OF_3, 448, precision="bf16", epochs=LARGE_EPOCHS
)
