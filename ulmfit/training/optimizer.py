"""torch's fused Adam as fastai sees it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy
import torch
from fastai.optimizer import OptimWrapper
from torch import nn


class Adam(OptimWrapper):
    """Adam in one pass over the parameters of a device; its weight decay is decoupled, or L2's.

    `groups` are the layer groups, lowest first. `decoupled` is AdamW; otherwise decay x weights is added to
    the gradients, after these were clipped and divided by the number of batches. fastai's names of
    hyper-parameters: lr, mom (beta1), sqr_mom (beta2), eps, wd.
    """

    def __init__(
        self, groups: Sequence[Sequence[nn.Parameter]], *, lr: float, beta2: float, decoupled: bool = True
    ) -> None:
        kind = torch.optim.AdamW if decoupled else torch.optim.Adam
        super().__init__(list(map(list, groups)), kind, lr=lr, betas=(0.9, beta2), fused=True)

    @property
    def hypers(self) -> list[dict[str, Any]]:
        """The hyper-parameters of every group.

        Torch's switches are left out: loggers would take them for numbers.
        """
        return [
            {
                "lr": group["lr"],
                "mom": group["betas"][0],
                "sqr_mom": group["betas"][1],
                "eps": group["eps"],
                "wd": group["weight_decay"],
            }
            for group in self.opt.param_groups
        ]

    def set_hyper(self, k: str, v: Any) -> None:
        """Set a number, or one per layer group. Schedules do this in every step; fastai's own way is slow."""
        groups = self.opt.param_groups
        if k not in ("lr", "mom") or not isinstance(v, float | numpy.ndarray):
            super().set_hyper(k, v)
            return
        values = numpy.broadcast_to(v, len(groups)).tolist()
        for group, value in zip(groups, values, strict=True):
            if k == "lr":
                group["lr"] = value
            else:
                group["betas"] = (value, group["betas"][1])
