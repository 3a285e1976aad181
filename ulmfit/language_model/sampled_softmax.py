"""A sampled softmax: training over a part of a large vocabulary in each step.

Shapes: V vocabulary, S classes of a step, N tokens of a chunk.

As in ULMFiT's scripts and n-waves' pretraining, one sample serves all tokens of a chunk, drawn without
replacement by the pieces' frequency. They multiply the sum over the sample by 2 and leave the bias out. Here
every class is divided by its probability of being in the sample instead, so that the expected value of the
partition function is the whole one (Cohen & Kaplan 2008, "Tighter estimation using bottom k sketches").
"""

from __future__ import annotations

from typing import NamedTuple

import numpy
import torch
from torch import Tensor

from ulmfit.language_model.settings import LanguageModelSettings
from ulmfit.tokens.arrays import id_counts


class Sample(NamedTuple):
    """The classes of one step."""

    classes: Tensor
    """Their ids, int64 (S,)."""
    correction: Tensor
    """Added to their logits: minus the log of the probability of being in the sample, fp32 (S,)."""
    targets: Tensor
    """Places of the targets among the classes, int64 (N,)."""


def class_sampler(
    settings: LanguageModelSettings, tokens: numpy.ndarray, vocabulary_size: int
) -> ClassSampler | None:
    """Return the sampler that `sampled_softmax` asks for, or None; `tokens` are those of training."""
    if not settings.sampled_softmax:
        return None
    return ClassSampler(id_counts(tokens, vocabulary_size), settings.sampled_softmax)


class ClassSampler:
    """Draws the classes of a step from torch's generator of the device that the targets lie on.

    `counts` (V,) are the pieces' frequencies in the training texts; one that never occurs counts as once.
    """

    def __init__(self, counts: numpy.ndarray, samples: int) -> None:
        frequencies = numpy.maximum(counts, 1).astype(numpy.float64)
        self._frequencies = torch.from_numpy(frequencies / frequencies.sum()).float()
        self.samples = samples

    def __call__(self, targets: Tensor) -> Sample:
        """Return the sample for a chunk's targets (N,), all of which are in it, with probability 1.

        It has `samples` classes, or as many as there are tokens in the chunk, or all there are. The shapes
        depend on nothing else, and nothing waits for the device.
        """
        self._frequencies = self._frequencies.to(targets.device)
        vocabulary = len(self._frequencies)
        size = min(max(self.samples, len(targets)), vocabulary)
        # Exponential race: a class arrives at a random time, with its frequency as rate. The first to arrive
        # are a sample without replacement.
        arrivals = torch.empty_like(self._frequencies).exponential_() / self._frequencies
        arrivals.index_fill_(0, targets, -1.0)
        first = arrivals.topk(min(size + 1, vocabulary), largest=False)
        classes = first.indices[:size]
        if size == vocabulary:
            correction = torch.zeros_like(self._frequencies)
        else:
            # Given the arrival time of the first class outside, a class is inside if it arrives earlier.
            chances = -torch.expm1(-self._frequencies[classes] * first.values[size])
            correction = torch.where(arrivals[classes] < 0, 0.0, -chances.log())
        places = torch.empty_like(self._frequencies, dtype=torch.int64)
        places[classes] = torch.arange(size, device=targets.device)
        return Sample(classes, correction, places[targets])
