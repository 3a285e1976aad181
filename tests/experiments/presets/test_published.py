"""Every published preset against a table written by hand from papers and code, never from the presets."""

from __future__ import annotations

from typing import Any

import pytest

from ulmfit.experiments.presets import OURS, PUBLISHED, SMALL, TOY
from ulmfit.experiments.presets.originals import CLASSIFIER
from ulmfit.pipeline.settings import Settings

AWD_LSTM = {"kind": "lstm", "embedding_size": 400}
QRNN = {"kind": "qrnn", "embedding_size": 400, "window": 2}

FASTAI_DROPOUTS = {"input": 0.25, "output": 0.1, "weight": 0.2, "embedding": 0.02, "hidden": 0.15}
CLASSIFIER_DROPOUTS = {"input": 0.4, "output": 0.4, "weight": 0.5, "embedding": 0.05, "hidden": 0.3}
MULTIFIT_DROPOUTS = {"input": 0.2, "output": 0.25, "weight": 0.15, "embedding": 0.02, "hidden": 0.1}

EVERY_CLASSIFIER = {
    "ar": 2,
    "tar": 1,
    "head_units": 50,
    "head_dropout": 0.1,
    "bptt": 70,
    "reads": "last",
    "maximum_tokens": 1400,
    "class_weights": "none",
    "beta2": 0.99,
}
"""AR 2 and TAR 1 in every original; a head of 50 units with dropout .1; the last 1,400 tokens are pooled."""

# --- fastai 0.7's scripts: LM and classifier --------------------------------------------------------------

SCRIPTS_LM = {
    "bptt": 70,
    "bptt_jitter": "unscaled",
    "shuffle_documents": False,
    "ar": 2,
    "tar": 1,
    "beta2": 0.99,
    "weight_decay": 1e-7,
    "weight_decay_kind": "l2",
    "gradient_clip": 0.3,
}
SCRIPTS_CLASSIFIER = {
    **EVERY_CLASSIFIER,
    "weight_decay": 1e-6,
    "weight_decay_kind": "l2",
    "gradient_clip": 25,
    "select": "last",
    "label_smoothing": 0,
}


def triangle(epochs: int, rate: float, ratio: float, cut: float, **fields: Any) -> dict[str, Any]:
    """Slanted triangular rates with a constant beta1: .8 in the scripts."""
    constant = {"schedule": "stlr", "momentum": (0.8, 0.8, 0.8), "trainable_groups": 0}
    phase = {"epochs": epochs, "learning_rate": rate, "ratio": ratio, "warm_up": cut}
    return {**constant, **phase, **fields}


def cycle(epochs: int, rate: float, lowest: float = 0, **fields: Any) -> dict[str, Any]:
    """One cycle of fastai v1: beta1 .8 to .7, rising for 30 % of the steps, one rate for all layers."""
    constant = {"schedule": "one_cycle", "momentum": (0.8, 0.7, 0.8), "warm_up": 0.3, "discriminative": 1}
    phase = {"epochs": epochs, "learning_rate": rate, "lowest_rate": lowest, "trainable_groups": 0}
    return {**constant, **phase, **fields}


def scripts_classifier(epochs: int, rate: float, groups: tuple[float, ...]) -> list[dict[str, Any]]:
    """Head and last two groups, an epoch each at ratio 8 and cut 1/3; then all at ratio 8 and cut 1/8."""
    return [
        triangle(1, rate, 8, 1 / 3, trainable_groups=1, group_rates=groups),
        triangle(1, rate, 8, 1 / 3, trainable_groups=2, group_rates=groups),
        triangle(epochs, rate, 8, 1 / 8, group_rates=groups),
    ]


def paper_triangle(epochs: int, rate: float, groups: int = 0) -> dict[str, Any]:
    """Section 3.2: cut .1, ratio 32; each lower layer 2.6 times slower. Section 4.1: beta1 .7."""
    beta = {"momentum": (0.7, 0.7, 0.7), "discriminative": 2.6, "group_rates": ()}
    return triangle(epochs, rate, 32, 0.1, trainable_groups=groups, **beta)


