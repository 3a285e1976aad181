"""What to do when memory runs out in training: which batch size to try."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch

from ulmfit.pipeline.errors import StageFailed

CPU_ALLOCATOR = ("can't allocate memory", "cannot allocate memory", "not enough memory")
"""What torch says, as a plain RuntimeError, when the operating system gives it no memory."""


@contextmanager
def names_batch_size(batch_size: int) -> Iterator[None]:
    """Turn an allocation that failed into a StageFailed with the batch size to try, half of this one."""
    try:
        yield
    except (MemoryError, RuntimeError) as error:
        if not is_out_of_memory(error):
            raise
        advice = (
            f"try batch_size={batch_size // 2}" if batch_size > 1 else "the model needs more than there is"
        )
        raise StageFailed(f"out of memory with batch_size={batch_size}: {advice} ({error})") from error


def is_out_of_memory(error: BaseException) -> bool:
    """Return whether an error says that memory ran out, on a GPU or in the machine."""
    if isinstance(error, (MemoryError, torch.OutOfMemoryError)):
        return True
    message = str(error).lower()
    return isinstance(error, RuntimeError) and any(words in message for words in CPU_ALLOCATOR)
