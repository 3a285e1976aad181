"""What many originals have in common: fastai 0.7's scripts, fastai v1's defaults, and every classifier."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Final

from ulmfit.classifier.settings import ClassifierSettings
from ulmfit.language_model.settings import Dropouts
from ulmfit.training.settings import Phase

ULMFIT_DROPOUTS: Final = Dropouts(output=0.4, hidden=0.3, input=0.4, embedding=0.05, weight=0.5)
"""Howard & Ruder 2018 (arXiv 1801.06146), section 4.1; fastai's defaults for classifiers, from 0.7 to v2."""

FASTAI_DROPOUTS: Final = Dropouts(output=0.1, hidden=0.15, input=0.25, embedding=0.02, weight=0.2)
"""fastai's defaults for language models: `drops` of the scripts of 0.7, `awd_lstm_lm_config` of v1."""

CLASSIFIER: Final = ClassifierSettings(
    ar=2.0,
    tar=1.0,
    reads="last",
    maximum_tokens=1_400,
    head_units=50,
    head_dropout=0.1,
    bptt=70,
    dropouts=ULMFIT_DROPOUTS,
    select="last",
)
"""What the classifier of every original has: AR 2 and TAR 1 (`seq2seq_reg` of the scripts' train_clas.py, the
defaults of v1's RNNLearner), `max_len` 20 * 70, `layers=[..., 50, c]`, and the weights of the last epoch."""

SCRIPTS_LANGUAGE_MODEL: Final[Mapping[str, Any]] = MappingProxyType(
    {
        "bptt": 70,
        # fastai 0.7's LanguageModelLoader: other lengths of chunks, the rate of a step as it is; the texts
        # were joined once, in one order.
        "bptt_jitter": "unscaled",
        "shuffle_documents": False,
        "ar": 2.0,
        "tar": 1.0,
        "weight_decay": 1e-7,
        "weight_decay_kind": "l2",
        "gradient_clip": 0.3,
    }
)
"""Language models of `courses/dl2/imdb_scripts` (fastai 0.7): train_tri_wt.py, finetune_lm.py."""

SCRIPTS_CLASSIFIER: Final = CLASSIFIER.changed(weight_decay=1e-6, weight_decay_kind="l2", gradient_clip=25.0)
"""Classifiers of the same scripts: train_clas.py."""

SCRIPTS_SAMPLED_SOFTMAX: Final = 15_000
"""train_tri_wt.py, and n-waves' pretrain_lm.py and finetune_lm.py with `--sampled True`."""

LANGUAGE_MODEL_TRIANGLE: Final[tuple[float, float]] = (32, 1 / 10)
"""`use_clr=(32, 10)`: ratio and cut of the scripts' language models."""
HEAD_TRIANGLE: Final[tuple[float, float]] = (8, 1 / 3)
"""`use_clr=(8, 3)`: of their classifiers, while layers are frozen."""
CLASSIFIER_TRIANGLE: Final[tuple[float, float]] = (8, 1 / 8)
"""`use_clr=(8, 8)`: of their classifiers, afterwards."""


def scripts_phase(
    epochs: int,
    rate: float,
    triangle: tuple[float, float],
    group_rates: tuple[float, ...] = (),
    *,
    discriminative: float = 1.0,
    trainable_groups: int = 0,
) -> Phase:
    """Return a phase of fastai 0.7's `use_clr` with Adam(.8, .99): slanted triangles (ratio, cut)."""
    ratio, cut = triangle
    return Phase(
        epochs=epochs,
        learning_rate=rate,
        group_rates=group_rates,
        discriminative=discriminative,
        trainable_groups=trainable_groups,
        schedule="stlr",
        ratio=ratio,
        warm_up=cut,
        momentum=(0.8, 0.8, 0.8),
    )


def scripts_classifier_phases(epochs: int, rate: float, group_rates: tuple[float, ...]) -> tuple[Phase, ...]:
    """Return the phases of train_clas.py: the head, the last two groups, an epoch each; then all."""
    return (
        scripts_phase(1, rate, HEAD_TRIANGLE, group_rates, trainable_groups=1),
        scripts_phase(1, rate, HEAD_TRIANGLE, group_rates, trainable_groups=2),
        scripts_phase(epochs, rate, CLASSIFIER_TRIANGLE, group_rates),
    )


def falling_rates(layers: int) -> tuple[float, ...]:
    """Return train_clas.py's factors for a classifier of so many layers: 2.6**-4 to 2.6**-1, then 1."""
    return (2.6**-4, 2.6**-3, 2.6**-2, 2.6**-1, *[1.0] * (layers - 2))
