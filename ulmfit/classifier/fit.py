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

from ulmfit.classifier.inference import predict_values
from ulmfit.classifier.loader import DocumentLoader
from ulmfit.classifier.metrics import main_score_of
from ulmfit.classifier.model import TextClassifier, layer_groups
from ulmfit.classifier.predictions import write_predictions
from ulmfit.classifier.settings import ClassifierSettings
from ulmfit.classifier.stages import TrainClassifier
from ulmfit.classifier.tasks import TaskKind, task_kind
from ulmfit.language_model.compute import Compute, choose_compute
from ulmfit.language_model.encoder import Encoder
from ulmfit.language_model.engines.proof import loss_and_gradients, proved, small_chunks
from ulmfit.language_model.fit import HISTORY
from ulmfit.language_model.folder import MODEL, WEIGHTS, described_order, load_for_tokenizer
from ulmfit.language_model.loader import reading_order
from ulmfit.pipeline.files import read_json, write_json
from ulmfit.pipeline.stage import Work
from ulmfit.tokens.loading import load_tokenizer
from ulmfit.tokens.tokenizer import Tokenizer
from ulmfit.training.distribution import choose_device
from ulmfit.training.history import ValidationMetric
from ulmfit.training.learner import train
from ulmfit.training.loop import Penalty, Resampled
from ulmfit.training.resampling import resampling_seed
from ulmfit.training.weights import load_weights, read_weights, save_weights


@dataclass(frozen=True)
class EncodedSplit:
    """One split of a data set, encoded: per document a token array, its id, and its label as in the table."""

    ids: list[str]
    labels: list[Any]
    documents: list[numpy.ndarray]
    cut: int
    probabilities: numpy.ndarray | None = None
    """Soft labels (texts, K) to learn from; None: the labels are learnt from."""


def build(stage: TrainClassifier, work: Work, callbacks: Sequence[Any] = ()) -> None:
    """Build a `TrainClassifier` stage; `callbacks` are fastai callbacks of a user's."""
    settings = stage.settings
    torch.manual_seed(stage.seed)
    tokenizer = load_tokenizer(work.input(stage.tokenizer))
    dataset = work.input(stage.dataset)
    described = read_json(dataset / "dataset.json")
    splits = {split: _encode(dataset, split, tokenizer, stage) for split in ("train", "valid", "test")}
    if cut := sum(split.cut for split in splits.values()):
        rest = "the rest of them is not read" if settings.read_tokens else "only the last ones are pooled"
        work.warn(f"{cut} texts are longer than {settings.maximum_tokens} tokens; {rest}")
    encoder = _encoder(stage, tokenizer, work)
    encoder.compute = choose_compute(
        settings.precision, settings.engine, choose_device(settings.device), work.log
    )
    train_split, valid_split = splits["train"], splits["valid"]
    task = task_kind(described, train_split.labels)
    soft = train_split.probabilities
    targets = task.targets(train_split.labels) if soft is None else soft
    model = TextClassifier(encoder, task.outputs, settings)
    if stage.begins_with is not None:
        weights = work.input(stage.begins_with) / WEIGHTS
        load_weights(model, read_weights(weights), str(weights))
    loader = _training_loader(stage, train_split.documents, targets)
    valid_loader = DocumentLoader(
        valid_split.documents, task.targets(valid_split.labels), settings.evaluation_batch, shuffled=False
    )
    size = f"{len(train_split.ids):,} texts, {len(loader):,} steps per epoch"
    work.log(f"{size}, {stage.direction}, seed {stage.seed}")
    work.measure("padding_share", loader.padding_share(settings.bptt))
    resampled = _resampled(stage, targets, tokenizer, dataset) if settings.subword_sampling else None
    metric = None
    if settings.select_metric != "loss":
        metric = _validation_metric(
            settings.select_metric, task, valid_split, valid_loader, stage.dataset.positive_label
        )
    _prove_engine(model, tokenizer.size, choose_device(settings.device), work)
    history = train(
        model,
        loader,
        valid_loader,
        task.loss(targets, settings),
        layer_groups,
        settings,
        work,
        callbacks=callbacks,
        own_callbacks=[penalty_of(model)],
        resampled=resampled,
        metric=metric,
    )
    save_weights(model, work.folder / WEIGHTS)
    write_json(work.folder / HISTORY, history.content())
    values = {name: _predict(model, splits[name], task, settings, work) for name in ("valid", "test")}
    task.tune(valid_split.labels, values["valid"])
    for name in ("valid", "test"):
        predictions = task.predictions(splits[name].ids, splits[name].labels, values[name])
        write_predictions(work.folder / f"predictions-{name}.parquet", predictions)
    write_json(work.folder / MODEL, _description(stage, tokenizer, described["labels"], task))


