"""The published presets by name: where each is from, what a recipe adds to it, and what is out of reach."""

from __future__ import annotations

from typing import Final, NamedTuple

from ulmfit.experiments.presets import germeval, multifit, poleval, ulmfit
from ulmfit.experiments.presets.preset import Preset


class Origin(NamedTuple):
    """The origin of presets, and the results that were published with them; Markdown."""

    title: str
    source: str
    """Paper or code, with a link."""
    beside: str
    """Settings of the published runs that are no part of a preset: fields of recipe and data set."""
    result: str
    """What was published, on which data."""
    out_of_reach: str
    """Why these figures cannot be reproduced exactly."""


class PublishedPreset(NamedTuple):
    """A preset that every recipe can run, with its origin."""

    preset: Preset
    origin: Origin


PAPER: Final = Origin(
    title="ULMFiT, the paper",
    source="[Howard & Ruder 2018](https://arxiv.org/abs/1801.06146), sections 3 and 4.1. What it"
    " does not say of pretraining, decay, clipping, AR and TAR is taken from its scripts.",
    beside="The paper fine-tunes the language model for 15 epochs on TREC-6 and for longer on "
    "larger sets: `--set finetune.phases.0.epochs=50`.",
    result="Test error of both directions averaged: IMDb 4.6, TREC-6 3.6, AG 5.01, DBpedia 0.80,"
    " Yelp-bi 2.16, Yelp-full 29.98 %.",
    out_of_reach="Pretraining is not described. The words were spaCy's, which are not here; `ulmfit` "
    "has pieces in their place.",
)
SCRIPTS: Final = Origin(
    title="ULMFiT, its scripts for IMDb",
    source="[courses/dl2/imdb_scripts](https://github.com/fastai/fastai1/tree/master/courses/dl2/imdb_scripts)"
    " of fastai 0.7: train_tri_wt.py, tok2id.py, finetune_lm.py, train_clas.py and their "
    "README.",
    beside="A tenth of the texts as validation.",
    result="IMDb, test error 4.6 % (the paper's).",
    out_of_reach="Defaults and README changed over time, and no log says which run was published. The "
    "words were spaCy's, and first capitals had no mark.",
)
NOTEBOOK: Final = Origin(
    title="fastai v1's notebook for IMDb",
    source="[examples/ULMFit.ipynb](https://github.com/fastai/fastai1/blob/master/examples/ULMFit.ipynb),"
    " fastai 1.0.53.",
    beside="`pretrained` with the released weights of both directions, `transductive=true`, and "
    "the test split as validation. Where there are no weights, pretraining is the "
    "scripts', which is our choice.",
    result="IMDb, accuracy 95.4 %, both directions averaged.",
    out_of_reach="Epochs were looked at on the test split. The words were spaCy's; a random tenth of "
    "all texts was the language model's validation.",
)
MULTIFIT: Final = Origin(
    title="MultiFiT",
    source="[Eisenschlos et al. 2019](https://arxiv.org/abs/1909.04761), section 3, and its "
    "code's "
    "[configurations.py](https://github.com/n-waves/multifit/blob/master/multifit/configurations.py),"
    " whose names these are; `multifit` is `multifit_paper_version`, `multifit_fp16` is "
    "`multifit1552_fp16`.",
    beside="`field_marks` in the data set; `--set vocabulary.character_coverage=1` for European "
    "languages and 0.99 for others, as the released models had.",
    result="MLDoc, 1,000 texts, accuracy: de 95.90, es 96.07, fr 94.77, it 90.25, ja 90.03, ru "
    "87.65, zh 92.52 %; CLS.",
    out_of_reach="Paper and logs differ by up to 0.4 points, and the best run was chosen by dev. "
    "Wikipedia's validation texts were the first articles of an "
    "unsorted folder.",
)
POLEVAL_2018: Final = Origin(
    title="PolEval 2018, task 3: a language model of Polish",
    source="[n-waves/poleval2018](https://github.com/n-waves/poleval2018), README and task3/, "
    "with n-waves' [fork of the scripts](https://github.com/n-waves/fastai); [Czapla, "
    "Howard & Kardas 2018](https://arxiv.org/abs/1810.10222).",
    beside="`--set poleval_2018=true` (rare words as U+2620, and how perplexity is counted) and "
    "`--set deduplication=exact`. The task has no labels: fine-tuning and classifier are "
    "GermEval 2017's, which is our choice.",
    result="Word perplexity 117.67 submitted, about 95 later (both unverified); the second team's: 146.71.",
    out_of_reach="The task's texts are fetched by hand (recipe pl/poleval2018). They were split by a shuffle "
    "with a seed, here by hashes; their size was limited in pieces, here in words.",
)
POLEVAL_2019: Final = Origin(
    title="PolEval 2019, task 6-1: hateful tweets",
    source="Branch "
    "[reproduce-poleval](https://github.com/n-waves/multifit/tree/reproduce-poleval) of "
    "MultiFiT's code: poleval19.sh, results/poleval19.",
    beside='Weights of the labels, `--set \'classifier.class_weights={"0": 0.5, "1": 30}\'`; '
    "`positive_label` in the data set and `--set classifier.select_metric=binary_f1`; "
    "`transductive=true`; Reddit in Polish as corpus, for the LSTM Wikipedia as well.",
    result="F1 58.58 submitted (unverified); 57.62 ± 1.57 in 38 repeated runs.",
    out_of_reach="What was submitted is not recorded: these are the settings of the later repeat. The "
    "texts of Reddit are not published. The submitted figure lies inside the noise of "
    "seeds.",
)
GERMEVAL_2017: Final = Origin(
    title="GermEval 2017: sentiment of German posts",
    source="[n-waves/ulmfit4de](https://github.com/n-waves/ulmfit4de), TRAINING.md and make_dataset/.",
    beside="`--set poleval_2018=true` for rare words as U+2620; a tenth of the texts as "
    "validation; tweets (btw17) beside German Wikipedia.",
    result="Test 1, micro F1 75.95 %; word perplexity of the language model 156.6.",
    out_of_reach="The command of the model that was scored (class4) is not recorded. The vocabulary "
    "was learnt from 30 million lines, here from 50 MB.",
)

