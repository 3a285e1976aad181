"""Learning rates that follow the length of a chunk, where lengths are random."""

from __future__ import annotations

from typing import Any

import numpy
from fastai.callback.core import Callback

from ulmfit.language_model.settings import LanguageModelSettings


def scaled_rates(settings: LanguageModelSettings) -> list[Callback]:
    """Return the callbacks that `bptt_jitter` asks for: one, or none."""
    return [ScaledRate(settings.bptt)] if settings.bptt_jitter == "scaled" else []


class ScaledRate(Callback):
    """Multiplies the rate of a step by the length of its chunk / bptt, as AWD-LSTM's training does.

    With accumulation the last chunk of an update counts. The history shows the scaled rates.
    """

    # After the schedule has set the rate. It is set back after the history and before a checkpoint.
    order, run_valid = 85, False

    def __init__(self, bptt: int) -> None:
        self.bptt = bptt
        self.rates: Any = None

    def before_batch(self) -> None:
        self.rates = numpy.array([hyper["lr"] for hyper in self.opt.hypers])
        self.opt.set_hyper("lr", self.rates * (self.xb[0].shape[1] / self.bptt))

    def after_batch(self) -> None:
        self.opt.set_hyper("lr", self.rates)