def _prove_engine(model: TextClassifier, vocabulary_size: int, device: torch.device, work: Work) -> None:
    """On CUDA check on two small chunks that the fast engine computes what plain torch does."""
    if device.type != "cuda":
        return
    model.to(device).train()
    encoder = model.encoder.module
    ids = torch.cat(small_chunks(vocabulary_size, device), dim=1)
    lengths = torch.full((len(ids),), ids.shape[1])

    def run(compute: Compute) -> list[Tensor]:
        encoder.compute = compute
        return loss_and_gradients(
            lambda: model.encoder(ids, lengths).square().mean(), encoder.parameters(), device
        )

    compute = proved(encoder.compute, run, work.log)
    model.encoder.take_penalty()
    encoder.compute = compute


def penalty_of(model: TextClassifier) -> Penalty:
    """Return the callback that adds AR and TAR to the loss, as far as the model's settings ask for them."""
    return Penalty(lambda _: model.encoder.take_penalty())


def _validation_metric(
    name: str, task: TaskKind, split: EncodedSplit, loader: DocumentLoader, positive_label: str | None
) -> ValidationMetric:
    """Return the metric of the split's predictions, as it is computed when training has ended.

    Thresholds of several labels are tuned anew each time. None if the model's outputs are not finite.
    """
    rows = numpy.concatenate(loader.order(0)).argsort()

    def of(outputs: Tensor) -> float | None:
        values = task.activation(outputs.double().cpu()[rows]).numpy()
        if not numpy.isfinite(values).all():
            return None
        task.tune(split.labels, values)
        return main_score_of(name, task.predictions(split.ids, split.labels, values), positive_label)

    return ValidationMetric(name, of)


def _encode(dataset: Path, split: str, tokenizer: Tokenizer, stage: TrainClassifier) -> EncodedSplit:
    table = pandas.read_parquet(dataset / f"{split}.parquet")
    encoded = tokenizer.encode(table["text"].tolist())
    limit = stage.settings.maximum_tokens
    return EncodedSplit(
        ids=table["id"].tolist(),
        labels=table["label"].tolist(),
        documents=_as_read(encoded, stage),
        cut=sum(len(document) > limit for document in encoded) if limit else 0,
        probabilities=soft_labels(table) if split == "train" else None,
    )


def soft_labels(table: pandas.DataFrame) -> numpy.ndarray | None:
    """Return the probabilities (texts, K) that a table of texts has in place of labels; None: it has none."""
    if "probabilities" not in table:
        return None
    return numpy.stack(table["probabilities"].tolist()).astype(numpy.float32)


def _as_read(encoded: Sequence[numpy.ndarray], stage: TrainClassifier) -> list[numpy.ndarray]:
    """Return the tokens that the classifier reads of each text, in its direction."""
    documents = [document[: stage.settings.read_tokens or None] for document in encoded]
    if stage.direction == "backward":
        documents = [
            reading_order(document, document[0], backward=True, order=stage.backward_order)
            for document in documents
        ]
    return documents


def _training_loader(
    stage: TrainClassifier, documents: Sequence[numpy.ndarray], targets: numpy.ndarray
) -> DocumentLoader:
    loader = DocumentLoader(documents, targets, stage.settings.batch_size, seed=stage.seed)
    loader.passes = stage.settings.passes(len(loader))
    return loader


def _resampled(
    stage: TrainClassifier, targets: numpy.ndarray, tokenizer: Tokenizer, dataset: Path
) -> Resampled:
    """Return a factory of context managers, one loader per epoch, its texts cut into new pieces."""
    texts = pandas.read_parquet(dataset / "train.parquet", columns=["text"])["text"].tolist()
    alpha = stage.settings.subword_sampling

    def epoch(number: int) -> AbstractContextManager[DocumentLoader]:
        encoded = tokenizer.sample(texts, alpha, resampling_seed(stage.seed, number))
        documents = _as_read(encoded, stage)
        return nullcontext(_training_loader(stage, documents, targets))

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


def _predict(
    model: TextClassifier, split: EncodedSplit, task: TaskKind, settings: ClassifierSettings, work: Work
) -> numpy.ndarray:
    started = time.monotonic()
    values = predict_values(model, split.documents, settings.evaluation_batch, task.activation)
    work.measure("predicted_documents_per_second", len(split.ids) / (time.monotonic() - started))
    return values


def _description(
    stage: TrainClassifier, tokenizer: Tokenizer, labels: list[str], task: TaskKind
) -> dict[str, object]:
    return {
        "kind": "awd_lstm_classifier",
        "vocabulary_size": tokenizer.size,
        "vocabulary": tokenizer.fingerprint(),
        "architecture": stage.architecture.model_dump(),
        "direction": stage.direction,
        **described_order(stage.backward_order),
        "labels": labels,
        "bptt": stage.settings.bptt,
        "maximum_tokens": stage.settings.maximum_tokens,
        "reads": stage.settings.reads,
        "head_units": stage.settings.head_units,
        **task.description(),
    }
