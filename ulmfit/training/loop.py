"""fastai's Learner with a loop of our own underneath: no waiting for the device, losses without logits.

A model's outputs are whatever it returns; its prediction is what losses and metrics compare with targets.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any, Protocol

import torch
from fastai.callback.core import Callback, CancelBackwardException, CancelStepException
from fastai.callback.rnn import RNNRegularizer
from fastai.data.core import DataLoaders
from fastai.learner import Learner
from torch import Tensor, nn

from ulmfit.pipeline.errors import InputError
from ulmfit.training.averaging import WeightAverage
from ulmfit.training.guard import Guard
from ulmfit.training.recorder import loggable
from ulmfit.training.settings import TrainingSettings


class Loader(Protocol):
    """Batches of an epoch as a function of its number, so that a resumed run sees the same ones."""

    @property
    def tokens_read(self) -> int:
        """Tokens that an epoch reads."""

    def __len__(self) -> int: ...

    def batches(self, epoch: int, first: int) -> Any:
        """Yield the batches of `epoch` from number `first` on."""


Resampled = Callable[[int], AbstractContextManager[Loader]]
"""Gives the training loader of an epoch, as a context manager; epochs may differ in length."""


class SequenceLoss(Protocol):
    """What a language model adds to plain training: a loss without logits, and a penalty on its outputs."""

    def __call__(self, outputs: Any, targets: Tensor) -> Tensor:
        """Return the loss that the loss function gives for the prediction, without making it."""

    def prediction(self, outputs: Any) -> Tensor:
        """Return the logits."""

    def penalty(self, outputs: Any) -> Tensor | None:
        """Return what is added to the loss before the backward pass; None: nothing."""


class ReplayedStep(Protocol):
    """A training step from the forward to the backward pass in one go; `fused` computes the same loss."""

    outputs: Any
    """What the model returned in the last step."""

    def __call__(self, inputs: Tensor, targets: Tensor, /) -> Tensor | None:
        """Return the loss and leave gradients in `.grad`; None: nothing was done, the step runs as usual."""


EVENTS_OF_A_STEP = ("after_pred", "after_loss", "before_backward", "after_backward")


class Loaders(DataLoaders):
    """fastai's pair of loaders, on a device that is ours to choose."""

    def __init__(self, train_loader: Loader, valid_loader: Loader, device: torch.device) -> None:
        super().__init__(train_loader, valid_loader)
        self._device = device


class ResetState(Callback):
    """Resets the model's hidden state before every epoch and every validation, as fastai does."""

    def before_train(self) -> None:
        self._reset()

    def before_validate(self) -> None:
        self._reset()

    def after_fit(self) -> None:
        self._reset()

    def _reset(self) -> None:
        if hasattr(self.learn.inner, "reset"):
            self.learn.inner.reset()


class Penalty(Callback):
    """Adds a penalty on the model's outputs to the loss when fastai's RNNRegularizer would.

    The loss that is logged is without it.
    """

    order, run_valid = RNNRegularizer.order, False

    def __init__(self, penalty: Callable[[Any], Tensor | None]) -> None:
        self.penalty = penalty

    def after_loss(self) -> None:
        penalty = self.penalty(self.learn.outputs)
        if penalty is not None:
            self.learn.loss_grad = self.learn.loss_grad + penalty


