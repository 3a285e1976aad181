"""Training with fastai's Learner: phases with their own schedules and frozen layers, resumed anywhere."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from functools import partial
from typing import Any, Protocol

import torch
from fastai.callback.core import TrainEvalCallback
from fastai.callback.schedule import ParamScheduler
from fastai.callback.training import GradientClip
from fastai.data.core import DataLoaders
from fastai.learner import Learner
from fastai.optimizer import OptimWrapper
from torch import Tensor, nn

from ulmfit.errors import InputError
from ulmfit.stage import Work
from ulmfit.training.callbacks import Checkpointer, History, KeepBest, machine
from ulmfit.training.checkpoint import Checkpoint, CheckpointStore
from ulmfit.training.schedules import phase_schedules
from ulmfit.training.settings import Phase, TrainingSettings
from ulmfit.training.weights import load_weights


class Loader(Protocol):
    """Batches of an epoch as a function of its number, so that a resumed run sees the same ones."""

    @property
    def tokens_read(self) -> int:
        """Tokens that an epoch reads."""

    def __len__(self) -> int: ...

    def batches(self, epoch: int, first: int) -> Any:
        """Yield the batches of `epoch` from number `first` on."""


Resampled = Callable[[int], AbstractContextManager[Loader]]
"""Lends the training loader of an epoch, where texts are cut into pieces anew every epoch."""


class ResumableLearner(Learner):
    """fastai's Learner, which can begin an epoch in its middle: at batch `first_batch`.

    fastai counts the epochs of every phase from 0; `epochs_before` are those of earlier phases, so that no
    two epochs of a run see the same batches. The epochs of `resampled` differ in length. Schedules are
    functions of the share of the phase that is done, in which every epoch has the same share whatever its
    length: each step of an epoch of n steps is 1 / (n x epochs) of the phase.
    """

    first_batch = 0
    epochs_before = 0
    resampled: Resampled | None = None

    def all_batches(self) -> None:
        """Run the batches of this epoch that are left."""
        epoch = self.epochs_before + self.epoch
        if not self.training:
            self._run(self.dl, epoch, 0)
            return
        with self.resampled(epoch) if self.resampled else nullcontext(self.dl) as loader:
            self.history.expect(len(loader), self.first_batch)
            self._run(loader, epoch, self.first_batch)
            self.history.tokens += loader.tokens_read

    def _run(self, loader: Loader, epoch: int, first: int) -> None:
        self.n_iter = len(loader)
        for index, batch in enumerate(loader.batches(epoch, first), first):
            self.one_batch(index, batch)


class Loaders(DataLoaders):
    """fastai's pair of loaders, on a device that is ours to choose."""

    def __init__(self, train_loader: Loader, valid_loader: Loader, device: torch.device) -> None:
        super().__init__(train_loader, valid_loader)
        self._device = device


def choose_device(setting: str) -> torch.device:
    """Return the device that a setting means."""
    if setting == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(setting)
    except RuntimeError as error:
        raise InputError(f"device {setting!r}: expected auto, cpu, cuda or cuda:N") from error
    if device.type == "cuda" and not torch.cuda.is_available():
        raise InputError(f"device {setting!r}: torch finds no GPU here; expected auto or cpu")
    return device


def train(
    model: nn.Module,
    train_loader: Loader,
    valid_loader: Loader,
    loss_function: Callable[..., Tensor],
    layer_groups: Callable[[Any], Sequence[Sequence[nn.Parameter]]],
    settings: TrainingSettings,
    work: Work,
    *,
    callbacks: Sequence[Any] = (),
    resampled: Resampled | None = None,
) -> History:
    """Train `model` in place through all phases, going on from the last checkpoint where there is one.

    `layer_groups` splits the parameters, lowest layer first; they share rates and are frozen together.
    `resampled` lends the loader of each epoch in place of `train_loader`, which then only says how many steps
    are to be expected.
    Returns the history; the model is on its device, with the selected weights.
    """
    device = choose_device(settings.device)
    model.to(device)
    epochs = sum(phase.epochs for phase in settings.phases)
    steps = epochs * len(train_loader)
    store = CheckpointStore(work.scratch() / "checkpoints", work.log)
    resume = store.latest()
    progress = work.progress(steps, "steps", resume.state["history"]["step"] if resume else 0)
    history = History(steps, epochs, lambda target: target.numel(), progress)
    best = KeepBest(history) if settings.select == "best" else None
    checkpointer = Checkpointer(
        store,
        history,
        best,
        steps=settings.checkpoint_steps,
        minutes=settings.checkpoint_minutes,
        resume=resume,
    )
    learner = ResumableLearner(
        Loaders(train_loader, valid_loader, device),
        model,
        loss_func=loss_function,
        opt_func=partial(OptimWrapper, opt=torch.optim.AdamW, betas=(0.9, settings.beta2), fused=True),
        splitter=layer_groups,
        wd=settings.weight_decay,
        cbs=[TrainEvalCallback(), history, checkpointer, *([best] if best else []), *callbacks],
        default_cbs=False,
    )
    learner.resampled = resampled
    if settings.gradient_clip:
        learner.add_cb(GradientClip(settings.gradient_clip))
    if resume:
        _announce(resume, device, work)
    for index, phase in enumerate(settings.phases):
        if resume and index < resume.state["phase"]:
            continue
        history.phase = index
        learner.epochs_before = sum(earlier.epochs for earlier in settings.phases[:index])
        start_epoch = resume.state["epoch"] if resume and index == resume.state["phase"] else 0
        _run_phase(learner, phase, start_epoch)
        _log_phase(history, index, len(settings.phases), work)
    progress.close()
    seconds = checkpointer.seconds()
    work.measure("training_seconds", seconds)
    work.measure("tokens_per_second", history.tokens / max(seconds, 1e-9))
    work.record_machine(machine(device))
    if best is not None and best.best:
        load_weights(model, best.best, "the best epoch")
    return history


def _run_phase(learner: Learner, phase: Phase, start_epoch: int) -> None:
    """Run one phase with an optimizer of its own, so that frozen layers carry no old momentum."""
    for parameter in learner.model.parameters():
        parameter.grad = None
    learner.create_opt()
    groups = len(learner.opt.param_lists)
    trainable = min(phase.trainable_groups or groups, groups)
    learner.opt.freeze_to(groups - trainable)
    schedules = phase_schedules(phase, groups)
    learner.fit(phase.epochs, cbs=[ParamScheduler(schedules)], start_epoch=start_epoch)


def _announce(resume: Checkpoint, device: torch.device, work: Work) -> None:
    state = resume.state
    work.log(f"going on from phase {state['phase'] + 1}, epoch {state['epoch'] + 1}, batch {state['batch']}")
    here = machine(device)
    if state["machine"] != here:
        work.warn(
            f"the checkpoint was made on {state['machine']}, this is {here}: not equal to the bit any more"
        )


def _log_phase(history: History, index: int, phases: int, work: Work) -> None:
    last = history.epochs[-1]
    train_loss = "-" if last["train_loss"] is None else f"{last['train_loss']:.4f}"
    valid_loss = "-" if last["valid_loss"] is None else f"{last['valid_loss']:.4f}"
    work.log(f"phase {index + 1} of {phases}: training loss {train_loss}, validation loss {valid_loss}")