FALLING_OF_3 = (2.6**-4, 2.6**-3, 2.6**-2, 2.6**-1, 1)
FALLING_OF_4 = (2.6**-4, 2.6**-3, 2.6**-2, 2.6**-1, 1, 1)

ULMFIT = {
    "directions": ("forward", "backward"),
    "max_tokens": 103_000_000,
    "vocabulary": {"size": 15_000, "kind": "unigram", "repeats": True, "marks": True, "byte_fallback": True},
    "pretrain": {
        **SCRIPTS_LM,
        "architecture": {**AWD_LSTM, "hidden_size": 1150, "layers": 3},
        "batch_size": 64,
        "dropouts": {**FASTAI_DROPOUTS, "multiplier": 0.5},
        "sampled_softmax": 0,
        "phases": [triangle(12, 1e-3, 32, 0.1, group_rates=(1 / 6, 1 / 3, 1, 1))],
    },
    "finetune": {
        **SCRIPTS_LM,
        "batch_size": 64,
        "dropouts": {**CLASSIFIER_DROPOUTS, "multiplier": 1},
        "phases": [paper_triangle(15, 4e-3)],
    },
    "classifier": {
        **SCRIPTS_CLASSIFIER,
        "batch_size": 64,
        "dropouts": {**CLASSIFIER_DROPOUTS, "multiplier": 1},
        "phases": [
            *(paper_triangle(1, 1e-2, groups) for groups in (1, 2, 3, 4)),
            paper_triangle(46, 1e-2),
        ],
    },
}
ULMFIT_WORDS = {
    **ULMFIT,
    "vocabulary": {"size": 30_000, "kind": "words", "repeats": True, "marks": True},
}
IMDB_SCRIPTS = {
    "directions": ("forward", "backward"),
    "max_tokens": 103_000_000,
    "vocabulary": {"size": 30_000, "kind": "words", "min_count": 2, "repeats": True, "html": True},
    "pretrain": {**ULMFIT["pretrain"], "sampled_softmax": 15_000},
    "finetune": {
        **SCRIPTS_LM,
        "batch_size": 64,
        "dropouts": {**FASTAI_DROPOUTS, "multiplier": 1},
        "sampled_softmax": 0,
        "phases": [triangle(50, 4e-3, 32, 0.1, group_rates=(1 / 6, 1 / 3, 1, 1 / 2))],
    },
    "classifier": {
        **SCRIPTS_CLASSIFIER,
        "batch_size": 32,
        "dropouts": {**CLASSIFIER_DROPOUTS, "multiplier": 1},
        "phases": scripts_classifier(50, 1e-2, FALLING_OF_3),
    },
}
V1_IMDB = {
    "directions": ("forward", "backward"),
    "vocabulary": {"size": 60_000, "kind": "words", "min_count": 2, "repeats": True, "html": True},
    "pretrain": {"architecture": {**AWD_LSTM, "hidden_size": 1152, "layers": 3}},
    "finetune": {
        "batch_size": 256,
        "bptt": 80,
        "bptt_jitter": "off",
        "shuffle_documents": True,
        "ar": 2,
        "tar": 1,
        "precision": "bf16",
        "gradient_clip": 0.1,
        "weight_decay": 0.1,
        "weight_decay_kind": "decoupled",
        "dropouts": {**FASTAI_DROPOUTS, "multiplier": 1},
        "phases": [cycle(1, 2e-2, trainable_groups=1), cycle(10, 2e-3)],
    },
    "classifier": {
        **EVERY_CLASSIFIER,
        "batch_size": 128,
        "weight_decay": 0.1,
        "weight_decay_kind": "decoupled",
        "gradient_clip": 0,
        "dropouts": {**CLASSIFIER_DROPOUTS, "multiplier": 0.5},
        "phases": [
            cycle(1, 1e-1, trainable_groups=1),
            cycle(1, 5e-2, 5e-2 / 2.6**4, trainable_groups=2),
            cycle(1, 2.5e-2, 2.5e-2 / 2.6**4, trainable_groups=3),
            cycle(2, 5e-3, 5e-3 / 2.6**4),
        ],
    },
}

# --- n-waves ----------------------------------------------------------------------------------------------

