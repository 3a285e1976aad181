"""The values that no source of a published preset states: ours, each once, with the reason."""

from __future__ import annotations

from typing import Final

from pydantic import Field

from ulmfit.pipeline.settings import Settings


class Ours(Settings):
    """Values of presets that have no source; everything else in a published preset has one."""

    pieces: int = Field(
        15_000,
        description="pieces of `ulmfit`, whose paper has words: as many as MultiFiT has (section 3)",
    )
    byte_fallback: bool = Field(
        True,
        description="vocabularies of pieces have 256 for bytes, so that no character is unknown; the "
        "originals had none: `--set vocabulary.byte_fallback=false`",
    )
    words: int = Field(
        30_000,
        description="words of `ulmfit_words`: the paper states no number; as tok2id.py of its scripts has "
        "for the task's texts",
    )
    ulmfit_classifier_epochs: int = Field(
        50,
        description="epochs of the classifier of `ulmfit`, those of gradual unfreezing among them: the paper "
        "says 50, and not of which phases",
    )
    reddit_batch_size: int = Field(
        100,
        description="batch size of `poleval_2019`, a QRNN, in pretraining: it is recorded for the LSTM alone",
    )
    classifier_ar: float = Field(
        0.0,
        description="AR of the classifiers of SMALL and TOY: off, since validation was no better with it "
        "(GermEval 2018 coarse, hotel reviews, 3 seeds each)",
    )
    classifier_tar: float = Field(
        0.0,
        description="TAR of the classifiers of SMALL and TOY: off, since validation was no better with it "
        "(GermEval 2018 coarse, hotel reviews, 3 seeds each)",
    )


OURS: Final = Ours()
