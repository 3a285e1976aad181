"""Weights by name in safetensors: aliases of one tensor are stored once and rebuilt at loading."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor, nn

from ulmfit.pipeline.errors import InputError
from ulmfit.pipeline.files import atomic_path


def own_tensors(model: nn.Module) -> dict[str, Tensor]:
    """Return the model's state without second names of the same tensor (the tied decoder)."""
    tensors: dict[str, Tensor] = {}
    seen: set[int] = set()
    for name, tensor in model.state_dict().items():
        if tensor.numel() and tensor.data_ptr() in seen:
            continue
        seen.add(tensor.data_ptr())
        tensors[name] = tensor
    return tensors


def write_tensors(tensors: Mapping[str, Tensor], path: Path) -> None:
    """Write a safetensors file; a full disk is an OSError as anywhere else."""
    from safetensors import SafetensorError
    from safetensors.torch import save_file

    path.touch()
    mode = stat.S_IMODE(path.stat().st_mode)
    try:
        save_file({name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}, path)
    except SafetensorError as error:
        if f"os error {errno.ENOSPC}" in str(error):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), path.name) from error
        raise
    # safetensors makes files that only the owner can read; set what the umask allows, as for other files.
    path.chmod(mode)


def save_weights(model: nn.Module, path: Path) -> None:
    """Write the model's weights atomically."""
    with atomic_path(path) as temporary:
        write_tensors(own_tensors(model), temporary)


def read_weights(path: Path) -> dict[str, Tensor]:
    """Read a safetensors file; raises InputError when it is none."""
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        return load_file(path)
    except (OSError, SafetensorError) as error:
        raise InputError(f"{path} is not a readable safetensors file: {error}") from error


def load_weights(model: nn.Module, tensors: Mapping[str, Tensor], source: str) -> None:
    """Copy `tensors` into `model` by name; raises InputError naming the first name or shape that differs."""
    own = own_tensors(model)
    if missing := sorted(own.keys() - tensors.keys()):
        raise InputError(f"{source} has no weights for {missing[0]} (and {len(missing) - 1} more)")
    if unknown := sorted(tensors.keys() - own.keys()):
        raise InputError(
            f"{source} has weights that the model lacks: {unknown[0]} (and {len(unknown) - 1} more)"
        )
    for name, tensor in own.items():
        if tensor.shape != tensors[name].shape:
            given, expected = tuple(tensors[name].shape), tuple(tensor.shape)
            raise InputError(f"{source}: {name} has shape {given}, the model's is {expected}")
    with torch.no_grad():
        for name, tensor in own.items():
            tensor.copy_(tensors[name])
