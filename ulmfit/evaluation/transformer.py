"""Fine-tunes a pretrained transformer on labelled texts and writes its predictions: a plain training loop.

Random numbers are drawn anew from seed and epoch at the beginning of every epoch. So a run that was killed
goes on from the end of its last whole epoch, and on a CPU it ends with the same bits as a run that was never
stopped.
"""

from __future__ import annotations

import hashlib
import math
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy
import pandas
import torch
from torch import Tensor, nn
from torch.nn import functional

from ulmfit.classifier.losses import balanced_weights
from ulmfit.classifier.metrics import main_score_of
from ulmfit.classifier.predictions import SingleLabelPredictions, write_predictions
from ulmfit.datasets.task import check_one_label, task_of
from ulmfit.evaluation.transformer_model import Encoded, LoadedTransformer, download, load_transformer
from ulmfit.evaluation.transformer_stages import HubModel, TransformerClassifier, TransformerSettings
from ulmfit.pipeline.errors import StageFailed
from ulmfit.pipeline.files import read_json, write_json
from ulmfit.pipeline.stage import Work
from ulmfit.training.checkpoint import CheckpointStore
from ulmfit.training.checkpointing import machine
from ulmfit.training.distribution import choose_device
from ulmfit.training.out_of_memory import names_batch_size
from ulmfit.training.weights import load_weights, own_tensors

RESULT = "transformer.json"
POOL_BATCHES = 50
"""Texts are sorted by length within pools of this many batches, so that batches need little padding."""

Batch = tuple[Tensor, Tensor, Tensor]
"""Ids (B, T), attention mask (B, T), label numbers (B,)."""


@dataclass(frozen=True, eq=False)
class Split:
    """The texts of one split, encoded."""

    ids: list[str]
    gold: list[str]
    labels: numpy.ndarray
    encoded: Encoded


@dataclass(frozen=True, eq=False)
class Task:
    """What the predictions are scored by."""

    labels: list[str]
    metric: str
    positive_label: str | None

    def predictions(self, split: Split, probabilities: numpy.ndarray) -> SingleLabelPredictions:
        """Return predictions on a split from probabilities (texts, K)."""
        return SingleLabelPredictions.from_probabilities(split.ids, split.gold, probabilities, self.labels)

    def score(self, predictions: SingleLabelPredictions) -> float:
        """Return the data set's metric, in 0..1."""
        return main_score_of(self.metric, predictions, self.positive_label)


def build(stage: TransformerClassifier, work: Work) -> None:
    """Build a `TransformerClassifier` stage."""
    settings = stage.settings
    device = choose_device(settings.device)
    dataset = work.input(stage.dataset)
    task = _task(dataset)
    pretrained = stage.pretrained
    folder = download(pretrained) if isinstance(pretrained, HubModel) else work.file(pretrained)
    torch.manual_seed(stage.seed)
    loaded = load_transformer(folder, task.labels, settings.maximum_tokens)
    splits = {name: _encode(dataset, name, task, loaded, settings) for name in ("train", "valid", "test")}
    _warn(splits, settings, work)
    with names_batch_size(settings.batch_size):
        loaded.model.to(device)
        training = Training(loaded, task, splits, stage, work)
        training.run()
    for name in ("valid", "test"):
        predictions = task.predictions(splits[name], training.probabilities(splits[name]))
        write_predictions(work.folder / f"predictions-{name}.parquet", predictions)
    write_json(work.folder / RESULT, _result(stage, loaded, splits, training))