PUBLISHED: Final[dict[str, PublishedPreset]] = {
    "ulmfit": PublishedPreset(ulmfit.ULMFIT, PAPER),
    "ulmfit_words": PublishedPreset(ulmfit.ULMFIT_WORDS, PAPER),
    "ulmfit_imdb_scripts": PublishedPreset(ulmfit.ULMFIT_IMDB_SCRIPTS, SCRIPTS),
    "fastai_v1_imdb": PublishedPreset(ulmfit.FASTAI_V1_IMDB, NOTEBOOK),
    "multifit": PublishedPreset(multifit.MULTIFIT, MULTIFIT),
    "multifit_fp16": PublishedPreset(multifit.MULTIFIT_FP16, MULTIFIT),
    "multifit_fp16_nl3": PublishedPreset(multifit.MULTIFIT_FP16_NL3, MULTIFIT),
    "multifit1552_fp16_nl3_large": PublishedPreset(multifit.MULTIFIT1552_FP16_NL3_LARGE, MULTIFIT),
    "multifit1552_fp32": PublishedPreset(multifit.MULTIFIT1552_FP32, MULTIFIT),
    "multifit_fp32_nl3": PublishedPreset(multifit.MULTIFIT_FP32_NL3, MULTIFIT),
    "multifit_lstm": PublishedPreset(multifit.MULTIFIT_LSTM, MULTIFIT),
    "multifit1152_lstm_nl3": PublishedPreset(multifit.MULTIFIT1152_LSTM_NL3, MULTIFIT),
    "multifit1152_lstm_nl3_fp16_large": PublishedPreset(multifit.MULTIFIT1152_LSTM_NL3_FP16_LARGE, MULTIFIT),
    "ulmfit_orig": PublishedPreset(multifit.ULMFIT_ORIG, MULTIFIT),
    "poleval_2018": PublishedPreset(poleval.POLEVAL_2018, POLEVAL_2018),
    "poleval_2019": PublishedPreset(poleval.POLEVAL_2019, POLEVAL_2019),
    "poleval_2019_20_epochs": PublishedPreset(poleval.POLEVAL_2019_20_EPOCHS, POLEVAL_2019),
    "poleval_2019_lstm": PublishedPreset(poleval.POLEVAL_2019_LSTM, POLEVAL_2019),
    "poleval_2019_lstm_20_epochs": PublishedPreset(poleval.POLEVAL_2019_LSTM_20_EPOCHS, POLEVAL_2019),
    "germeval_2017": PublishedPreset(germeval.GERMEVAL_2017, GERMEVAL_2017),
}
"""What `--preset` takes in every recipe; a recipe's own preset of one of these names goes before it."""
