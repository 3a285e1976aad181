"""fastai callbacks that write a training run down: its history, the best weights, progress."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from fastai.callback.core import Callback, CancelFitException
from torch import Tensor

from ulmfit.pipeline.progress import Progress
from ulmfit.training.distribution import Distribution
from ulmfit.training.weights import own_tensors

HISTORY_POINTS = 1000
LOSS_EVERY_STEPS = 10
"""Steps between two reads of the losses from the device: every read waits for it."""


@dataclass(frozen=True)
class ValidationMetric:
    """A metric by which epochs are compared in place of the validation loss; more is better."""

    name: str
    of: Callable[[Tensor], float | None]
    """Maps the predictions of all validation batches, one after the other, to the metric; None: undefined."""


class CollectPredictions(Callback):
    """Keeps the predictions of a validation.

    A separate callback, so that training computes no predictions.
    """

    order, run_train = 79, False

    def before_validate(self) -> None:
        self.predictions: list[Tensor] = []

    def after_batch(self) -> None:
        self.predictions.append(self.learn.pred.detach())

    def take(self) -> Tensor:
        """Return the predictions of all batches, one after the other, once."""
        taken, self.predictions = torch.cat(self.predictions), []
        return taken


class History(Callback):
    """Records loss and learning rates over the steps, and validation over the epochs.

    `total_steps` are the batches expected of all phases, `total_epochs` their epochs; a step is a batch.
    `count(target)` tells how many predictions a batch holds, which weighs its loss in an epoch's mean.
    Losses are means over all ranks in `epochs`, and rank 0's in `steps`. Steps whose loss is infinite or
    undefined are left out of both. `metric` is written down for every epoch, beside the validation loss; it
    is for trainings in one process.
    """

    order = 80

    def __init__(
        self,
        total_steps: int,
        total_epochs: int,
        count: Callable[[Tensor], int],
        progress: Progress,
        distribution: Distribution,
        metric: ValidationMetric | None = None,
    ) -> None:
        self.metric = metric
        self.collected = None if metric is None else CollectPredictions()
        """Callbacks to add to the learner beside this one."""
        self.total_epochs = total_epochs
        self.thinning = max(1, total_steps // HISTORY_POINTS)
        self.count, self.progress, self.distribution = count, progress, distribution
        self.phase = self.step = self.tokens = 0
        self.steps: list[dict[str, Any]] = []
        self.epochs: list[dict[str, Any]] = []
        self.notes: dict[str, Any] = {}
        """How training differed from its settings; complete when it has ended."""
        self.train_sum = self.train_count = 0.0
        self._unread: list[tuple[dict[str, Any] | None, Tensor]] = []
        self._valid: list[tuple[Tensor, int]] = []
        self._shown = ""

    def before_train(self) -> None:
        self.train_sum = self.train_count = 0.0

    def before_validate(self) -> None:
        self._valid = []

    def after_batch(self) -> None:
        loss = self.learn.loss.detach()
        if not self.training:
            self._valid.append((loss, self.count(self.yb[0])))
            return
        self._expect_steps()
        self.step += 1
        self._unread.append((self._description() if self._is_kept() else None, loss))
        if len(self._unread) >= LOSS_EVERY_STEPS:
            self._read_losses()
        self.progress.advance(1, self._shown)

    def after_train(self) -> None:
        self._read_losses()
        self.tokens += self.learn.epoch_tokens

    def _is_kept(self) -> bool:
        """Return whether this step is written down; the ends of a phase always are, however short it is."""
        first = self.epoch == 0 and self.iter == 0
        last = self.epoch == self.n_epoch - 1 and self.iter == self.n_iter - 1
        return first or last or self.step % self.thinning == 0

    def _expect_steps(self) -> None:
        """Expect epochs as long as this one from now on; their lengths may differ."""
        left = self.n_iter * (self.total_epochs - len(self.epochs)) - self.iter
        self.progress.total = self.step + left

    def _description(self) -> dict[str, Any]:
        hypers = self.opt.hypers
        trained = [any(p.requires_grad for p in group) for group in self.opt.param_lists]
        rates = [float(hyper["lr"]) if on else None for hyper, on in zip(hypers, trained, strict=True)]
        return {
            "step": self.step,
            "phase": self.phase,
            "epoch": round(self.epoch + (self.iter + 1) / self.n_iter, 4),
            "learning_rates": rates,
            "momentum": float(hypers[-1]["mom"]),
        }

    def _read_losses(self) -> None:
        if not self._unread:
            return
        losses = torch.stack([loss for _, loss in self._unread]).tolist()
        for (description, _), loss in zip(self._unread, losses, strict=True):
            if not math.isfinite(loss):
                continue
            self.train_sum += loss
            self.train_count += 1
            if description is not None:
                self.steps.append({**description, "loss": loss})
            self._shown = f"loss {loss:.4f}"
        self._unread = []

    def after_validate(self) -> None:
        losses = torch.stack([loss for loss, _ in self._valid]).tolist() if self._valid else []
        counts = [count for _, count in self._valid]
        total = sum(counts)
        valid_sum = sum(loss * count for loss, count in zip(losses, counts, strict=True))
        self.epochs.append(
            {
                "phase": self.phase,
                "epoch": self.epoch,
                "train_loss": self._mean(self.train_sum, self.train_count),
                "valid_loss": self._mean(valid_sum, total),
            }
        )
        if self.metric is not None and self.collected is not None:
            self.epochs[-1][self.metric.name] = self.metric.of(self.collected.take())

    def compared(self) -> float:
        """Return the validation loss or minus the metric of the last epoch: lower is better."""
        value = self.epochs[-1]["valid_loss" if self.metric is None else self.metric.name]
        if value is None or math.isnan(value):
            return math.inf
        return value if self.metric is None else -value

    def _mean(self, total: float, weight: float) -> float | None:
        mean = self.distribution.mean(total / weight if weight else 0.0, weight)
        return None if math.isnan(mean) and not weight else mean

    def content(self) -> dict[str, Any]:
        """Return what is kept of a finished training, as JSON content."""
        return {"steps": self.steps, "epochs": self.epochs, **self.notes}

    def state(self) -> dict[str, Any]:
        """Return what a checkpoint keeps."""
        self._read_losses()
        names = ("phase", "step", "tokens", "steps", "epochs", "train_sum", "train_count")
        return {name: getattr(self, name) for name in names}

    def restore(self, state: dict[str, Any]) -> None:
        """Take up what a checkpoint kept."""
        for name, value in state.items():
            setattr(self, name, value)


class KeepBest(Callback):
    """Keeps the weights of the best epoch (`History.compared`); of equal ones, the first."""

    order = 85

    def __init__(self, history: History) -> None:
        self.history = history
        self.best: dict[str, Tensor] = {}
        self.lowest = math.inf

    def after_validate(self) -> None:
        value = self.history.compared()
        if value < self.lowest:
            self.lowest = value
            tensors = own_tensors(self.learn.inner)
            self.best = {name: tensor.detach().clone() for name, tensor in tensors.items()}

    def state(self) -> dict[str, Any]:
        """Return what a checkpoint keeps; the number as text, because JSON knows no infinity."""
        return {"best_loss": repr(self.lowest)}

    def restore(self, state: dict[str, Any]) -> None:
        """Take up what a checkpoint kept."""
        self.lowest = float(state["best_loss"])

    def tensors(self) -> dict[str, Tensor]:
        """Return what a checkpoint keeps."""
        return self.best

    def restore_tensors(self, tensors: dict[str, Tensor]) -> None:
        """Take up what a checkpoint kept."""
        self.best = dict(tensors)


class EarlyStopping(Callback):
    """Ends a phase after `patience` epochs that were not better than the phase's best before.

    Its schedule is not finished then: `ended` has the epochs that were done.
    """

    order = 92

    def __init__(self, history: History, patience: int) -> None:
        self.history, self.patience = history, patience
        self.phase = -1
        self.lowest = math.inf
        self.epochs_since = 0
        self.ended: list[dict[str, Any]] = []

    def after_validate(self) -> None:
        phase, value = self.history.epochs[-1]["phase"], self.history.compared()
        if phase != self.phase:
            self.phase, self.lowest, self.epochs_since = phase, math.inf, 0
        self.epochs_since = 0 if value < self.lowest else self.epochs_since + 1
        self.lowest = min(self.lowest, value)

    def after_epoch(self) -> None:
        done = self.epoch + 1
        if self.epochs_since < self.patience or self.phase != self.history.phase or done == self.n_epoch:
            return
        self.ended.append({"phase": self.phase, "epochs": done, "of_epochs": self.n_epoch})
        raise CancelFitException

    def state(self) -> dict[str, Any]:
        """Return what a checkpoint keeps."""
        names = ("phase", "epochs_since", "ended")
        return {name: getattr(self, name) for name in names} | {"lowest": repr(self.lowest)}

    def restore(self, state: dict[str, Any]) -> None:
        """Take up what a checkpoint kept."""
        self.phase, self.epochs_since, self.ended = state["phase"], state["epochs_since"], state["ended"]
        self.lowest = float(state["lowest"])
