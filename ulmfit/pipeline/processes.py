"""Messages between the processes of one run, through gloo; gradients do not go through here.

The first process announces what is built; the others wait for it. Tensors of a training go through
`training/distribution.py`.
"""

from __future__ import annotations

import importlib
import json
import os
from datetime import timedelta
from typing import Any

import torch

from ulmfit.pipeline.errors import StageFailed
from ulmfit.pipeline.ranks import timeout_seconds

LONGEST_WAIT = timedelta(days=30)
"""The first process may build alone for long; a process that has ended is still noticed at once."""

JsonContent = Any


class Announcements:
    """Messages of the first process to the others, which wait for it without a limit of time."""

    def __init__(self) -> None:
        join_group()
        self._group: torch.distributed.ProcessGroup | None = torch.distributed.new_group(
            backend="gloo", timeout=LONGEST_WAIT
        )

    def tell(self, content: JsonContent) -> None:
        """Send JSON content to the other processes."""
        broadcast(content, self._group)

    def hear(self) -> JsonContent:
        """Return the next message of the first process; StageFailed if it ends before."""
        try:
            return broadcast(None, self._group)
        except RuntimeError as error:
            raise StageFailed(f"the first process has ended; its last line says why ({error})") from error

    def end(self) -> None:
        """Leave the group: no more messages."""
        self._group = None
        leave_group()


def broadcast(content: JsonContent, group: torch.distributed.ProcessGroup | None = None) -> JsonContent:
    """Return the JSON content of rank 0 on all ranks; the content of the others is ignored."""
    text = torch.frombuffer(bytearray(json.dumps(content).encode()), dtype=torch.uint8)
    size = torch.tensor([len(text)])
    torch.distributed.broadcast(size, 0, group=group)
    if torch.distributed.get_rank() != 0:
        text = torch.empty(int(size), dtype=torch.uint8)
    torch.distributed.broadcast(text, 0, group=group)
    return json.loads(text.numpy().tobytes())


def join_group() -> None:
    """Connect to the other ranks, once; StageFailed if they do not come."""
    if torch.distributed.is_initialized():
        return
    if _all_here():
        # The machine's name may not resolve, or resolve to an address behind a firewall.
        os.environ.setdefault("GLOO_SOCKET_IFNAME", "lo")
    # Imported later, by DistributedDataParallel, it would keep the group from being freed.
    importlib.import_module("torch._dynamo")
    transports = "cpu:gloo,cuda:nccl" if torch.cuda.is_available() else "cpu:gloo"
    try:
        torch.distributed.init_process_group(transports, timeout=timedelta(seconds=timeout_seconds()))
    except (RuntimeError, ValueError) as error:
        raise StageFailed(f"the processes of a training did not find each other: {error}") from error


def _all_here() -> bool:
    """Return whether all ranks are processes of this Linux machine."""
    world = os.environ["WORLD_SIZE"]
    return os.environ.get("LOCAL_WORLD_SIZE") == world and os.path.isdir("/sys/class/net/lo")


def leave_group() -> None:
    """Close the connections to the other ranks, where there are any, and end the threads that serve them.

    A thread that frees a tensor while Python ends would abort the process after all its work is done. The
    result of `ProcessGroup.wrap` keeps these threads alive: do not keep it.
    """
    if torch.distributed.is_available() and torch.distributed.is_initialized():
        torch.distributed.destroy_process_group()
