"""Replaces fastai's Recorder and ProgressCallback, which wait for the device in every batch."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from fastai.callback.core import Callback
from fastai.learner import AvgSmoothLoss, Recorder

from ulmfit.pipeline.progress import Progress
from ulmfit.pipeline.settings import Settings

LOSS_EVERY_STEPS = 10
"""Steps between two reads of the shown loss from the device."""


class SmoothLoss(AvgSmoothLoss):
    """fastai's smoothed training loss, kept on the device of the loss."""

    def accumulate(self, learn) -> None:
        """Add the loss of the learner's last batch."""
        loss = learn.loss.detach().mean()
        self.count += 1
        self.val: torch.Tensor = torch.lerp(loss, self.val.to(loss), self.beta)


class QuietRecorder(Recorder):
    """fastai's Recorder; its numbers stay on the device until they are read."""

    name = "recorder"

    def __init__(self, **options) -> None:
        super().__init__(**options)
        self.smooth_loss = SmoothLoss()


class Text(str):
    """Text that fastai's WandbCallback can format: it asks every value for its attributes."""


class Number(float):
    """The same for numbers."""


def loggable(settings: Settings) -> dict[str, Any]:
    """Return settings flat, by name, as fastai's WandbCallback takes a run's configuration."""
    found: dict[str, Any] = {}
    for name, value in settings:
        if isinstance(value, Settings):
            found |= {f"{name}.{inner}": content for inner, content in loggable(value).items()}
        elif isinstance(value, (int, float)) and not isinstance(value, bool):
            found[name] = Number(value)
        else:
            found[name] = Text(value)
    return found


class ProgressDisplay(Callback):
    """One display for the training batches of a fit, and fastai's line for every epoch."""

    name = "progress"
    order, run_valid = 61, False

    def __init__(self, log: Callable[[str], None]) -> None:
        self.log = log
        self.display: Progress | None = None
        self.shown = ""

    def before_fit(self) -> None:
        self.display = None
        if self.learn.create_mbar:
            steps = self.learn.n_epoch * len(self.learn.dls.train)
            self.display = Progress(steps, "steps", "training", self.log)

    def after_batch(self) -> None:
        if self.display is None:
            return
        if self.learn.train_iter % LOSS_EVERY_STEPS == 0:
            self.shown = f"loss {float(self.learn.loss.detach()):.4f}"
        self.display.advance(1, self.shown)

    def after_fit(self) -> None:
        if self.display is not None:
            self.display.close()
