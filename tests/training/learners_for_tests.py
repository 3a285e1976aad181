"""A small language model and fastai learners around it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy
import torch
from torch import Tensor

from ulmfit.language_model.learner import language_model_learner
from ulmfit.language_model.model import LanguageModel
from ulmfit.language_model.settings import Architecture, Dropouts, LanguageModelSettings
from ulmfit.training.loop import ResumableLearner

VOCABULARY, BATCH, BPTT = 40, 4, 7
NO_DROPOUT = Dropouts(multiplier=0)


def tokens(count: int = 400, seed: int = 0) -> numpy.ndarray:
    """Return ids that follow each other with some regularity."""
    random = numpy.random.default_rng(seed)
    steps = random.integers(1, 4, count)
    return (2 + numpy.cumsum(steps) % (VOCABULARY - 2)).astype(numpy.uint16)


def small_model(dropouts: Dropouts = NO_DROPOUT, seed: int = 0) -> LanguageModel:
    """Return a model of two LSTM layers with weights that depend on the seed alone."""
    torch.manual_seed(seed)
    return LanguageModel(VOCABULARY, Architecture(embedding_size=6, hidden_size=9, layers=2), dropouts)


def settings(**changes: Any) -> LanguageModelSettings:
    """Return fp32 settings for the small model."""
    plain = LanguageModelSettings(batch_size=BATCH, bptt=BPTT, precision="fp32", device="cpu")
    return plain.changed(**changes)


def small_learner(
    model: LanguageModel | None = None,
    callbacks: Sequence[Any] = (),
    metrics: Sequence[Any] = (),
    said: list[str] | None = None,
    logits: bool = False,
    **changes: Any,
) -> ResumableLearner:
    """Return a learner on invented tokens, without a progress bar; `said` collects its lines."""
    learner = language_model_learner(
        model or small_model(),
        tokens(),
        tokens(120, seed=1),
        settings(**changes),
        callbacks=callbacks,
        metrics=metrics,
        logits=logits,
        log=(said if said is not None else []).append,
    )
    learner.logger = lambda row: None
    learner.create_mbar = False
    return learner


class Batches:
    """A loader of given batches, the same in every epoch."""

    n_inp = 1

    def __init__(self, batches: Sequence[tuple[Tensor, Tensor]]) -> None:
        self.given = list(batches)

    @property
    def tokens_read(self) -> int:
        """Tokens of all batches."""
        return sum(ids.numel() for ids, _ in self.given)

    def __len__(self) -> int:
        return len(self.given)

    def batches(self, epoch: int, first: int = 0) -> Iterator[tuple[Tensor, Tensor]]:
        """Yield the batches from number `first` on."""
        yield from self.given[first:]


def weights_of(model: LanguageModel) -> dict[str, Tensor]:
    """Return copies of the parameters."""
    return {name: parameter.detach().clone() for name, parameter in model.named_parameters()}
