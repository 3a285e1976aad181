"""How an encoder computes: the type of its matrix products, and the engine of its recurrent layers."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import torch


@dataclass(frozen=True)
class Compute:
    """Type and engine of a model's computation; its parameters are fp32 masters in either type.

    With bfloat16 the inputs, outputs, hidden state and matrix products are bf16, the cell state and the
    parameters' gradients fp32. `float32` stands for the parameters' own type, which tests make float64.
    """

    dtype: torch.dtype = torch.float32
    engine: Literal["fast", "plain"] = "plain"

    def activations(self, parameter: torch.Tensor) -> torch.dtype:
        """Return the type of inputs, outputs and hidden states beside this parameter."""
        return self.dtype if self.dtype == torch.bfloat16 else parameter.dtype


PLAIN = Compute()


def choose_compute(
    precision: str, engine: str, device: torch.device | str, log: Callable[[str], object]
) -> Compute:
    """Return how to compute at `precision` (fp32, bf16) with `engine` (auto, fast, plain) on `device`.

    If the fast engine cannot run and `engine` is not plain, the plain one takes over and `log` gets one line.
    """
    from ulmfit.language_model.engines import obstacle

    dtype = torch.bfloat16 if precision == "bf16" else torch.float32
    if engine == "plain":
        return Compute(dtype, "plain")
    reason = obstacle(device)
    if reason is None:
        return Compute(dtype, "fast")
    log(f"the plain engine takes over from the fast one: {reason}")
    return Compute(dtype, "plain")
