"""PolEval: the Polish language model of 2018 (task 3), and hateful tweets of 2019 (task 6-1); n-waves."""

from __future__ import annotations

from typing import Any, Final

from ulmfit.classifier.schedules import multifit_1cycle, multifit_cycle
from ulmfit.experiments.presets.germeval import CASED_PIECES, GERMEVAL_2017, NWAVES_PRETRAIN
from ulmfit.experiments.presets.originals import (
    CLASSIFIER,
    FASTAI_DROPOUTS,
    LANGUAGE_MODEL_TRIANGLE,
    scripts_phase,
)
from ulmfit.experiments.presets.ours import OURS
from ulmfit.experiments.presets.preset import ALL_COMPARISONS, Preset, VocabularySettings
from ulmfit.language_model.settings import Architecture, FineTuneSettings, PretrainSettings

POLEVAL_2018: Final = Preset(
    note="n-waves' language model for PolEval 2018, 4 layers of 1150 units, 25k cased pieces and bytes",
    comparisons=ALL_COMPARISONS,
    directions=("forward",),
    # 123 million to train on and 10 million to validate, but of pieces: task3/split-datasets.py. Words are
    # counted here, so that more is read where there is more.
    max_tokens=133_000_000,
    # 25,000 were the best (Czapla, Howard & Kardas 2018, arXiv 1810.10222); the README's example has 100,000.
    vocabulary=CASED_PIECES.changed(size=25_000),
    pretrain=NWAVES_PRETRAIN.changed(
        phases=(
            # README: pretrain_lm.py --cl 10 --lr 0.01 --bs 192, then on the same texts
            # finetune_lm.py --cl 6 --lr 0.001 --bs 192 --use_discriminative False --dropmult 0.5.
            scripts_phase(10, 1e-2, LANGUAGE_MODEL_TRIANGLE, (1 / 6, 1 / 3, 1, 1, 1)),
            scripts_phase(6, 1e-3, LANGUAGE_MODEL_TRIANGLE),
        ),
    ),
    # The task has no labels: for a recipe that has some, what its authors took for GermEval 2017.
    finetune=GERMEVAL_2017.finetune,
    classifier=GERMEVAL_2017.classifier,
)

REPEAT_LANGUAGE_MODEL: Final[dict[str, Any]] = {
    "bptt": 70,
    "weight_decay": 1e-7,
    "weight_decay_kind": "l2",
    "gradient_clip": 0.12,
}


def _repeat_of_2019(architecture: Architecture, batch_size: int, epochs: int) -> Preset:
    """Return a setting of branch `reproduce-poleval` of github.com/n-waves/multifit: poleval19.sh.

    That is the authors' later repeat; the settings of what they submitted are not recorded. `epochs` are
    those of fine-tuning, 6 or 20.
    """
    size = f"{architecture.layers} {architecture.kind.upper()} layers of {architecture.hidden_size} units"
    return Preset(
        note=f"n-waves' PolEval 2019, {size}, 25k pieces and bytes, {epochs} epochs of fine-tuning",
        comparisons=ALL_COMPARISONS,
        directions=("forward",),
        max_tokens=100_000_000,
        # --tokenizer sp --max-vocab 25000: the class that MultiFiT has.
        vocabulary=VocabularySettings(size=25_000, reading="multifit", byte_fallback=OURS.byte_fallback),
        pretrain=PretrainSettings(
            architecture=architecture,
            phases=(multifit_cycle(10, 5e-3),),
            batch_size=batch_size,
            dropouts=FASTAI_DROPOUTS.changed(multiplier=0.0),
            **REPEAT_LANGUAGE_MODEL,
        ),
        finetune=FineTuneSettings(
            phases=(multifit_cycle(1, 1e-2, trainable_groups=1), multifit_cycle(epochs, 1e-3)),
            batch_size=160,
            dropouts=FASTAI_DROPOUTS.changed(multiplier=0.3),
            **REPEAT_LANGUAGE_MODEL,
        ),
        classifier=CLASSIFIER.changed(
            phases=multifit_1cycle(8),
            batch_size=160,
            # The language model's dropouts, not a classifier's.
            dropouts=FASTAI_DROPOUTS.changed(multiplier=0.5),
            weight_decay=0.01,
            gradient_clip=0.12,
            # The epoch with the best F1 on validation: of the hateful tweets, which a data set without a
            # positive_label cannot have. A recipe that has one sets binary_f1.
            select="best",
            select_metric="macro_f1",
        ),
    )


QRNN: Final = Architecture(kind="qrnn", embedding_size=400, hidden_size=1550, layers=4)
LSTM: Final = Architecture(embedding_size=400, hidden_size=1150, layers=4)

POLEVAL_2019: Final = _repeat_of_2019(QRNN, OURS.reddit_batch_size, 6)
POLEVAL_2019_20_EPOCHS: Final = _repeat_of_2019(QRNN, OURS.reddit_batch_size, 20)
POLEVAL_2019_LSTM: Final = _repeat_of_2019(LSTM, 100, 6)
POLEVAL_2019_LSTM_20_EPOCHS: Final = _repeat_of_2019(LSTM, 100, 20)
