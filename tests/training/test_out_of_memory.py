"""Whatever says that memory ran out names the batch size to try; every other error stays what it is."""

from __future__ import annotations

import pytest
import torch

from ulmfit.cli.errors import describe
from ulmfit.pipeline.errors import StageFailed
from ulmfit.training.out_of_memory import names_batch_size

OUT_OF_MEMORY = [
    MemoryError(),
    torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB"),
    RuntimeError("[enforce fail at alloc_cpu.cpp:127] DefaultCPUAllocator: can't allocate memory"),
    RuntimeError("unable to open shared memory object: Cannot allocate memory (12)"),
    RuntimeError("DefaultCPUAllocator: not enough memory: you tried to allocate 9 bytes"),
]


@pytest.mark.parametrize("error", OUT_OF_MEMORY, ids=str)
def test_an_allocation_that_failed_names_the_batch_size_to_try(error: Exception) -> None:
    with pytest.raises(StageFailed, match="batch_size=8: try batch_size=4"), names_batch_size(8):
        raise error
    assert describe(error).startswith("out of memory: try a smaller batch_size")


def test_another_error_stays_what_it_is() -> None:
    with pytest.raises(RuntimeError, match="shapes"), names_batch_size(8):
        raise RuntimeError("shapes do not fit")
