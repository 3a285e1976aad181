"""The state of a training process between two steps, as named tensors."""

from __future__ import annotations

import random
from collections.abc import Iterable, Mapping
from typing import Any, cast

import numpy
import torch
from torch import Tensor, nn

Tensors = dict[str, Tensor]


class HostCopies:
    """Copies of tensors in host memory; the next copies use the same memory.

    Copies from a GPU go to pinned memory and are queued behind the work that was launched before: the caller
    goes on launching, and `wait` (in another thread) waits for them.
    """

    def __init__(self) -> None:
        self.tensors: Tensors = {}
        self._queued: list[torch.cuda.Event] = []

    def take(self, tensors: Mapping[str, Tensor]) -> None:
        """Copy `tensors` over the former copies, which must not be in use any more."""
        copies: Tensors = {}
        for name, tensor in tensors.items():
            copy = self.tensors.get(name)
            if copy is None or copy.shape != tensor.shape or copy.dtype != tensor.dtype:
                copy = torch.empty(tensor.shape, dtype=tensor.dtype, pin_memory=tensor.is_cuda)
            copies[name] = copy.copy_(tensor.detach(), non_blocking=True)
        self.tensors = copies
        devices = {tensor.device for tensor in tensors.values() if tensor.is_cuda}
        self._queued = [torch.cuda.current_stream(device).record_event() for device in devices]

    def wait(self) -> None:
        """Wait until the copies hold the values."""
        for event in self._queued:
            event.synchronize()


def named(prefix: str, tensors: Mapping[str, Tensor]) -> Tensors:
    """Return the tensors with `prefix` and a dot before their names."""
    return {f"{prefix}.{name}": tensor for name, tensor in tensors.items()}


def part(prefix: str, tensors: Mapping[str, Tensor]) -> Tensors:
    """Return the tensors whose names begin with `prefix` and a dot, without them."""
    start = f"{prefix}."
    return {name.removeprefix(start): tensor for name, tensor in tensors.items() if name.startswith(start)}


def optimizer_state(optimizer: torch.optim.Optimizer) -> tuple[Tensors, list[dict[str, Any]]]:
    """Return the state of every parameter, and the settings of every group as JSON content."""
    content = optimizer.state_dict()
    tensors = {
        f"{index}.{name}": value for index, state in content["state"].items() for name, value in state.items()
    }
    return tensors, [_group_settings(group) for group in content["param_groups"]]


def _group_settings(group: dict[str, Any]) -> dict[str, Any]:
    values = {name: value for name, value in group.items() if name != "params"}
    return {name: value.item() if isinstance(value, Tensor) else value for name, value in values.items()}


def restore_optimizer(
    optimizer: torch.optim.Optimizer, tensors: Mapping[str, Tensor], groups: list[dict[str, Any]]
) -> None:
    """Give an optimizer of the same parameters and groups the state that `optimizer_state` returned."""
    state: dict[int, Tensors] = {}
    for full_name, tensor in tensors.items():
        index, name = full_name.split(".", 1)
        state.setdefault(int(index), {})[name] = tensor
    optimizer.load_state_dict({"state": state, "param_groups": optimizer.state_dict()["param_groups"]})
    for group, settings in zip(optimizer.param_groups, groups, strict=True):
        for name, value in settings.items():
            if isinstance(group.get(name), Tensor):
                group[name].fill_(value)
            else:
                group[name] = tuple(value) if isinstance(value, list) else value


def pending_gradients(model: nn.Module) -> Tensors:
    """Return the gradients that wait for an update: those of an accumulation that is not at its end."""
    return {name: p.grad for name, p in model.named_parameters() if p.grad is not None}


def restore_gradients(model: nn.Module, gradients: Mapping[str, Tensor]) -> None:
    """Set the gradients that `pending_gradients` returned; the other parameters get none."""
    for name, parameter in model.named_parameters():
        gradient = gradients.get(name)
        parameter.grad = None if gradient is None else gradient.to(parameter.device, copy=True)


def devices_of(model: nn.Module) -> list[torch.device]:
    """Return the GPUs that the model lies on, by number."""
    found = {parameter.device for parameter in model.parameters() if parameter.is_cuda}
    return sorted(found, key=lambda device: device.index)


def random_states(devices: Iterable[torch.device]) -> Tensors:
    """Return the states of torch's generators (CPU and `devices`), Python's and numpy's."""
    _, python, gauss = random.getstate()
    _, keys, position, has_gauss, cached = cast(tuple, numpy.random.get_state(legacy=True))
    states = {
        "cpu": torch.get_rng_state(),
        "python": torch.tensor(python, dtype=torch.int64),
        "python_gauss": torch.tensor([] if gauss is None else [gauss], dtype=torch.float64),
        "numpy": torch.from_numpy(numpy.append(keys.astype(numpy.int64), [position, has_gauss])),
        "numpy_gauss": torch.tensor([cached], dtype=torch.float64),
    }
    for number, device in enumerate(devices):
        states[f"cuda.{number}"] = torch.cuda.get_rng_state(device)
    return states


def restore_random_states(states: Mapping[str, Tensor], devices: Iterable[torch.device]) -> None:
    """Take up what `random_states` returned; a GPU that it does not know keeps its state."""
    torch.set_rng_state(states["cpu"])
    gauss = states["python_gauss"].tolist()
    random.setstate((3, tuple(states["python"].tolist()), gauss[0] if gauss else None))
    *keys, position, has_gauss = states["numpy"].tolist()
    cached = states["numpy_gauss"].item()
    numpy.random.set_state(("MT19937", numpy.array(keys, dtype=numpy.uint32), position, has_gauss, cached))
    for number, device in enumerate(devices):
        if (state := states.get(f"cuda.{number}")) is not None:
            torch.cuda.set_rng_state(state, device)
