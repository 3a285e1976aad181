"""fastai callbacks: history, checkpoints and resume, the best weights, progress."""

from __future__ import annotations

import math
import time
from typing import Any

import torch
from fastai.callback.core import Callback
from torch import Tensor

from ulmfit.errors import StageFailed
from ulmfit.progress import Progress
from ulmfit.training.checkpoint import Checkpoint, CheckpointStore
from ulmfit.training.weights import load_weights, own_tensors

HISTORY_POINTS = 1000
LOSS_EVERY_STEPS = 10
"""The loss is read from the device this often: every read waits for it."""


class History(Callback):
    """Writes down what happened: loss and learning rates over the steps, validation over the epochs.

    `total_steps` are the optimizer steps expected of all phases, `total_epochs` their epochs.
    `count(target)` tells how many predictions a batch holds, which weighs its loss in an epoch's mean.
    """

    order = 80

    def __init__(self, total_steps: int, total_epochs: int, count, progress: Progress) -> None:
        self.total_epochs = total_epochs
        self.thinning = max(1, total_steps // HISTORY_POINTS)
        self.count = count
        self.progress = progress
        self.phase = self.step = self.tokens = 0
        self.steps: list[dict[str, Any]] = []
        self.epochs: list[dict[str, Any]] = []
        self.train_sum = self.train_count = 0.0

    def expect(self, steps: int, first: int) -> None:
        """Expect epochs of `steps` steps from now on; the current one begins with number `first`."""
        self.progress.total = self.step - first + steps * (self.total_epochs - len(self.epochs))

    def before_train(self) -> None:
        self.train_sum = self.train_count = 0.0

    def before_validate(self) -> None:
        self._valid: list[tuple[float, int]] = []

    def after_batch(self) -> None:
        if not self.training:
            self._valid.append((float(self.learn.loss.detach()), self.count(self.yb[0])))
            return
        self.step += 1
        if self.step % LOSS_EVERY_STEPS == 0 or self.step % self.thinning == 0:
            self._read_loss()
        self.progress.advance(1, f"loss {self.steps[-1]['loss']:.4f}" if self.steps else "")

    def _read_loss(self) -> None:
        loss = float(self.learn.loss.detach())
        if not math.isfinite(loss):
            raise StageFailed(
                f"the loss is {loss} at step {self.step}: lower the learning rate, or set gradient_clip"
            )
        self.train_sum += loss
        self.train_count += 1
        if self.step % self.thinning == 0:
            hypers = self.opt.hypers
            trained = [any(p.requires_grad for p in group) for group in self.opt.param_lists]
            rates = [hyper["lr"] if on else None for hyper, on in zip(hypers, trained, strict=True)]
            self.steps.append(
                {
                    "step": self.step,
                    "phase": self.phase,
                    "epoch": round(self.epoch + (self.iter + 1) / self.n_iter, 4),
                    "loss": loss,
                    "learning_rates": rates,
                    "momentum": hypers[-1]["mom"],
                }
            )

    def after_validate(self) -> None:
        total = sum(count for _, count in self._valid)
        valid_loss = sum(loss * count for loss, count in self._valid) / total if total else None
        train_loss = self.train_sum / self.train_count if self.train_count else None
        self.epochs.append(
            {
                "phase": self.phase,
                "epoch": self.epoch,
                "train_loss": train_loss,
                "valid_loss": valid_loss,
            }
        )

    def state(self) -> dict[str, Any]:
        """Return what a checkpoint keeps."""
        names = ("phase", "step", "tokens", "steps", "epochs", "train_sum", "train_count")
        return {name: getattr(self, name) for name in names}

    def restore(self, state: dict[str, Any]) -> None:
        """Take up what a checkpoint kept."""
        for name, value in state.items():
            setattr(self, name, value)


class KeepBest(Callback):
    """Keeps the weights of the epoch with the lowest validation loss."""

    order = 85

    def __init__(self, history: History) -> None:
        self.history = history
        self.best: dict[str, Tensor] = {}
        self.best_loss = math.inf

    def after_validate(self) -> None:
        loss = self.history.epochs[-1]["valid_loss"]
        if loss is not None and loss < self.best_loss:
            self.best_loss = loss
            self.best = {name: tensor.detach().clone() for name, tensor in own_tensors(self.model).items()}


class Checkpointer(Callback):
    """Saves the whole state of training by steps and by minutes, and takes it up again inside an epoch."""

    order = 95

    def __init__(
        self,
        store: CheckpointStore,
        history: History,
        best: KeepBest | None,
        *,
        steps: int,
        minutes: float,
        resume: Checkpoint | None,
    ) -> None:
        self.store, self.history, self.best = store, history, best
        self.steps, self.minutes = steps, minutes
        self.resume = resume
        self._saved = self._started = time.monotonic()
        self._seconds_before = resume.state["seconds"] if resume else 0.0

    def seconds(self) -> float:
        """Return the seconds of training until now, those before a resume included."""
        return self._seconds_before + time.monotonic() - self._started

    def before_train(self) -> None:
        """Restore the checkpoint just before the first batch that it has not seen."""
        if self.resume is None:
            self.learn.first_batch = 0
            return
        tensors, state = self.resume
        self.resume = None
        load_weights(self.model, _part(tensors, "model."), "the checkpoint")
        _restore_optimizer(self.opt.opt, _part(tensors, "optimizer."), state["optimizer"])
        self.model.restore_hidden(_part(tensors, "hidden."))
        self.history.restore(state["history"])
        if self.best is not None:
            self.best.best_loss, self.best.best = state["best_loss"], _part(tensors, "best.")
        self.learn.pct_train, self.learn.train_iter = state["pct_train"], state["train_iter"]
        self.learn.first_batch = state["batch"]
        _restore_random_state(tensors)

    def after_batch(self) -> None:
        if not self.training:
            return
        due_by_steps = self.steps and self.history.step % self.steps == 0
        due_by_time = self.minutes and time.monotonic() - self._saved > 60 * self.minutes
        if due_by_steps or due_by_time:
            self.save()
            self._saved = time.monotonic()

    def save(self) -> None:
        """Write a checkpoint that continues with the next batch."""
        optimizer_tensors, optimizer_state = _optimizer_state(self.opt.opt)
        tensors = {
            **_named("model.", own_tensors(self.model)),
            **_named("optimizer.", optimizer_tensors),
            **_named("hidden.", self.model.hidden_tensors()),
            **_random_state(),
        }
        state = {
            "phase": self.history.phase,
            "epoch": self.epoch,
            "batch": self.iter + 1,
            "pct_train": self.pct_train,
            "train_iter": self.train_iter,
            "optimizer": optimizer_state,
            "history": self.history.state(),
            "seconds": self.seconds(),
            "machine": machine(next(self.model.parameters()).device),
        }
        if self.best is not None:
            tensors |= _named("best.", self.best.best)
            state["best_loss"] = self.best.best_loss
        self.store.save(self.history.step, tensors, state)


def machine(device: torch.device) -> dict[str, Any]:
    """Return what has to be equal for a resumed run to be equal to the bit."""
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else device.type
    return {"device": name, "threads": torch.get_num_threads(), "torch": torch.__version__}


def _named(prefix: str, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    return {prefix + name: tensor for name, tensor in tensors.items()}


def _part(tensors: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {name[len(prefix) :]: tensor for name, tensor in tensors.items() if name.startswith(prefix)}


def _optimizer_state(optimizer: torch.optim.Optimizer) -> tuple[dict[str, Tensor], dict[str, Any]]:
    content = optimizer.state_dict()
    tensors = {
        f"{index}.{name}": value for index, state in content["state"].items() for name, value in state.items()
    }
    return tensors, {"param_groups": content["param_groups"]}


def _restore_optimizer(
    optimizer: torch.optim.Optimizer, tensors: dict[str, Tensor], state: dict[str, Any]
) -> None:
    by_parameter: dict[int, dict[str, Tensor]] = {}
    for full_name, tensor in tensors.items():
        index, name = full_name.split(".", 1)
        by_parameter.setdefault(int(index), {})[name] = tensor
    optimizer.load_state_dict({"state": by_parameter, "param_groups": state["param_groups"]})


def _random_state() -> dict[str, Tensor]:
    states = {"random.cpu": torch.get_rng_state()}
    if torch.cuda.is_available():
        states["random.cuda"] = torch.cuda.get_rng_state()
    return states


def _restore_random_state(tensors: dict[str, Tensor]) -> None:
    torch.set_rng_state(tensors["random.cpu"])
    if torch.cuda.is_available() and "random.cuda" in tensors:
        torch.cuda.set_rng_state(tensors["random.cuda"])
