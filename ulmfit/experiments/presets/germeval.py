"""GermEval 2017, sentiment of German posts: n-waves' ULMFiT, github.com/n-waves/ulmfit4de, TRAINING.md."""

from __future__ import annotations

from typing import Final

from ulmfit.experiments.presets.originals import (
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

CASED_PIECES: Final = VocabularySettings(
    size=30_000,
    marks=False,
    # SentencePiece's own normaliser, which nothing turns off.
    nfkc=True,
    character_coverage=1.0,
    byte_fallback=OURS.byte_fallback,
)
"""prepare-data-wiki.sh with `--vocab-size 30000 --lower-case False`: unigrams of the texts as they stand."""

NWAVES_ARCHITECTURE: Final = Architecture(embedding_size=400, hidden_size=1150, layers=4)
"""`--nl 4` of n-waves' scripts, which PolEval 2018 has as well."""

NWAVES_PRETRAIN: Final = PretrainSettings(
    architecture=NWAVES_ARCHITECTURE,
    # pretrain_lm.py --cl 12 --lr 0.01 --bs 192
    phases=(scripts_phase(12, 1e-2, LANGUAGE_MODEL_TRIANGLE, (1 / 6, 1 / 3, 1, 1, 1)),),
    batch_size=192,
    dropouts=FASTAI_DROPOUTS.changed(multiplier=0.5),
    sampled_softmax=SCRIPTS_SAMPLED_SOFTMAX,
    **SCRIPTS_LANGUAGE_MODEL,
)

GERMEVAL_2017: Final = Preset(
    note="n-waves' ULMFiT for GermEval 2017, 4 layers of 1150 units, 30k cased pieces and bytes",
    comparisons=ALL_COMPARISONS,
    # About 100 million tokens: README of fastai's imdb_scripts, whose prepare_wiki.sh was used.
    max_tokens=100_000_000,
    vocabulary=CASED_PIECES,
    pretrain=NWAVES_PRETRAIN,
    finetune=FineTuneSettings(
        # finetune_lm.py --cl 6 --lr 0.001 --bs 128 --dropmult 0.5 --use_discriminative True --sampled True
        phases=(scripts_phase(6, 1e-3, LANGUAGE_MODEL_TRIANGLE, (1 / 6, 1 / 3, 1, 1 / 2, 1 / 2)),),
        batch_size=128,
        dropouts=FASTAI_DROPOUTS.changed(multiplier=0.5),
        sampled_softmax=SCRIPTS_SAMPLED_SOFTMAX,
        **SCRIPTS_LANGUAGE_MODEL,
    ),
    classifier=SCRIPTS_CLASSIFIER.changed(
        # train_clas.py --cl 5 --lr 0.001 --bs 40 --dropmult 0.5: training takes half of bs.
        phases=scripts_classifier_phases(5, 1e-3, falling_rates(4)),
        batch_size=20,
        dropouts=ULMFIT_DROPOUTS.changed(multiplier=0.5),
    ),
)
