"""Training in several processes (ranks), one per GPU, or each with a share of the CPU's cores.

torchrun's environment variables say whether this process is one of several. Every rank has the same weights
and its own streams; DistributedDataParallel replaces gradients by their mean over the ranks. Everything else
that ranks exchange (flags, sums, states for a checkpoint) goes through gloo, from host memory.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Mapping

import torch
from safetensors.torch import load, save
from torch import Tensor, nn

from ulmfit.pipeline.errors import InputError
from ulmfit.pipeline.load import usable_cores
from ulmfit.pipeline.processes import JsonContent, broadcast, join_group
from ulmfit.pipeline.ranks import is_rank
from ulmfit.training.openmp import THREADS_VARIABLE
from ulmfit.training.settings import TrainingSettings

Tensors = dict[str, Tensor]


class Distribution:
    """The ranks that train one model together; this class itself is the single process.

    `wrap`, `any`, `mean`, `sum`, `gather`, `broadcast`, `barrier` and `finish` are called by every rank, in
    the same order. They fail (torch's RuntimeError) when a rank is lost: at once when its process has ended,
    after `timeout_seconds()` when it hangs.
    """

    rank = 0
    """Of this process, from 0."""
    world = 1
    """Number of processes."""

    def __init__(self, device: torch.device) -> None:
        self.device = device

    @property
    def is_main(self) -> bool:
        """Whether this process writes files and speaks to the user."""
        return self.rank == 0

    def check_batch_size(self, batch_size: int) -> None:
        """Raise InputError when the ranks cannot share a batch evenly."""

    def separate_random_numbers(self) -> None:
        """Let every rank draw other random numbers from here on.

        The seed that was set last is raised by the rank: for one process nothing changes.
        """

    def wrap(self, model: nn.Module) -> nn.Module:
        """Return the module that training calls; call it again whenever other parameters are trainable."""
        return model

    def any(self, flag: bool) -> bool:
        """Return whether the flag of any rank is set."""
        return flag

    def mean(self, value: float, weight: float) -> float:
        """Return the mean of the ranks' values, weighted; of weights that are all 0, nan."""
        return value if weight else float("nan")

    def sum(self, value: float) -> float:
        """Return the sum of the ranks' values."""
        return value

    def gather(self, tensors: Mapping[str, Tensor]) -> list[Tensors]:
        """Return the tensors of all ranks, in host memory: on rank 0 one dictionary a rank, elsewhere []."""
        return [dict(tensors)]

    def broadcast(self, content: JsonContent) -> JsonContent:
        """Return the JSON content that rank 0 gives."""
        return content

    def barrier(self) -> None:
        """Wait until every rank is here."""

    def finish(self) -> None:
        """Wait for all ranks at the end of training; then rank 0 computes with all cores, the others end."""


SINGLE = Distribution(torch.device("cpu"))
"""One process on the CPU."""


class ProcessGroup(Distribution):
    """The ranks of torch's process group, gloo on CPUs and nccl between GPUs."""

    def __init__(self, device: torch.device) -> None:
        super().__init__(device)
        self.rank, self.world = int(os.environ["RANK"]), int(os.environ["WORLD_SIZE"])
        share_cores(int(os.environ.get("LOCAL_WORLD_SIZE", "1")))
        join_group()

    def check_batch_size(self, batch_size: int) -> None:
        """Raise InputError when the ranks cannot share a batch evenly."""
        if batch_size % self.world:
            raise InputError(
                f"batch_size {batch_size} cannot be shared by {self.world} processes: "
                f"expected a multiple of {self.world}"
            )

    def separate_random_numbers(self) -> None:
        """Draw other numbers in every rank from here on: the seed that was set last, plus the rank."""
        torch.manual_seed(torch.initial_seed() + self.rank)

    def wrap(self, model: nn.Module) -> nn.Module:
        """Return DistributedDataParallel around `model`, for the parameters that are trainable now.

        The weights become those of rank 0 everywhere.
        """
        devices = [self.device.index] if self.device.type == "cuda" else None
        # Gradients lie in the buckets that are sent, and need no other memory.
        return nn.parallel.DistributedDataParallel(model, device_ids=devices, gradient_as_bucket_view=True)

    def any(self, flag: bool) -> bool:
        """Return whether the flag of any rank is set."""
        return bool(self.sum(float(flag)))

    def mean(self, value: float, weight: float) -> float:
        """Return the mean of the ranks' values, weighted; of weights that are all 0, nan."""
        total, weights = self._sums(value * weight if weight else 0.0, weight)
        return total / weights if weights else float("nan")

    def sum(self, value: float) -> float:
        """Return the sum of the ranks' values."""
        return self._sums(value)[0]

    def _sums(self, *values: float) -> list[float]:
        numbers = torch.tensor(values, dtype=torch.float64)
        torch.distributed.all_reduce(numbers)
        return numbers.tolist()

    def gather(self, tensors: Mapping[str, Tensor]) -> list[Tensors]:
        """Return the tensors of all ranks, in host memory: on rank 0 one dictionary a rank, elsewhere []."""
        own = _packed(tensors)
        sizes = [torch.zeros(1, dtype=torch.int64) for _ in range(self.world)]
        torch.distributed.all_gather(sizes, torch.tensor([len(own)]))
        if not self.is_main:
            torch.distributed.send(own, 0)
            return []
        parts = [own]
        for rank in range(1, self.world):
            part = torch.empty(int(sizes[rank]), dtype=torch.uint8)
            torch.distributed.recv(part, rank)
            parts.append(part)
        return [_unpacked(part) for part in parts]

    def broadcast(self, content: JsonContent) -> JsonContent:
        """Return the JSON content that rank 0 gives."""
        return broadcast(content if self.is_main else None)

    def barrier(self) -> None:
        """Wait until every rank is here."""
        self._sums(0.0)

    def finish(self) -> None:
        """Wait for all ranks at the end of training; then rank 0 computes with all cores, the others end."""
        self.barrier()
        share_cores(1)


def _packed(tensors: Mapping[str, Tensor]) -> Tensor:
    """Return tensors as one tensor of bytes, in the format of safetensors."""
    content = save({name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()})
    return torch.frombuffer(bytearray(content), dtype=torch.uint8)


def _unpacked(content: Tensor) -> Tensors:
    return load(content.numpy().tobytes())


def current_distribution(settings: TrainingSettings) -> Distribution:
    """Return the ranks that this process belongs to, each on a device of its own.

    The first call waits for the other ranks.
    """
    device = choose_device(settings.device)
    return ProcessGroup(own_device(device)) if is_rank() else Distribution(device)


def choose_device(setting: str) -> torch.device:
    """Return the device that a setting means for a single process."""
    if setting == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(setting)
    except RuntimeError as error:
        raise InputError(f"device {setting!r}: expected auto, cpu, cuda or cuda:N") from error
    if device.type == "cuda" and not torch.cuda.is_available():
        raise InputError(f"device {setting!r}: torch finds no GPU here; expected auto or cpu")
    if device.type == "cuda" and device.index is not None:
        if device.index >= torch.cuda.device_count():
            raise InputError(
                f"device {setting!r}: there are {torch.cuda.device_count()} GPUs, counted from 0"
            )
        # Kernels and graphs are launched on the current device, even if their tensors are on another.
        torch.cuda.set_device(device)
    return device


def own_device(device: torch.device) -> torch.device:
    """Return the device of this rank; InputError when its machine has fewer GPUs than ranks."""
    if device.type != "cuda":
        return device
    number, found = int(os.environ.get("LOCAL_RANK", "0")), torch.cuda.device_count()
    if number >= found:
        wanted = os.environ.get("LOCAL_WORLD_SIZE", str(number + 1))
        raise InputError(f"gpus {wanted}: {socket.gethostname()} has {found}; expected no more than that")
    own = torch.device("cuda", number)
    torch.cuda.set_device(own)
    return own


def share_cores(processes: int) -> None:
    """Compute with this process's share of the machine's cores, unless the user has set the threads."""
    if THREADS_VARIABLE not in os.environ:
        torch.set_num_threads(max(1, usable_cores() // processes))
