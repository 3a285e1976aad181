"""ULMFiT (Howard & Ruder 2018, arXiv 1801.06146): the paper, its scripts for IMDb, fastai v1's notebook."""

from __future__ import annotations

from typing import Final

from ulmfit.classifier.schedules import multifit_cycle, slanted, ulmfit_gradual
from ulmfit.experiments.presets.originals import (
    CLASSIFIER,
    FASTAI_DROPOUTS,
    LANGUAGE_MODEL_TRIANGLE,
    SCRIPTS_CLASSIFIER,
    SCRIPTS_LANGUAGE_MODEL,
    SCRIPTS_SAMPLED_SOFTMAX,
    ULMFIT_DROPOUTS,
    falling_rates,
    scripts_classifier_phases,
    scripts_phase,
)
from ulmfit.experiments.presets.ours import OURS
from ulmfit.experiments.presets.preset import ALL_COMPARISONS, Preset, VocabularySettings
from ulmfit.language_model.settings import Architecture, FineTuneSettings, PretrainSettings
from ulmfit.training.settings import Phase

WIKITEXT_103: Final = 103_000_000
"""Words that the language model is pretrained on (section 3.1)."""

ARCHITECTURE: Final = Architecture(embedding_size=400, hidden_size=1150, layers=3)
"""Section 4.1."""

SCRIPTS_PRETRAIN: Final = PretrainSettings(
    # train_tri_wt.py; epochs and rate are its README's example, the script's defaults are one of 3e-4.
    architecture=ARCHITECTURE,
    phases=(scripts_phase(12, 1e-3, LANGUAGE_MODEL_TRIANGLE, (1 / 6, 1 / 3, 1, 1)),),
    batch_size=64,
    dropouts=FASTAI_DROPOUTS.changed(multiplier=0.5),
    sampled_softmax=SCRIPTS_SAMPLED_SOFTMAX,
    **SCRIPTS_LANGUAGE_MODEL,
)

ULMFIT: Final = Preset(
    note=f"ULMFiT (Howard & Ruder 2018), 3 layers of 1150 units, {OURS.pieces // 1000}k pieces and bytes in "
    "place of its words",
    comparisons=ALL_COMPARISONS,
    words=OURS.words,
    max_tokens=WIKITEXT_103,
    # Pre-processing (section 4.1): marks of capitals, of repeated characters and of repeated words.
    vocabulary=VocabularySettings(size=OURS.pieces, byte_fallback=OURS.byte_fallback, repeats=True),
    # The paper says of pretraining what architecture, bptt and batch size say; the rest is its scripts',
    # but for the softmax, which so few pieces need not sample.
    pretrain=SCRIPTS_PRETRAIN.changed(sampled_softmax=0),
    finetune=FineTuneSettings(
        # Section 4.1: 15 epochs on TREC-6, its smallest task, and longer on larger ones; no layer is frozen.
        # bptt, batch size, dropouts and beta1 stand there too; decay, clipping and chunks are the scripts'.
        phases=(slanted(15, 4e-3),),
        batch_size=64,
        dropouts=ULMFIT_DROPOUTS,
        **SCRIPTS_LANGUAGE_MODEL,
    ),
    # Sections 3.3 and 4.1; AR, TAR, decay, clipping and the tokens that are read are the scripts'.
    classifier=SCRIPTS_CLASSIFIER.changed(
        phases=ulmfit_gradual(OURS.ulmfit_classifier_epochs), batch_size=64
    ),
)

ULMFIT_WORDS: Final = ULMFIT.changed(
    note=f"ULMFiT (Howard & Ruder 2018), 3 layers of 1150 units, {OURS.words // 1000}k words",
    vocabulary=VocabularySettings(kind="words", size=OURS.words, repeats=True),
)

SCRIPTS_WORDS: Final = VocabularySettings(
    # tok2id.py: max_vocab, and min_freq 1, which is to be exceeded. The tokens of fastai 0.7 are spaCy's,
    # with HTML mended and marks of repetition; of capitals it marked words of capitals alone.
    kind="words",
    size=30_000,
    min_count=2,
    repeats=True,
    html=True,
)

ULMFIT_IMDB_SCRIPTS: Final = Preset(
    note="ULMFiT's own scripts for IMDb, 3 layers of 1150 units, 30k words",
    comparisons=ALL_COMPARISONS,
    max_tokens=WIKITEXT_103,
    vocabulary=SCRIPTS_WORDS,
    pretrain=SCRIPTS_PRETRAIN,
    finetune=FineTuneSettings(
        # finetune_lm.py: lr, bs and dropmult are defaults; 50 epochs on IMDb by the README (default: 25).
        phases=(scripts_phase(50, 4e-3, LANGUAGE_MODEL_TRIANGLE, (1 / 6, 1 / 3, 1, 1 / 2)),),
        batch_size=64,
        dropouts=FASTAI_DROPOUTS,
        **SCRIPTS_LANGUAGE_MODEL,
    ),
    # train_clas.py: 50 epochs on IMDb by the README; bs 64, of which training takes half.
    classifier=SCRIPTS_CLASSIFIER.changed(
        phases=scripts_classifier_phases(50, 1e-2, falling_rates(3)), batch_size=32
    ),
)


def _sliced(trainable_groups: int, epochs: int, rate: float) -> Phase:
    """Return a phase of v1's `fit_one_cycle(epochs, slice(rate / 2.6**4, rate))`."""
    return multifit_cycle(epochs, rate, lowest_rate=rate / 2.6**4, trainable_groups=trainable_groups)


FASTAI_V1_IMDB: Final = Preset(
    note="fastai v1's notebook for IMDb, 3 layers of 1152 units, 60k words",
    comparisons=ALL_COMPARISONS,
    max_tokens=WIKITEXT_103,
    # defaults.max_vocab and min_freq of fastai v1, and its rules for texts.
    vocabulary=VocabularySettings(kind="words", size=60_000, min_count=2, repeats=True, html=True),
    # The notebook begins with released weights; no source says how those were trained.
    pretrain=SCRIPTS_PRETRAIN.changed(architecture=ARCHITECTURE.changed(hidden_size=1152)),
    finetune=FineTuneSettings(
        phases=(multifit_cycle(1, 2e-2, trainable_groups=1), multifit_cycle(10, 2e-3)),
        batch_size=256,
        bptt=80,
        dropouts=FASTAI_DROPOUTS,
        weight_decay=0.1,
        gradient_clip=0.1,
        precision="bf16",
    ),
    classifier=CLASSIFIER.changed(
        phases=(
            multifit_cycle(1, 1e-1, trainable_groups=1),
            _sliced(2, 1, 5e-2),
            _sliced(3, 1, 2.5e-2),
            _sliced(0, 2, 5e-3),
        ),
        batch_size=128,
        dropouts=ULMFIT_DROPOUTS.changed(multiplier=0.5),
        weight_decay=0.1,
    ),
)
