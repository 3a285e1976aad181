"""Before a training on CUDA: does the fast engine compute what plain torch computes on this GPU?

The fast engine has many parts that depend on the GPU, its driver and the version of cuDNN. So it proves
itself on two small chunks, forward and backward, with the model and the precision of the training. If it
fails, the plain engine takes over: slower, but right.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace

import torch
from torch import Tensor, nn

from ulmfit.language_model.compute import Compute

LARGEST_DIFFERENCE = {torch.float32: 5e-3, torch.bfloat16: 6e-2}
"""Norm of the difference per norm of the plain result. fp32 products may be TF32 on a GPU (10 bits)."""
ROWS, TOKENS, CHUNKS = 4, 24, 2
SEED = 20181123


def proved(
    compute: Compute, run: Callable[[Compute], Sequence[Tensor]], log: Callable[[str], object]
) -> Compute:
    """Return `compute` if its engine agrees with the plain one in all that `run` returns, else the plain one.

    `run` computes with an engine and returns tensors in the same order each time. `log` gets one line if the
    plain engine takes over.
    """
    if compute.engine == "plain":
        return compute
    plain = replace(compute, engine="plain")
    try:
        fast = [tensor.detach().clone() for tensor in run(compute)]
    except Exception as error:  # whatever a driver or a compiler raises
        lines = str(error).splitlines() or [""]
        reason: str | None = f"{type(error).__name__}: {lines[0]}"
    else:
        reason = disagreement(fast, list(run(plain)), LARGEST_DIFFERENCE[compute.dtype])
    if reason is None:
        return compute
    log(
        f"the plain engine takes over: the fast one failed its check on this device ({reason}); please "
        "report this line and the output of `ulmfit doctor`"
    )
    return plain


def disagreement(fast: Sequence[Tensor], plain: Sequence[Tensor], largest: float) -> str | None:
    """Return where two results differ by more than `largest` of the plain one's norm; None if nowhere."""
    for number, (ours, theirs) in enumerate(zip(fast, plain, strict=True)):
        ours, theirs = ours.double(), theirs.double()
        if not torch.isfinite(ours).all():
            return f"result {number} of {len(plain)} is not finite"
        difference = float((ours - theirs).norm() / theirs.norm().clamp(min=1e-12))
        if difference > largest:
            return (
                f"result {number} of {len(plain)} differs by {difference:.2g}, expected {largest:g} at most"
            )
    return None


def small_chunks(vocabulary_size: int, device: torch.device) -> list[Tensor]:
    """Return ids (ROWS, TOKENS + 1) of chunks that follow each other, the same ones each time."""
    generator = torch.Generator().manual_seed(SEED)
    shape = (ROWS, TOKENS + 1)
    return [torch.randint(vocabulary_size, shape, generator=generator).to(device) for _ in range(CHUNKS)]


def loss_and_gradients(
    loss: Callable[[], Tensor], parameters: Iterable[nn.Parameter], device: torch.device
) -> list[Tensor]:
    """Return the loss and all gradients; random numbers and `.grad` are afterwards what they were before.

    The same random numbers are drawn each time, so that two engines get the same dropout masks.
    """
    trained = [parameter for parameter in parameters if parameter.requires_grad]
    devices = [device] if device.type == "cuda" else []
    with torch.random.fork_rng(devices), torch.enable_grad():
        torch.manual_seed(SEED)
        value = loss()
        gradients = torch.autograd.grad(value, trained, allow_unused=True)
    return [value.detach(), *(gradient for gradient in gradients if gradient is not None)]
