"""Trains a classifier with fastai's Learner and writes its predictions."""

from __future__ import annotations

import time
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy
import pandas
import torch
from torch import Tensor

from ulmfit.classifier.inference import predict_logits
from ulmfit.classifier.loader import DocumentLoader
from ulmfit.classifier.model import TextClassifier, layer_groups
from ulmfit.classifier.predictions import Predictions, write_predictions
from ulmfit.classifier.settings import ClassifierSettings
from ulmfit.classifier.stages import TrainClassifier
from ulmfit.files import read_json, write_json
from ulmfit.language_model.compute import choose_compute
from ulmfit.language_model.encoder import Encoder
from ulmfit.language_model.fit import HISTORY
from ulmfit.language_model.folder import MODEL, WEIGHTS, load_for_tokenizer
from ulmfit.language_model.loader import reading_order
from ulmfit.stage import Work
from ulmfit.tokens.tokenizer import Tokenizer, load_tokenizer
from ulmfit.training.distribution import choose_device
from ulmfit.training.learner import train
from ulmfit.training.loop import Resampled
from ulmfit.training.resampling import resampling_seed
from ulmfit.training.weights import save_weights


@dataclass(frozen=True)
class EncodedSplit:
    """One split of a data set, encoded: a token array a document, its label's number and its id."""

    ids: list[str]
    labels: list[int]
    documents: list[numpy.ndarray]
    cut: int


def build(stage: TrainClassifier, work: Work, callbacks: Sequence[Any] = ()) -> None:
    """Build a `TrainClassifier` stage; `callbacks` are fastai callbacks of a user's."""
    settings = stage.settings
    torch.manual_seed(stage.seed)
    tokenizer = load_tokenizer(work.input(stage.tokenizer))
    dataset = work.input(stage.dataset)
    labels: list[str] = read_json(dataset / "dataset.json")["labels"]
    splits = {
        split: _encode(dataset, split, labels, tokenizer, stage) for split in ("train", "valid", "test")
    }
    if cut := sum(split.cut for split in splits.values()):
        work.warn(
            f"{cut} texts are longer than {settings.maximum_tokens} tokens; the rest of them is not read"
        )
    encoder = _encoder(stage, tokenizer, work)
    encoder.compute = choose_compute(
        settings.precision, settings.engine, choose_device(settings.device), work.log
    )
    model = TextClassifier(encoder, len(labels), settings)
    train_split, valid_split = splits["train"], splits["valid"]
    loader = DocumentLoader(train_split.documents, train_split.labels, settings.batch_size, seed=stage.seed)
    valid_loader = DocumentLoader(
        valid_split.documents, valid_split.labels, settings.evaluation_batch, shuffled=False
    )
    size = f"{len(train_split.ids):,} texts, {len(loader):,} steps an epoch"
    work.log(f"{size}, {stage.direction}, seed {stage.seed}")
    work.measure("padding_share", loader.padding_share(settings.bptt))
    loss = torch.nn.CrossEntropyLoss(
        weight=_class_weights(train_split.labels, len(labels), settings),
        label_smoothing=settings.label_smoothing,
    )
    resampled = _resampled(stage, train_split, tokenizer, dataset) if settings.subword_sampling else None
    history = train(
        model,
        loader,
        valid_loader,
        loss,
        layer_groups,
        settings,
        work,
        callbacks=callbacks,
        resampled=resampled,
    )
    save_weights(model, work.folder / WEIGHTS)
    write_json(work.folder / HISTORY, history.content())
    write_json(work.folder / MODEL, _description(stage, tokenizer, labels))
    for name in ("valid", "test"):
        predictions = _predict(model, splits[name], labels, settings, work)
        write_predictions(work.folder / f"predictions-{name}.parquet", predictions)


def predict_probabilities(
    model: TextClassifier, documents: Sequence[numpy.ndarray], batch_size: int
) -> numpy.ndarray:
    """Return the probabilities (documents, K), in the order of `documents`."""
    logits = predict_logits(model, documents, batch_size)
    powers = numpy.exp(logits - logits.max(axis=1, keepdims=True))
    return powers / powers.sum(axis=1, keepdims=True)


def _encode(
    dataset: Path, split: str, labels: list[str], tokenizer: Tokenizer, stage: TrainClassifier
) -> EncodedSplit:
    table = pandas.read_parquet(dataset / f"{split}.parquet")
    encoded = tokenizer.encode(table["text"].tolist())
    numbers = {label: number for number, label in enumerate(labels)}
    limit = stage.settings.maximum_tokens
    return EncodedSplit(
        ids=table["id"].tolist(),
        labels=[numbers[label] for label in table["label"]],
        documents=_as_read(encoded, stage),
        cut=sum(len(document) > limit for document in encoded) if limit else 0,
    )


def _as_read(encoded: Sequence[numpy.ndarray], stage: TrainClassifier) -> list[numpy.ndarray]:
    """Return the tokens that the classifier reads of each text, in its direction."""
    documents = [document[: stage.settings.maximum_tokens or None] for document in encoded]
    if stage.direction == "backward":
        documents = [reading_order(document, document[0], backward=True) for document in documents]
    return documents


def _resampled(stage: TrainClassifier, split: EncodedSplit, tokenizer: Tokenizer, dataset: Path) -> Resampled:
    """Return what lends the training loader of an epoch: its texts cut into other pieces every epoch."""
    texts = pandas.read_parquet(dataset / "train.parquet", columns=["text"])["text"].tolist()
    alpha, batch_size = stage.settings.subword_sampling, stage.settings.batch_size

    def epoch(number: int) -> AbstractContextManager[DocumentLoader]:
        encoded = tokenizer.sample(texts, alpha, resampling_seed(stage.seed, number))
        documents = _as_read(encoded, stage)
        return nullcontext(DocumentLoader(documents, split.labels, batch_size, seed=stage.seed))

    return epoch


def _encoder(stage: TrainClassifier, tokenizer: Tokenizer, work: Work) -> Encoder:
    """Return the language model's encoder with the classifier's dropouts, or one with random weights."""
    dropouts = stage.settings.dropouts
    if stage.language_model is None:
        return Encoder(tokenizer.size, stage.architecture, dropouts)
    model, _ = load_for_tokenizer(
        stage.language_model, tokenizer, dropouts, work, expected=stage.architecture
    )
    return model.encoder


def _class_weights(labels: list[int], classes: int, settings: ClassifierSettings) -> Tensor | None:
    if settings.class_weights == "none":
        return None
    counts = numpy.bincount(labels, minlength=classes)
    return torch.tensor(len(labels) / (classes * counts), dtype=torch.float32)


def _predict(
    model: TextClassifier, split: EncodedSplit, labels: list[str], settings: ClassifierSettings, work: Work
) -> Predictions:
    started = time.monotonic()
    probabilities = predict_probabilities(model, split.documents, settings.evaluation_batch)
    work.measure("predicted_documents_per_second", len(split.ids) / (time.monotonic() - started))
    gold = [labels[number] for number in split.labels]
    return Predictions.from_probabilities(split.ids, gold, probabilities, labels)


def _description(stage: TrainClassifier, tokenizer: Tokenizer, labels: list[str]) -> dict[str, object]:
    return {
        "kind": "awd_lstm_classifier",
        "vocabulary_size": tokenizer.size,
        "architecture": stage.architecture.model_dump(),
        "direction": stage.direction,
        "labels": labels,
        "bptt": stage.settings.bptt,
        "maximum_tokens": stage.settings.maximum_tokens,
        "head_units": stage.settings.head_units,
    }
