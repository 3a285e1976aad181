"""Says which batch size to try when memory runs out in training."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from ulmfit.pipeline.errors import StageFailed, says_out_of_memory


@contextmanager
def names_batch_size(batch_size: int) -> Iterator[None]:
    """Turn an allocation that failed into a StageFailed with the batch size to try, half of this one."""
    try:
        yield
    except (MemoryError, RuntimeError) as error:
        if not (isinstance(error, MemoryError) or says_out_of_memory(str(error))):
            raise
        advice = (
            f"try batch_size={batch_size // 2}" if batch_size > 1 else "the model needs more than there is"
        )
        raise StageFailed(f"out of memory with batch_size={batch_size}: {advice} ({error})") from error
