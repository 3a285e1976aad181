"""Updates of the weights that do not wait for the device and leave out infinite gradients."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from ulmfit.pipeline.errors import StageFailed

CHECK_EVERY_UPDATES = 10
"""Updates between two reads of their flags from the device: every read waits for it."""

ADVICE = "lower the learning rate, set gradient_clip, or set precision=fp32"

MARGIN = 1e-6
"""Added to the norm that is clipped, as torch's clip_grad_norm_ does."""


class Guard:
    """Clips gradients, and leaves out an update whose gradient is infinite or undefined.

    The gradient of an update is the mean over the batches since the last one. When it is bad, the optimizer
    leaves weights and moments alone, and the model's hidden state goes back to what it was before those
    batches: as if they had been left out. Both are decided on the device, by the mechanism that torch has
    for scaled gradients. `limit` bad updates in a row (0: any number) raise StageFailed, at the latest
    `CHECK_EVERY_UPDATES` updates later.
    """

    def __init__(self, model: Any, clip: float, limit: int) -> None:
        self.model, self.clip, self.limit = model, clip, limit
        self.step_number = 0
        self.bad_steps: list[int] = []
        """Steps (batches of the run, from 1) whose update was left out."""
        self.in_a_row = self.longest = 0
        """Updates left out in a row: up to now, and the largest number so far."""
        self.norm: Tensor | None = None
        """Norm of the last update's gradient before clipping."""
        self.bad: Tensor | None = None
        """1.0 where the last update was left out, else 0.0."""
        self._unread: list[tuple[int, Tensor]] = []
        self.hidden: dict[str, Tensor] | None = None
        """The hidden state before the first batch of the current update; None: no batch has begun."""

    def batch_begins(self, place: int) -> None:
        """Remember the hidden state before the first batch of an update; `place` counts them from 0."""
        self.step_number += 1
        if place == 0 or self.hidden is None:
            self.hidden = self.model.hidden_tensors()

    def step(self, optimizer: Any, batches: int) -> None:
        """Update the weights, or not; the gradients of so many `batches` were added up since the last one.

        `optimizer` is fastai's wrapper of a torch optimizer, or an optimizer of fastai.
        """
        gradients = [
            parameter.grad
            for group in optimizer.param_lists
            for parameter in group
            if parameter.grad is not None
        ]
        self.norm = torch.nn.utils.get_total_norm(gradients) / batches
        self.bad = self.norm.isfinite().logical_not().float()
        scale = self._scale(self.norm, batches)
        inner = getattr(optimizer, "opt", None)
        if inner is not None and getattr(inner, "_step_supports_amp_scaling", False):
            inner.found_inf, inner.grad_scale = self.bad, scale
            optimizer.step()
        elif not self.bad.item():
            if scale is not None:
                torch._foreach_div_(gradients, scale)
            optimizer.step()
        self._unread.append((self.step_number, self.bad))
        self._repair_hidden(self.bad.bool())

    def _scale(self, norm: Tensor, batches: int) -> Tensor | None:
        """Return what the summed gradient is divided by: the number of batches, or more to clip it."""
        if self.clip:
            return ((norm + MARGIN) / self.clip).clamp(min=1).float() * batches
        return None if batches == 1 else torch.full_like(norm, batches, dtype=torch.float32)

    def _repair_hidden(self, bad: Tensor) -> None:
        before, after = self.hidden or {}, self.model.hidden_tensors()
        if not after:
            return
        repaired = {}
        for name, tensor in after.items():
            good = before.get(name)
            if good is None or good.shape != tensor.shape:
                good = torch.zeros_like(tensor)
            repaired[name] = torch.where(bad, good.to(tensor.dtype), tensor)
        self.model.restore_hidden(repaired)

    def check_now_and_then(self) -> None:
        """Read the flags of the last updates when enough have come together; raises StageFailed."""
        if len(self._unread) >= CHECK_EVERY_UPDATES or (self.limit and self.longest >= self.limit):
            self.check()

    def check(self) -> None:
        """Read the flags of the last updates; raises StageFailed when too many in a row were left out."""
        self._read()
        if self.limit and self.longest >= self.limit:
            raise StageFailed(
                f"the gradients of {self.longest} updates in a row, the last of them in step "
                f"{self.bad_steps[-1]}, were infinite or undefined: {ADVICE}"
            )

    def _read(self) -> None:
        if not self._unread:
            return
        flags = torch.stack([flag for _, flag in self._unread]).tolist()
        for (number, _), bad in zip(self._unread, flags, strict=True):
            self.in_a_row = self.in_a_row + 1 if bad else 0
            self.longest = max(self.longest, self.in_a_row)
            if bad:
                self.bad_steps.append(number)
        self._unread = []

    def state(self) -> dict[str, Any]:
        """Return what a checkpoint keeps."""
        self._read()
        names = ("step_number", "bad_steps", "in_a_row", "longest")
        return {name: getattr(self, name) for name in names}

    def restore(self, state: dict[str, Any]) -> None:
        """Take up what a checkpoint kept."""
        for name, value in state.items():
            setattr(self, name, value)
