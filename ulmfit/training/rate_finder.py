"""The learning-rate range test (Smith 2015, arXiv 1506.01186), as fastai's `lr_find` does it.

The rate grows exponentially from batch to batch until the loss diverges. Nothing is written to disk: the
weights are copied in memory and put back.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import numpy
import torch
from fastai.callback.core import Callback, CancelFitException, CancelValidException
from torch import Tensor

from ulmfit.training.guard import Guard
from ulmfit.training.loop import ResumableLearner
from ulmfit.training.snapshot import (
    devices_of,
    pending_gradients,
    random_states,
    restore_gradients,
    restore_random_states,
)
from ulmfit.training.weights import load_weights, own_tensors

SMOOTHING = 0.98
"""Weight of the old average in the smoothed loss (fastai's)."""
DIVERGED = 4.0
"""The test ends when the smoothed loss is above the lowest so far times this (fastai's)."""
SKIPPED_AT_THE_END = 5
"""Suggestions leave out the first tenth of the losses and this many at the end: fastai's choice."""


@dataclass(frozen=True)
class RateSearch:
    """What a range test found; rates are those of the last layer group."""

    rates: list[float]
    losses: list[float]
    """Smoothed training losses, one per rate."""
    diverged: bool
    """Whether the loss diverged before the highest rate."""
    valley: float | None
    """Rate two thirds down the longest valley of the losses, fastai's suggestion; None: too few losses."""
    steep: float | None
    """Rate where the loss falls most steeply; None: too few losses."""


def find_rate(
    learn: ResumableLearner,
    *,
    lowest: float = 1e-7,
    highest: float = 10.0,
    steps: int = 100,
    group_rates: Sequence[float] = (1.0,),
) -> RateSearch:
    """Train `steps` updates with rates from `lowest` to `highest`, then put everything back as it was.

    Weights, hidden state, optimizer, random states and the learner's counters are restored, also after an
    error. `group_rates`: the rate of each layer group, lowest first, as a factor of the searched one; one
    factor: that of all groups.
    """
    steps *= learn.accumulation
    search = _Search(lowest, highest, steps, group_rates)
    with _unchanged(learn), learn.no_logging():
        learn.fit(steps // len(learn.dls.train) + 1, cbs=[search])
    first, last = steps // 10, len(search.losses) - SKIPPED_AT_THE_END
    rates, losses = search.rates[first:last], search.losses[first:last]
    return RateSearch(
        search.rates, search.losses, search.diverged, valley(rates, losses), steep(rates, losses)
    )


def valley(rates: Sequence[float], losses: Sequence[float]) -> float | None:
    """Return a rate at half of the middle third of the longest falling run of losses, gaps allowed."""
    if len(losses) < 2:
        return None
    lengths: list[int] = []
    for number, loss in enumerate(losses):
        before = [lengths[earlier] for earlier in range(number) if losses[earlier] > loss]
        lengths.append(1 + max(before, default=0))
    longest = max(lengths)
    third = longest / 3
    return rates[max(0, lengths.index(longest) - longest + int(third) + int(third / 2))]


def steep(rates: Sequence[float], losses: Sequence[float]) -> float | None:
    """Return the rate after which the loss falls most over the rate's logarithm."""
    slopes = [
        (losses[number + 1] - losses[number]) / math.log(rates[number + 1] / rates[number])
        for number in range(len(losses) - 1)
    ]
    return rates[slopes.index(min(slopes))] if slopes else None


class _Search(Callback):
    """Raises the rate from batch to batch, keeps the smoothed loss, ends the fit."""

    order, run_valid = 60, True

    def __init__(self, lowest: float, highest: float, steps: int, group_rates: Sequence[float]) -> None:
        self.lowest, self.highest, self.total = lowest, highest, steps
        self.group_rates = numpy.array(group_rates)
        self.rates: list[float] = []
        self.losses: list[float] = []
        self.diverged = False
        self.running = 0.0

    def before_batch(self) -> None:
        rate = self.lowest * (self.highest / self.lowest) ** (len(self.rates) / self.total)
        self.opt.set_hyper("lr", rate * self.group_rates)
        self.rates.append(rate)

    def after_batch(self) -> None:
        loss = float(self.learn.loss.detach())
        self.running += (1 - SMOOTHING) * (loss - self.running)
        smoothed = self.running / (1 - SMOOTHING ** len(self.rates))
        if math.isfinite(smoothed):
            self.losses.append(smoothed)
        else:
            self.rates.pop()
        self.diverged = not math.isfinite(smoothed) or smoothed > DIVERGED * min(self.losses)
        if self.diverged or len(self.rates) >= self.total:
            raise CancelFitException

    def before_validate(self) -> None:
        raise CancelValidException


@contextmanager
def _unchanged(learn: ResumableLearner) -> Iterator[None]:
    """Put back all that training changes: weights, hidden state, optimizer, random states, counters."""
    model, devices = learn.inner, devices_of(learn.inner)
    weights = {name: tensor.clone() for name, tensor in own_tensors(model).items()}
    hidden: dict[str, Tensor] = dict(model.hidden_tensors())
    gradients = {name: gradient.clone() for name, gradient in pending_gradients(model).items()}
    states, was_training = random_states(devices), model.training
    kept = {
        name: getattr(learn, name) for name in ("opt", "guard", "average", "epochs_before", "first_batch")
    }
    learn.opt, learn.average, learn.first_batch = None, None, 0
    # Undefined gradients are what the search ends at, not an error.
    learn.guard = Guard(model, learn.guard.clip, 0)
    restore_gradients(model, {})
    try:
        yield
    finally:
        for name, value in kept.items():
            setattr(learn, name, value)
        load_weights(model, weights, "the copy")
        model.restore_hidden(hidden)
        restore_gradients(model, gradients)
        model.train(was_training)
        restore_random_states(states, devices)
        if devices:
            torch.cuda.synchronize()
