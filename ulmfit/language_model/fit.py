"""Trains a language model on token arrays with fastai's Learner, saves and evaluates it."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

import torch
from torch import Tensor

from ulmfit.language_model.compute import Compute, choose_compute
from ulmfit.language_model.engines.cuda_graph import GraphedStep, replays_steps
from ulmfit.language_model.engines.proof import loss_and_gradients, proved, small_chunks
from ulmfit.language_model.evaluate import evaluate_splits
from ulmfit.language_model.folder import MODEL, WEIGHTS, describe_model, load_for_tokenizer, piece_counts
from ulmfit.language_model.forgetting import forgetting
from ulmfit.language_model.loader import StreamLoader, as_read, in_its_length
from ulmfit.language_model.loss import LanguageModelLoss, StreamLoss
from ulmfit.language_model.model import LanguageModel, layer_groups
from ulmfit.language_model.sampled_softmax import class_sampler
from ulmfit.language_model.sampling import SampledStreams
from ulmfit.language_model.scaled_rate import scaled_rates
from ulmfit.language_model.settings import LanguageModelSettings
from ulmfit.language_model.stages import FineTune, Pretrain
from ulmfit.language_model.vocabulary import VocabularyMatch
from ulmfit.pipeline.files import read_json, write_json
from ulmfit.pipeline.stage import Work
from ulmfit.tokens.arrays import TokenArray
from ulmfit.tokens.loading import load_tokenizer
from ulmfit.tokens.tokenizer import Tokenizer
from ulmfit.training.distribution import current_distribution
from ulmfit.training.learner import train
from ulmfit.training.loop import Resampled
from ulmfit.training.weights import save_weights

HISTORY, METRICS = "history.json", "metrics.json"


def pretrain(stage: Pretrain, work: Work, callbacks: Sequence[Any] = ()) -> None:
    """Build a `Pretrain` stage; `callbacks` are fastai callbacks of a user's."""
    settings = stage.settings
    torch.manual_seed(settings.seed)
    tokenizer = load_tokenizer(work.input(stage.tokens.tokenizer))
    model = LanguageModel(tokenizer.size, settings.architecture, settings.dropouts)
    description = describe_model(settings.architecture, tokenizer.size, stage.direction)
    _fit(stage, settings, settings.seed, model, tokenizer, work, description, callbacks)


def fine_tune(stage: FineTune, work: Work, callbacks: Sequence[Any] = ()) -> None:
    """Build a `FineTune` stage; a model of another tokenizer gets this one's vocabulary first."""
    torch.manual_seed(stage.seed)
    tokenizer = load_tokenizer(work.input(stage.tokens.tokenizer))
    counts = piece_counts(work.input(stage.tokens), tokenizer.size)
    model, match = load_for_tokenizer(stage.pretrained, tokenizer, stage.settings.dropouts, work, counts)
    pretrained = read_json(work.input(stage.pretrained) / MODEL)
    description = {**pretrained, "vocabulary_size": tokenizer.size}
    _fit(stage, stage.settings, stage.seed, model, tokenizer, work, description, callbacks, match)


def _fit(
    stage: Pretrain | FineTune,
    settings: LanguageModelSettings,
    seed: int,
    model: LanguageModel,
    tokenizer: Tokenizer,
    work: Work,
    description: dict[str, Any],
    callbacks: Sequence[Any],
    match: VocabularyMatch | None = None,
) -> None:
    """Train `model`, write its weights and history, and evaluate it on every split that has documents.

    With subword sampling only the training texts are cut into other pieces; validation and test never are.
    Of several processes all train, and rank 0 alone writes and evaluates.
    """
    distribution = current_distribution(settings)
    distribution.check_batch_size(settings.batch_size)
    model.set_compute(choose_compute(settings.precision, settings.engine, distribution.device, work.log))
    backward = stage.direction == "backward"
    folder = work.input(stage.tokens)
    plain = TokenArray.open(folder, "train")
    array, valid_array = (
        as_read(one, tokenizer.bos_id, backward=backward, order=stage.backward_order)
        for one in (plain, TokenArray.open(folder, "valid"))
    )
    new_loader = partial(
        StreamLoader,
        batch_size=settings.batch_size,
        bptt=settings.bptt,
        rank=distribution.rank,
        ranks=distribution.world,
        device=distribution.device,
    )
    offsets = array.offsets if settings.shuffle_documents else None
    jitter = settings.bptt_jitter != "off"
    loader = new_loader(array.tokens, offsets=offsets, seed=seed, jitter=jitter)
    valid_loader = new_loader(valid_array.tokens, shifted=False)
    work.log(f"{len(array.tokens):,} tokens, {len(loader):,} steps an epoch, {stage.direction}")
    resampled: Resampled | None = in_its_length(loader) if jitter else None
    if settings.subword_sampling:
        documents = work.input(stage.tokens.documents) / "documents.parquet"
        resampled = SampledStreams(
            documents,
            plain,
            tokenizer,
            settings,
            seed,
            backward,
            work,
            distribution,
            stage.backward_order,
        ).epoch
    loss = LanguageModelLoss(settings.label_smoothing)
    sampler = class_sampler(settings, array.tokens, tokenizer.size)
    fused = StreamLoss(model, loss, settings.ar, settings.tar, sampler)
    _prove_engine(model, fused, tokenizer.size, distribution.device, work)
    replays = distribution.world == 1 and replays_steps(settings, distribution.device, work.log)
    history = train(
        model,
        loader,
        valid_loader,
        loss,
        layer_groups,
        settings,
        work,
        callbacks=callbacks,
        own_callbacks=[*forgetting(settings, loader), *scaled_rates(settings)],
        resampled=resampled,
        fused=fused,
        replayed=GraphedStep(model, fused, work.log) if replays else None,
        distribution=distribution,
    )
    distribution.finish()
    if not distribution.is_main:
        return
    save_weights(model, work.folder / WEIGHTS)
    write_json(work.folder / HISTORY, history.content())
    write_json(work.folder / MODEL, description)
    epochs = len(history.epochs)
    metrics: dict[str, Any] = {
        "parameters": sum(parameter.numel() for parameter in model.parameters()),
        "training_tokens": history.tokens // epochs if settings.subword_sampling else len(array.tokens),
        "epochs": epochs,
    }
    if match is not None:
        metrics["vocabulary"] = match.summary()
    figures = evaluate_splits(model, folder, tokenizer, settings, backward, work, order=stage.backward_order)
    metrics |= {split: of_split.model_dump(mode="json") for split, of_split in figures.items()}
    write_json(work.folder / METRICS, metrics)


def _prove_engine(
    model: LanguageModel, loss: StreamLoss, vocabulary_size: int, device: torch.device, work: Work
) -> None:
    """On CUDA let the fast engine show on two small chunks that it computes what plain torch does."""
    if device.type != "cuda":
        return
    model.to(device).train()
    chunks = small_chunks(vocabulary_size, device)

    def total() -> Tensor:
        model.reset()
        losses = []
        for ids in chunks:
            outputs = model(ids[:, :-1])
            penalty = loss.penalty(outputs)
            losses.append(loss(outputs, ids[:, 1:]) + (0.0 if penalty is None else penalty))
        return torch.stack(losses).sum()

    def run(compute: Compute) -> list[Tensor]:
        model.set_compute(compute)
        return loss_and_gradients(total, model.parameters(), device)

    model.makes_logits = False
    try:
        compute = proved(model.encoder.compute, run, work.log)
    finally:
        model.makes_logits = True
        model.reset()
    model.set_compute(compute)
