"""Faster ways to compute the recurrent layers than plain torch, each behind one function.

`obstacle` says why none can run here; `..lstm` and `..qrnn` choose one by the tensors' device.
"""

from __future__ import annotations

import torch


def obstacle(device: torch.device | str) -> str | None:
    """Return why the fast engine cannot run on this device, or None when it can."""
    kind = torch.device(device).type
    if kind == "cuda":
        return None
    if kind == "cpu":
        from ulmfit.language_model.engines.compiled import KernelsUnavailable, kernels

        try:
            kernels()
        except KernelsUnavailable as error:
            return str(error)
        return None
    return f"there is none for {kind}"