NWAVES_PRETRAIN = {
    **SCRIPTS_LM,
    "architecture": {**AWD_LSTM, "hidden_size": 1150, "layers": 4},
    "batch_size": 192,
    "dropouts": {**FASTAI_DROPOUTS, "multiplier": 0.5},
    "sampled_softmax": 15_000,
}
CASED = {"kind": "unigram", "marks": False, "nfkc": True, "character_coverage": 1, "reading": "own"}

POLEVAL_2018 = {
    "directions": ("forward",),
    "max_tokens": 133_000_000,
    "vocabulary": {**CASED, "size": 25_000},
    "pretrain": {
        **NWAVES_PRETRAIN,
        "phases": [
            triangle(10, 1e-2, 32, 0.1, group_rates=(1 / 6, 1 / 3, 1, 1, 1)),
            triangle(6, 1e-3, 32, 0.1, group_rates=(), discriminative=1),
        ],
    },
}
GERMEVAL_2017 = {
    "directions": ("forward", "backward"),
    "vocabulary": {**CASED, "size": 30_000},
    "pretrain": {
        **NWAVES_PRETRAIN,
        "phases": [triangle(12, 1e-2, 32, 0.1, group_rates=(1 / 6, 1 / 3, 1, 1, 1))],
    },
    "finetune": {
        **SCRIPTS_LM,
        "batch_size": 128,
        "dropouts": {**FASTAI_DROPOUTS, "multiplier": 0.5},
        "sampled_softmax": 15_000,
        "phases": [triangle(6, 1e-3, 32, 0.1, group_rates=(1 / 6, 1 / 3, 1, 1 / 2, 1 / 2))],
    },
    "classifier": {
        **SCRIPTS_CLASSIFIER,
        "batch_size": 20,
        "dropouts": {**CLASSIFIER_DROPOUTS, "multiplier": 0.5},
        "phases": scripts_classifier(5, 1e-3, FALLING_OF_4),
    },
}
L2_OF_V1 = {
    "bptt": 70,
    "bptt_jitter": "off",
    "shuffle_documents": True,
    "ar": 2,
    "tar": 1,
    "weight_decay": 1e-7,
    "weight_decay_kind": "l2",
    "gradient_clip": 0.12,
}


def poleval_2019(architecture: dict[str, Any], epochs: int) -> dict[str, Any]:
    return {
        "directions": ("forward",),
        "max_tokens": 100_000_000,
        "vocabulary": {"size": 25_000, "kind": "unigram"},
        "pretrain": {
            **L2_OF_V1,
            "architecture": architecture,
            "batch_size": 100,
            "dropouts": {**FASTAI_DROPOUTS, "multiplier": 0},
            "phases": [cycle(10, 5e-3)],
        },
        "finetune": {
            **L2_OF_V1,
            "batch_size": 160,
            "dropouts": {**FASTAI_DROPOUTS, "multiplier": 0.3},
            "phases": [cycle(1, 1e-2, trainable_groups=1), cycle(epochs, 1e-3)],
        },
        "classifier": {
            **EVERY_CLASSIFIER,
            "batch_size": 160,
            "weight_decay": 0.01,
            "weight_decay_kind": "decoupled",
            "gradient_clip": 0.12,
            "label_smoothing": 0,
            "select": "best",
            "select_metric": "macro_f1",
            "dropouts": {**FASTAI_DROPOUTS, "multiplier": 0.5},
            "phases": [cycle(8, 2e-2, 1e-2 / 2.6**4)],
        },
    }


# --- MultiFiT ---------------------------------------------------------------------------------------------

