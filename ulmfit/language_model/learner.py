"""A fastai Learner for a language model, to experiment with in a notebook."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy

from ulmfit.language_model.compute import choose_compute
from ulmfit.language_model.engines.cuda_graph import GraphedStep, replays_steps
from ulmfit.language_model.forgetting import forgetting
from ulmfit.language_model.loader import StreamLoader, in_its_length
from ulmfit.language_model.loss import LanguageModelLoss, StreamLoss
from ulmfit.language_model.model import LanguageModel, layer_groups
from ulmfit.language_model.sampled_softmax import class_sampler
from ulmfit.language_model.scaled_rate import scaled_rates
from ulmfit.language_model.settings import LanguageModelSettings
from ulmfit.pipeline.progress import say
from ulmfit.training.distribution import choose_device
from ulmfit.training.learner import make_learner
from ulmfit.training.loop import ResumableLearner
from ulmfit.training.precision import resolve_precision


def language_model_learner(
    model: LanguageModel,
    train_tokens: numpy.ndarray,
    valid_tokens: numpy.ndarray,
    settings: LanguageModelSettings,
    *,
    offsets: numpy.ndarray | None = None,
    seed: int = 0,
    callbacks: Sequence[Any] = (),
    metrics: Sequence[Any] = (),
    logits: bool = False,
    log: Callable[[str], None] = say,
) -> ResumableLearner:
    """Return fastai's Learner on two arrays of token ids, as `make_learner` does for any model.

    learn = language_model_learner(model, train, valid, LanguageModelSettings(), metrics=[accuracy])
    learn.fit_one_cycle(1, 5e-3)

    `offsets` are those of a `TokenArray`: the begins of the training documents, and the end of the last.
    Without them the documents are not shuffled, whatever the settings say.
    `learn.pred` are logits (B, T, V), `learn.outputs` also the outputs of the last layer before and after
    dropout. A callback that reads logits after the step, when the weights have changed, needs `logits=True`;
    else they are made from the first time on that somebody reads them. Of `settings` the dropouts and the
    phases are not used: those are the model's and the caller's.
    """
    device = choose_device(settings.device)
    precision = resolve_precision(settings.precision, settings.device)
    model.set_compute(choose_compute(precision, settings.engine, device, log))
    loss = LanguageModelLoss(settings.label_smoothing)
    sampler = class_sampler(settings, train_tokens, model.encoder.encoder.num_embeddings)
    fused = StreamLoss(model, loss, settings.ar, settings.tar, sampler)
    replays = replays_steps(settings, device, log)
    loader = StreamLoader(
        train_tokens,
        settings.batch_size,
        settings.bptt,
        offsets=offsets if settings.shuffle_documents else None,
        seed=seed,
        jitter=settings.bptt_jitter != "off",
        device=device,
    )
    learner = make_learner(
        model,
        loader,
        StreamLoader(valid_tokens, settings.batch_size, settings.bptt, shifted=False, device=device),
        loss,
        layer_groups,
        settings,
        callbacks=[*callbacks, *forgetting(settings, loader), *scaled_rates(settings)],
        metrics=metrics,
        fused=fused,
        replayed=GraphedStep(model, fused, log) if replays else None,
        logits=logits,
        log=log,
    )
    if loader.jitter:
        learner.resampled = in_its_length(loader)
    return learner
