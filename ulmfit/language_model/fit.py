"""Trains a language model on token arrays with fastai's Learner, saves and evaluates it."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import torch
from fastai.callback.rnn import ModelResetter, RNNCallback, RNNRegularizer
from torch import Tensor

from ulmfit.errors import InputError
from ulmfit.files import read_json, write_json
from ulmfit.language_model.evaluate import document_losses, perplexities
from ulmfit.language_model.loader import StreamLoader, reading_order
from ulmfit.language_model.model import LanguageModel, layer_groups
from ulmfit.language_model.sampling import SampledStreams
from ulmfit.language_model.settings import Architecture, Dropouts, LanguageModelSettings
from ulmfit.language_model.stages import Direction, FineTune, LanguageModelStage, Pretrain
from ulmfit.stage import Work
from ulmfit.tokens.arrays import TokenArray
from ulmfit.tokens.tokenizer import Tokenizer, load_tokenizer
from ulmfit.training.learner import train
from ulmfit.training.weights import load_weights, read_weights, save_weights

WEIGHTS, MODEL, HISTORY, METRICS = "model.safetensors", "model.json", "history.json", "metrics.json"


def pretrain(stage: Pretrain, work: Work) -> None:
    """Build a `Pretrain` stage."""
    settings = stage.settings
    torch.manual_seed(settings.seed)
    tokenizer = load_tokenizer(work.input(stage.tokens.tokenizer))
    model = LanguageModel(tokenizer.size, settings.architecture, settings.dropouts)
    _fit(stage, stage.direction, settings, settings.seed, model, tokenizer, work)
    description = {
        "kind": "awd_lstm",
        "vocabulary_size": tokenizer.size,
        "architecture": settings.architecture.model_dump(),
        "direction": stage.direction,
    }
    write_json(work.folder / MODEL, description)


def fine_tune(stage: FineTune, work: Work) -> None:
    """Build a `FineTune` stage."""
    torch.manual_seed(stage.seed)
    tokenizer = load_tokenizer(work.input(stage.tokens.tokenizer))
    pretrained = work.input(stage.pretrained)
    model = load_language_model(pretrained, stage.settings.dropouts)
    if model.encoder.encoder.num_embeddings != tokenizer.size:
        raise InputError(
            f"the pretrained model has {model.encoder.encoder.num_embeddings} pieces, "
            f"the tokenizer {tokenizer.size}: use the tokenizer that it was pretrained with"
        )
    _fit(stage, stage.direction, stage.settings, stage.seed, model, tokenizer, work)
    write_json(work.folder / MODEL, read_json(pretrained / MODEL))


def load_language_model(folder: Path, dropouts: Dropouts) -> LanguageModel:
    """Load the language model of a stage's folder; raises InputError when it is none."""
    try:
        description = read_json(folder / MODEL)
        architecture = Architecture(**description["architecture"])
        vocabulary_size = description["vocabulary_size"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(f"{folder} holds no language model: {MODEL} is missing or damaged") from error
    model = LanguageModel(vocabulary_size, architecture, dropouts)
    load_weights(model, read_weights(folder / WEIGHTS), str(folder / WEIGHTS))
    return model


def language_model_loss(logits: Tensor, targets: Tensor) -> Tensor:
    """Mean cross-entropy of logits (B, T, V) against ids (B, T), in nats."""
    return torch.nn.functional.cross_entropy(logits.flatten(0, 1).float(), targets.flatten())


def _fit(
    stage: LanguageModelStage,
    direction: Direction,
    settings: LanguageModelSettings,
    seed: int,
    model: LanguageModel,
    tokenizer: Tokenizer,
    work: Work,
) -> None:
    """Train `model`, write its weights and history, and evaluate it on every split that has documents.

    With subword sampling only the training texts are cut into other pieces; validation and test never are.
    """
    backward = direction == "backward"
    folder = work.input(stage.tokens)
    arrays = {split: TokenArray.open(folder, split) for split in ("train", "valid", "test")}
    streams = {
        split: reading_order(arrays[split].tokens, tokenizer.bos_id, backward=backward)
        for split in ("train", "valid")
    }
    loader = StreamLoader(streams["train"], settings.batch_size, settings.bptt, seed=seed)
    valid_loader = StreamLoader(streams["valid"], settings.batch_size, settings.bptt, shifted=False)
    work.log(f"{len(streams['train']):,} tokens, {len(loader):,} steps an epoch, {direction}")
    regularizers = [RNNRegularizer(settings.ar, settings.tar)] if settings.ar or settings.tar else []
    resampled = None
    if settings.subword_sampling:
        documents = work.input(stage.tokens.documents) / "documents.parquet"
        sampled = SampledStreams(documents, arrays["train"], tokenizer, settings, seed, backward, work)
        resampled = sampled.epoch
    history = train(
        model,
        loader,
        valid_loader,
        language_model_loss,
        layer_groups,
        settings,
        work,
        callbacks=[ModelResetter(), RNNCallback(), *regularizers],
        resampled=resampled,
    )
    epochs = sum(phase.epochs for phase in settings.phases)
    save_weights(model, work.folder / WEIGHTS)
    write_json(work.folder / HISTORY, {"steps": history.steps, "epochs": history.epochs})
    metrics: dict[str, Any] = {
        "parameters": sum(parameter.numel() for parameter in model.parameters()),
        "training_tokens": history.tokens // epochs if settings.subword_sampling else len(streams["train"]),
        "epochs": epochs,
    }
    counts = read_json(folder / "counts.json")
    for split in ("valid", "test"):
        if len(arrays[split]):
            metrics[split] = _evaluate(model, arrays[split], counts[split], settings, backward, work)
            work.log(_describe(split, metrics[split]))
    write_json(work.folder / METRICS, metrics)


def _evaluate(
    model: LanguageModel,
    array: TokenArray,
    counts: dict[str, int],
    settings: LanguageModelSettings,
    backward: bool,
    work: Work,
) -> dict[str, float]:
    documents = [array.document(index) for index in range(len(array))]
    if backward:
        documents = [reading_order(document, document[0], backward=True) for document in documents]
    progress = work.progress(sum(map(len, documents)), "tokens evaluated")
    started = time.monotonic()
    losses = document_losses(model, documents, settings.evaluation_batch, progress.advance)
    progress.close()
    work.measure("evaluation_seconds", time.monotonic() - started)
    return perplexities(
        loss_sum=float(losses.sum()),
        documents=counts["documents"],
        tokens=counts["tokens"] - counts["documents"],
        words=counts["words"],
        characters=counts["characters"],
        unknown_tokens=counts["unknown"],
    )


def _describe(split: str, metrics: dict[str, float]) -> str:
    return (
        f"{split}: loss {metrics['loss']:.4f}, token perplexity {metrics['token_perplexity']:.2f}, "
        f"word perplexity {metrics['word_perplexity']:.2f}, "
        f"{metrics['bits_per_character']:.4f} bits a character"
    )