MULTIFIT_DATA = {
    "directions": ("forward",),
    "max_tokens": 100_000_000,
    "min_words": 100,
    "counted_in": "runs",
    "vocabulary": {"size": 15_000, "kind": "unigram", "reading": "multifit"},
}
MULTIFIT = {
    **MULTIFIT_DATA,
    "pretrain": {
        **L2_OF_V1,
        "architecture": {**QRNN, "hidden_size": 1550, "layers": 4},
        "batch_size": 50,
        "dropouts": {**MULTIFIT_DROPOUTS, "multiplier": 0},
        "phases": [cycle(10, 5e-3)],
    },
    "finetune": {
        **L2_OF_V1,
        "batch_size": 20,
        "dropouts": {**MULTIFIT_DROPOUTS, "multiplier": 0.3},
        "phases": [cycle(1, 1e-2, trainable_groups=1), cycle(20, 1e-3)],
    },
    "classifier": {
        **EVERY_CLASSIFIER,
        "batch_size": 18,
        "weight_decay": 0.01,
        "weight_decay_kind": "decoupled",
        "gradient_clip": 0.12,
        "label_smoothing": 0.1,
        "smoothing_divided_by_classes": True,
        "select": "last",
        "dropouts": {**MULTIFIT_DROPOUTS, "multiplier": 0.5},
        "phases": [cycle(8, 2e-2, 1e-2 / 2.6**4)],
    },
}
ULMFIT_ORIG = {
    **MULTIFIT,
    "vocabulary": {"size": 60_000, "kind": "words", "reading": "own"},
    "pretrain": {**MULTIFIT["pretrain"], "architecture": {**AWD_LSTM, "hidden_size": 1150, "layers": 3}},
}


def rewritten(
    architecture: dict[str, Any],
    batch_size: int,
    rates: tuple[float, float],
    precision: str,
    epochs: tuple[int, int, int] = (10, 10, 8),
) -> dict[str, Any]:
    language_model = {
        "batch_size": batch_size,
        "bptt": 70,
        "bptt_jitter": "off",
        "weight_decay": 0.1,
        "weight_decay_kind": "decoupled",
        "gradient_clip": 0,
        "precision": precision,
    }
    return {
        **MULTIFIT_DATA,
        "pretrain": {
            **language_model,
            "architecture": architecture,
            "dropouts": {**FASTAI_DROPOUTS, "multiplier": 0.5},
            "phases": [cycle(epochs[0], rates[0])],
        },
        "finetune": {
            **language_model,
            "dropouts": {**FASTAI_DROPOUTS, "multiplier": 1},
            "phases": [cycle(1, rates[1] * 10, trainable_groups=1), cycle(epochs[1], rates[1])],
        },
        "classifier": {
            **EVERY_CLASSIFIER,
            "batch_size": 20,
            "weight_decay": 0.1,
            "weight_decay_kind": "decoupled",
            "gradient_clip": 0,
            "label_smoothing": 0.1,
            "smoothing_divided_by_classes": False,
            "dropouts": {**CLASSIFIER_DROPOUTS, "multiplier": 0.5},
            "phases": [cycle(epochs[2], 2e-2, 1e-2 / 2.6**4)],
        },
    }


QRNN_4, QRNN_3 = ({**QRNN, "hidden_size": 1552, "layers": layers} for layers in (4, 3))
LSTM_4 = {**AWD_LSTM, "hidden_size": 1552, "layers": 4}
LSTM_3 = {**AWD_LSTM, "hidden_size": 1152, "layers": 3}
BY_64, BY_128, BY_448 = (0.013333, 0.0013333), (0.026667, 0.0026667), (0.093333, 0.0093333)
"""1e-2 and 1e-3 times batch size / 48."""
ALL_20 = (20, 20, 20)

POLEVAL_QRNN = {**QRNN, "hidden_size": 1550, "layers": 4}
POLEVAL_LSTM = {**AWD_LSTM, "hidden_size": 1150, "layers": 4}

EXPECTED: dict[str, dict[str, Any]] = {
    "ulmfit": ULMFIT,
    "ulmfit_words": ULMFIT_WORDS,
    "ulmfit_imdb_scripts": IMDB_SCRIPTS,
    "fastai_v1_imdb": V1_IMDB,
    "multifit": MULTIFIT,
    "multifit_fp16": rewritten(QRNN_4, 128, BY_128, "bf16"),
    "multifit_fp16_nl3": rewritten(QRNN_3, 128, BY_128, "bf16"),
    "multifit1552_fp16_nl3_large": rewritten(QRNN_3, 448, BY_448, "bf16", ALL_20),
    "multifit1552_fp32": rewritten(QRNN_4, 64, BY_64, "fp32"),
    "multifit_fp32_nl3": rewritten(QRNN_3, 64, BY_64, "fp32"),
    "multifit_lstm": rewritten(LSTM_4, 128, BY_128, "fp32"),
    "multifit1152_lstm_nl3": rewritten(LSTM_3, 128, BY_128, "fp32"),
    "multifit1152_lstm_nl3_fp16_large": rewritten(LSTM_3, 448, BY_448, "bf16", ALL_20),
    "ulmfit_orig": ULMFIT_ORIG,
    "poleval_2018": POLEVAL_2018,
    "poleval_2019": poleval_2019(POLEVAL_QRNN, 6),
    "poleval_2019_20_epochs": poleval_2019(POLEVAL_QRNN, 20),
    "poleval_2019_lstm": poleval_2019(POLEVAL_LSTM, 6),
    "poleval_2019_lstm_20_epochs": poleval_2019(POLEVAL_LSTM, 20),
    "germeval_2017": GERMEVAL_2017,
}