class Training:
    """The training of one model: batches, updates, validation after every epoch, checkpoints."""

    def __init__(
        self,
        loaded: LoadedTransformer,
        task: Task,
        splits: dict[str, Split],
        stage: TransformerClassifier,
        work: Work,
    ) -> None:
        self.model, self.task, self.splits = loaded.model, task, splits
        self.settings, self.seed, self.work = stage.settings, stage.seed, work
        self.padding = loaded.tokenizer.pad_token_id
        self.device = next(self.model.parameters()).device
        self.optimizer = torch.optim.AdamW(
            parameter_groups(self.model, self.settings.weight_decay), eps=self.settings.epsilon
        )
        weights = balanced_weights(splits["train"].labels, len(task.labels)).to(self.device)
        self.weights = weights if self.settings.class_weights == "balanced" else None
        self.steps = -(-len(splits["train"].ids) // self.settings.batch_size)
        self.store = CheckpointStore(work.scratch() / "checkpoints", work.log)
        self.epochs: list[dict[str, float]] = []
        self.best: dict[str, Tensor] = {}
        self.chosen = self.settings.epochs
        self.seconds = 0.0

    def run(self) -> None:
        """Train from the last checkpoint, or the beginning, to the end; leave the chosen weights in place."""
        self._restore()
        self.work.record_machine(machine(self.model))
        size = f"{len(self.splits['train'].ids):,} texts, {self.steps:,} steps per epoch"
        self.work.log(f"{size}, seed {self.seed}, on {self.device.type}")
        steps = self.steps * self.settings.epochs
        progress = self.work.progress(steps, "steps", done=self.steps * len(self.epochs))
        for epoch in range(len(self.epochs), self.settings.epochs):
            started = time.monotonic()
            loss = self._epoch(epoch, progress.advance)
            self._validate(epoch, loss)
            self.seconds += time.monotonic() - started
            self._save()
        progress.close()
        if self.settings.select == "best":
            load_weights(self.model, self.best, "the best epoch")
        self.work.measure("training_seconds", self.seconds)

    def probabilities(self, split: Split) -> numpy.ndarray:
        """Return the probabilities (texts, K) in the order of the split."""
        self.model.eval()
        result = numpy.empty((len(split.ids), len(self.task.labels)))
        longest_first = numpy.argsort(-split.encoded.lengths, kind="stable")
        with torch.inference_mode():
            for chosen in _cut(longest_first, self.settings.evaluation_batch):
                logits = self._logits(self._batch(split, chosen))
                result[chosen] = logits.double().softmax(1).cpu().numpy()
        return result

    def _epoch(self, epoch: int, advance: Any) -> float:
        """Train one epoch; return its mean loss."""
        torch.manual_seed(epoch_seed(self.seed, epoch))
        self.model.train()
        total, seen = 0.0, 0
        for number, batch in enumerate(self._batches(epoch), self.steps * epoch):
            rate = learning_rate(number, self.steps * self.settings.epochs, self.settings)
            for group in self.optimizer.param_groups:
                group["lr"] = rate
            loss = functional.cross_entropy(self._logits(batch), batch[2], weight=self.weights)
            if not torch.isfinite(loss):
                raise StageFailed(
                    f"the loss of step {number + 1} is not finite: lower learning_rate ({rate:g})"
                )
            loss.backward()
            if self.settings.gradient_clip:
                nn.utils.clip_grad_norm_(self.model.parameters(), self.settings.gradient_clip)
            self.optimizer.step()
            self.optimizer.zero_grad(set_to_none=True)
            total, seen = total + float(loss.detach()) * len(batch[2]), seen + len(batch[2])
            advance(1, f"loss {total / seen:.3f}")
        return total / seen

    def _logits(self, batch: Batch) -> Tensor:
        """Return logits (B, K) in fp32."""
        bf16 = self.settings.precision == "bf16"
        with torch.autocast(self.device.type, torch.bfloat16, enabled=bf16):
            return self.model(input_ids=batch[0], attention_mask=batch[1]).logits.float()

    def _batches(self, epoch: int) -> Iterator[Batch]:
        """Yield the training batches, a function of seed and epoch alone."""
        split, size = self.splits["train"], self.settings.batch_size
        random, lengths = numpy.random.default_rng([self.seed, epoch]), split.encoded.lengths
        pools = _cut(random.permutation(len(lengths)), POOL_BATCHES * size)
        ordered = numpy.concatenate([pool[numpy.argsort(-lengths[pool], kind="stable")] for pool in pools])
        batches = _cut(ordered, size)
        for index in random.permutation(len(batches)):
            yield self._batch(split, batches[index])

    def _batch(self, split: Split, chosen: numpy.ndarray) -> Batch:
        """Pad the chosen texts to the longest of them."""
        lengths = split.encoded.lengths[chosen]
        ids = numpy.full((len(chosen), lengths.max()), self.padding, dtype=numpy.int64)
        for row, index in enumerate(chosen):
            ids[row, : lengths[row]] = split.encoded.documents[index]
        mask = (numpy.arange(ids.shape[1]) < lengths[:, None]).astype(numpy.int64)
        arrays = (ids, mask, split.labels[chosen])
        tensors = [torch.from_numpy(array).to(self.device) for array in arrays]
        return tensors[0], tensors[1], tensors[2]

    def _validate(self, epoch: int, train_loss: float) -> None:
        valid = self.splits["valid"]
        probabilities = self.probabilities(valid)
        right = probabilities[numpy.arange(len(valid.ids)), valid.labels]
        score = self.task.score(self.task.predictions(valid, probabilities))
        loss = float(-numpy.log(numpy.maximum(right, 1e-12)).mean())
        if self.settings.select == "best" and score > max(
            (one["score"] for one in self.epochs), default=-math.inf
        ):
            self.best = {name: tensor.clone() for name, tensor in own_tensors(self.model).items()}
            self.chosen = epoch + 1
        self.epochs.append({"epoch": epoch + 1, "train_loss": train_loss, "valid_loss": loss, "score": score})
        self.work.log(
            f"epoch {epoch + 1}: loss {train_loss:.4f}, valid {loss:.4f}, {self.task.metric} {score:.4f}"
        )

    def _save(self) -> None:
        tensors = {f"model.{name}": tensor for name, tensor in own_tensors(self.model).items()}
        tensors |= {f"best.{name}": tensor for name, tensor in self.best.items()}
        for number, values in self.optimizer.state_dict()["state"].items():
            tensors |= {f"optimizer.{number}.{name}": value for name, value in values.items()}
        state = {"epochs": self.epochs, "chosen": self.chosen, "seconds": self.seconds}
        self.store.save(len(self.epochs), tensors, state)

    def _restore(self) -> None:
        checkpoint = self.store.latest()
        if checkpoint is None:
            return
        parts = {name: _part(name, checkpoint.tensors) for name in ("model", "best", "optimizer")}
        load_weights(self.model, parts["model"], "the checkpoint")
        self.best = {name: tensor.to(self.device) for name, tensor in parts["best"].items()}
        moments: dict[int, dict[str, Tensor]] = {}
        for name, tensor in parts["optimizer"].items():
            number, _, key = name.partition(".")
            moments.setdefault(int(number), {})[key] = tensor
        groups = self.optimizer.state_dict()["param_groups"]
        self.optimizer.load_state_dict({"state": moments, "param_groups": groups})
        state = checkpoint.state
        self.epochs, self.chosen, self.seconds = state["epochs"], state["chosen"], state["seconds"]
        self.work.log(f"going on after epoch {len(self.epochs)}")


def learning_rate(step: int, steps: int, settings: TransformerSettings) -> float:
    """Return the rate of update `step` of `steps`, counted from 0: a line up, then a line down to zero.

    The first update of a warm-up has the rate 0, as in the reference implementations.
    """
    rising = round(steps * settings.warm_up)
    if step < rising:
        return settings.learning_rate * step / rising
    return settings.learning_rate * (steps - step) / (steps - rising)


def parameter_groups(model: nn.Module, weight_decay: float) -> list[dict[str, Any]]:
    """Split into matrices, which decay, and biases and normalization's parameters, which do not."""
    matrices = [parameter for parameter in model.parameters() if parameter.ndim > 1]
    vectors = [parameter for parameter in model.parameters() if parameter.ndim <= 1]
    return [
        {"params": matrices, "weight_decay": weight_decay},
        {"params": vectors, "weight_decay": 0.0},
    ]


def epoch_seed(seed: int, epoch: int) -> int:
    """Return the seed of an epoch's dropout: another one for every pair of seed and epoch."""
    return int.from_bytes(hashlib.sha256(f"transformer dropout {seed} {epoch}".encode()).digest()[:7])


def weights_hash(model: nn.Module) -> str:
    """Return the SHA-256 of a model's weights: names and bytes, in the order of the names."""
    result = hashlib.sha256()
    for name, tensor in sorted(own_tensors(model).items()):
        result.update(name.encode() + b"\0" + tensor.detach().cpu().contiguous().numpy().tobytes())
    return result.hexdigest()


def _task(dataset: Path) -> Task:
    description = read_json(dataset / "dataset.json")
    check_one_label(task_of(description), "a comparison with transformers")
    return Task(description["labels"], description["metric"], description.get("positive_label"))


def _encode(
    dataset: Path, name: str, task: Task, loaded: LoadedTransformer, settings: TransformerSettings
) -> Split:
    table = pandas.read_parquet(dataset / f"{name}.parquet", columns=["id", "text", "label"])
    numbers = {label: number for number, label in enumerate(task.labels)}
    gold = table["label"].tolist()
    return Split(
        ids=table["id"].tolist(),
        gold=gold,
        labels=numpy.array([numbers[label] for label in gold], dtype=numpy.int64),
        encoded=loaded.encode(table["text"].tolist(), settings.maximum_tokens),
    )


def _warn(splits: dict[str, Split], settings: TransformerSettings, work: Work) -> None:
    if cut := sum(split.encoded.cut for split in splits.values()):
        work.warn(
            f"{cut} texts are longer than {settings.maximum_tokens} pieces; the rest of them is not read"
        )
    if (share := splits["train"].encoded.unknown_share) > 0.05:
        work.warn(f"{share:.0%} of the training texts' pieces are unknown to the tokenizer")


def _cut(order: numpy.ndarray, size: int) -> list[numpy.ndarray]:
    return [order[start : start + size] for start in range(0, len(order), size)]


def _part(name: str, tensors: Any) -> dict[str, Tensor]:
    """Return the tensors whose names begin with `name` and a dot, without it."""
    return {
        key.removeprefix(f"{name}."): value for key, value in tensors.items() if key.startswith(f"{name}.")
    }


def _result(
    stage: TransformerClassifier, loaded: LoadedTransformer, splits: dict[str, Split], training: Training
) -> dict[str, Any]:
    """Return the content of `transformer.json`; how long it took is in the manifest, which is no result."""
    pretrained = stage.pretrained
    described = dict(loaded.description)
    if not isinstance(pretrained, HubModel):
        described["licence"] = pretrained.licence or described["licence"]
    return {
        "model": pretrained.label,
        "revision": pretrained.revision if isinstance(pretrained, HubModel) else None,
        **described,
        "settings": stage.settings.model_dump(mode="json", exclude={"device"}),
        "seed": stage.seed,
        "metric": training.task.metric,
        "epochs": training.epochs,
        "chosen_epoch": training.chosen,
        "weights_sha256": weights_hash(training.model),
        "cut_texts": {name: split.encoded.cut for name, split in splits.items()},
        "unknown_share": {name: split.encoded.unknown_share for name, split in splits.items()},
    }