class ResumableLearner(Learner):
    """fastai's Learner, which can begin an epoch in its middle: at batch `first_batch`.

    fastai counts the epochs of every fit from 0; `epochs_before` are those of earlier ones, so that no two
    epochs of a run see the same batches. The epochs of `resampled` differ in length. Schedules are functions
    of the share of the phase that is done, in which every epoch has the same share whatever its length: each
    step of an epoch of n steps is 1 / (n x epochs) of the phase.

    With `fused` the loss is computed without logits. Whoever reads `learn.pred` gets them nevertheless, and
    they are made from then on, with one line of notice: in training or in validation, wherever it was read.
    After the step, when the weights have changed, it is too late to make them: that needs `logits=True`, and
    is an InputError without. Setting `pred`, `loss_grad` or `loss_func` has the effect that it has in fastai.

    `inner` is the model itself, `model` what is called: the same, or its wrapper in distributed training.
    """

    first_batch = 0
    epochs_before = 0
    resampled: Resampled | None = None
    replayed: ReplayedStep | None = None
    """Replaces forward and backward pass where no callback listens to events between them."""
    average: WeightAverage | None = None
    epoch_tokens = 0
    """Tokens of the last epoch of training."""
    outputs: Any = None
    _prediction: Tensor | None = None
    _weights_changed = False

    def __init__(
        self,
        loaders: Loaders,
        model: nn.Module,
        *,
        guard: Guard,
        settings: TrainingSettings,
        fused: SequenceLoss | None,
        notice: Callable[[str], object],
        logits: bool = False,
        **options: Any,
    ) -> None:
        self.inner: Any = model
        self.guard, self.settings, self.fused, self.notice = guard, settings, fused, notice
        self.accumulation = settings.accumulation
        self.makes_logits = {True: logits, False: logits}
        """Whether logits are made in training and in validation."""
        super().__init__(loaders, model, default_cbs=False, **options)
        self._own_loss = self.loss_func

    def gather_args(self) -> dict[str, Any]:
        """Return what fastai's WandbCallback writes down as the run's configuration: the settings."""
        return loggable(self.settings)

    def __call__(self, event_name: str | Sequence[str]) -> None:
        """Call the callbacks that listen, in their order; ten times as fast as fastai's own way."""
        for name in [event_name] if isinstance(event_name, str) else event_name:
            for callback in sorted(self.cbs, key=lambda one: one.order):
                if name == "after_fit" or _listens(callback, name):
                    callback(name)

    # -- epochs and batches

    def fit(self, n_epoch: int, *arguments: Any, **options: Any) -> None:
        """Train as fastai's `fit` does; the next fit goes on with other batches."""
        super().fit(n_epoch, *arguments, **options)
        self.epochs_before += n_epoch

    def all_batches(self) -> None:
        """Run the batches of this epoch that are left."""
        if not self.training:
            self._run(self.dl, 0, 0)
            return
        epoch = self.epochs_before + self.epoch
        with self.resampled(epoch) if self.resampled else nullcontext(self.dl) as loader:
            self._run(loader, epoch, self.first_batch)
            self.epoch_tokens = loader.tokens_read
        self.first_batch = 0
        self.guard.check()

    def _run(self, loader: Loader, epoch: int, first: int) -> None:
        self.n_iter = len(loader)
        for index, batch in enumerate(loader.batches(epoch, first), first):
            self.one_batch(index, batch)
            self.guard.check_now_and_then()

    def _set_device(self, batch: Sequence[Tensor]) -> tuple[Tensor, ...]:
        device = self.dls.device
        return tuple(part if part.device == device else part.to(device) for part in batch)

    # -- one batch

    def _do_one_batch(self) -> None:
        self.outputs = self._prediction = None
        self._weights_changed = False
        if self.training:
            self.guard.batch_begins(self.iter % self.accumulation)
            if self._replay():
                self._update_when_due()
                return
        with self._synchronized_at_updates(), self._logits_as_needed():
            self.outputs = self.model(*self.xb)
            self("after_pred")
            if len(self.yb):
                self.loss_grad = self._loss()
                self.loss = self.loss_grad.clone()
            self("after_loss")
            if self.training and len(self.yb):
                self._do_grad_opt()

    def _replay(self) -> bool:
        """Run this step in one go if possible; return whether it was run."""
        if self.replayed is None or self.model is not self.inner or not self._is_fused():
            return False
        if any(_listens_inside(callback) for callback in self.cbs):
            return False
        loss = self.replayed(*self.xb, *self.yb)
        if loss is None:
            return False
        self.outputs, self.loss, self.loss_grad = self.replayed.outputs, loss, loss
        return True

    def _loss(self) -> Tensor:
        if self._is_fused():
            assert self.fused is not None
            return self.fused(self.outputs, *self.yb)
        return self.loss_func(self.pred, *self.yb)

    def _is_fused(self) -> bool:
        """Return whether this batch's loss is computed without logits; never with a loss of the user's."""
        return (
            self.fused is not None
            and self._prediction is None
            and not self.makes_logits[self.training]
            and self.loss_func is self._own_loss
        )

    def _do_grad_opt(self) -> None:
        self._with_events(self._backward, "backward", CancelBackwardException)
        self._update_when_due()

    def _update_when_due(self) -> None:
        if self._is_update():
            self._with_events(self._step, "step", CancelStepException)
            self.opt.zero_grad()

    def _is_update(self) -> bool:
        """Return whether the weights change after this batch: after every k-th one, and an epoch's last."""
        return (self.iter + 1) % self.accumulation == 0 or self.iter + 1 == self.n_iter

    def _backward(self) -> None:
        # An infinite loss may have finite gradients: 0 x loss + 1 makes all of them, on all ranks, undefined.
        self.loss_grad.backward(self.loss_grad.detach() * 0 + 1)

    def _step(self) -> None:
        self._weights_changed = True
        self.guard.step(self.opt, self.iter % self.accumulation + 1)
        if self.average is not None and self.guard.bad is not None:
            self.average.update(self.guard.bad)

    @contextmanager
    def _synchronized_at_updates(self) -> Iterator[None]:
        """Let ranks exchange gradients only where the weights change."""
        waits = self.training and not self._is_update() and hasattr(self.model, "no_sync")
        with self.model.no_sync() if waits else nullcontext():
            yield

    @contextmanager
    def _logits_as_needed(self) -> Iterator[None]:
        """Let the model leave out the logits of this batch where nothing reads them."""
        if self.fused is None:
            yield
            return
        self.inner.makes_logits = not self._is_fused()
        try:
            yield
        finally:
            self.inner.makes_logits = True

    # -- the prediction

    @property
    def pred(self) -> Any:
        """The prediction of the current batch."""
        if self._prediction is None and self.outputs is not None:
            self._prediction = self.outputs if self.fused is None else self._logits()
        return self._prediction

    @pred.setter
    def pred(self, value: Any) -> None:
        self._prediction = value
        if value is None:
            self.outputs = None

    def _logits(self) -> Tensor:
        assert self.fused is not None
        if self.outputs.logits is None:
            if self._weights_changed:
                raise InputError(
                    "learn.pred is read after the step, when the weights have changed: "
                    "read it in after_loss, or make the learner with logits=True"
                )
            self.makes_logits[self.training] = True
            when = "training" if self.training else "validation"
            self.notice(
                f"learn.pred is read: logits are made in {when} from now on, which takes time and memory"
            )
        return self.fused.prediction(self.outputs)


def _listens_inside(callback: Callback) -> bool:
    """Return whether the callback has to be called between the forward and the backward pass."""
    if isinstance(callback, Penalty):
        return False
    return any(_listens(callback, event) for event in EVENTS_OF_A_STEP)


def _listens(callback: Callback, event: str) -> bool:
    return event in vars(callback) or hasattr(type(callback), event)