def differences(found: Any, expected: Any, place: str = "") -> list[str]:
    """Name every value that is not the expected one; fields that the table leaves out are not compared."""
    if isinstance(expected, dict):
        assert isinstance(found, Settings)
        parts = [(name, getattr(found, name), value) for name, value in expected.items()]
    elif isinstance(expected, (list, tuple)) and len(found) == len(expected):
        parts = [(str(index), *pair) for index, pair in enumerate(zip(found, expected, strict=True))]
    else:
        same = found == (pytest.approx(expected, rel=1e-4) if isinstance(expected, float) else expected)
        return [] if same else [f"{place} is {found}, published: {expected}"]
    return [line for name, *pair in parts for line in differences(*pair, f"{place}.{name}")]


def test_the_table_has_every_published_preset() -> None:
    assert set(EXPECTED) == set(PUBLISHED)


@pytest.mark.parametrize("name", EXPECTED)
def test_preset_has_the_published_values(name: str) -> None:
    assert differences(PUBLISHED[name].preset, EXPECTED[name]) == []


@pytest.mark.parametrize("name", EXPECTED)
def test_every_published_classifier_is_regularized_and_reads_to_the_end(name: str) -> None:
    classifier = PUBLISHED[name].preset.classifier
    assert (classifier.ar, classifier.tar, classifier.reads, classifier.maximum_tokens) == (
        2,
        1,
        "last",
        1400,
    )


def test_presets_of_ours_are_not_regularized_until_it_is_measured() -> None:
    assert (OURS.classifier_ar, OURS.classifier_tar) == (0, 0)
    for preset in (SMALL, TOY):
        assert (preset.classifier.ar, preset.classifier.tar) == (OURS.classifier_ar, OURS.classifier_tar)
        assert preset.classifier.reads == "first"


@pytest.mark.parametrize("name", EXPECTED)
def test_a_vocabulary_of_pieces_knows_every_character_unless_it_is_told_not_to(name: str) -> None:
    preset = PUBLISHED[name].preset
    of_words = preset.vocabulary.kind == "words"
    assert of_words or preset.vocabulary.byte_fallback == OURS.byte_fallback is True
    assert ("bytes" in preset.note) == (not of_words)


def test_values_of_ours_are_where_presets_take_them_from() -> None:
    published = {name: one.preset for name, one in PUBLISHED.items()}
    assert published["ulmfit"].vocabulary.size == OURS.pieces
    assert published["ulmfit_words"].vocabulary.size == published["ulmfit"].words == OURS.words
    assert sum(one.epochs for one in published["ulmfit"].classifier.phases) == OURS.ulmfit_classifier_epochs
    for name in ("poleval_2019", "poleval_2019_20_epochs"):
        assert published[name].pretrain.batch_size == OURS.reddit_batch_size


def test_a_task_without_labels_takes_the_classifier_of_the_same_authors() -> None:
    polish, german = PUBLISHED["poleval_2018"].preset, PUBLISHED["germeval_2017"].preset
    assert (polish.finetune, polish.classifier) == (german.finetune, german.classifier)


def test_the_base_of_all_published_classifiers_keeps_the_last_epoch() -> None:
    assert CLASSIFIER.select == "last"
    assert [name for name in EXPECTED if PUBLISHED[name].preset.classifier.select != "last"] == [
        name for name in EXPECTED if name.startswith("poleval_2019")
    ]
