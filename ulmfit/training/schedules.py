"""Learning rates: over the steps of a phase, and over the layer groups of a model."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy

from ulmfit.training.settings import Phase

ONE_CYCLE_DIVISION, ONE_CYCLE_FINAL_DIVISION = 25.0, 1e5


def layer_rates(phase: Phase, groups: int) -> numpy.ndarray:
    """Return the peak rate of each layer group, lowest layer first: rate / 2.6^(distance from the top).

    With `lowest_rate` the rates lie evenly in log space between it and the highest; a single group has the
    highest. With `group_rates` each group's rate is its factor times the rate; InputError for another number
    of them.
    """
    if phase.group_rates:
        phase.check_groups(groups)
        return phase.learning_rate * numpy.array(phase.group_rates)
    distance = numpy.arange(groups - 1, -1, -1)
    if phase.lowest_rate:
        share = distance / max(groups - 1, 1)
        return phase.learning_rate * (phase.lowest_rate / phase.learning_rate) ** share
    return phase.learning_rate / phase.discriminative**distance


def slanted_triangular(
    peak: numpy.ndarray, cut_fraction: float, ratio: float
) -> Callable[[float], numpy.ndarray]:
    """Return the rate as a function of the share of steps done (ULMFiT, equation 3)."""

    def rate(share: float) -> numpy.ndarray:
        if share < cut_fraction:
            height = share / cut_fraction
        else:
            height = 1 - (share - cut_fraction) / (1 - cut_fraction)
        return peak * (1 + height * (ratio - 1)) / ratio

    return rate


def warmed_cosine(peak: numpy.ndarray, warm_up: float, floor: float) -> Callable[[float], numpy.ndarray]:
    """Return the rate as a function of the share of steps done: a line up, then half a cosine down.

    It begins and ends at `floor` times the peak, which it reaches after the share `warm_up`.
    """

    def rate(share: float) -> numpy.ndarray:
        if share < warm_up:
            height = share / warm_up
        else:
            height = (1 + math.cos(math.pi * min((share - warm_up) / (1 - warm_up), 1))) / 2
        return peak * (floor + (1 - floor) * height)

    return rate


def phase_schedules(phase: Phase, groups: int) -> dict[str, Callable[[float], object]]:
    """Return fastai schedules for `lr` (one rate per group) and `mom`: functions of the share of steps."""
    from fastai.callback.schedule import combined_cos

    peak = layer_rates(phase, groups)
    if phase.schedule == "one_cycle":
        return {
            "lr": combined_cos(
                phase.warm_up, peak / ONE_CYCLE_DIVISION, peak, peak / ONE_CYCLE_FINAL_DIVISION
            ),
            "mom": combined_cos(phase.warm_up, *phase.momentum),
        }
    momentum = phase.momentum[0]
    if phase.schedule == "stlr":
        return {"lr": slanted_triangular(peak, phase.warm_up, phase.ratio), "mom": lambda share: momentum}
    if phase.schedule == "cosine":
        return {"lr": warmed_cosine(peak, phase.warm_up, phase.floor), "mom": lambda share: momentum}
    return {"lr": lambda share: peak, "mom": lambda share: momentum}
