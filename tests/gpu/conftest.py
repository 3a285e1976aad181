"""Tests that need a GPU say so where there is none; `benchmarks/gpu.sh` runs them where there is one."""

from __future__ import annotations

import os
from collections.abc import Iterator
from importlib.util import find_spec

import pytest
import torch


@pytest.fixture
def cuda() -> Iterator[torch.device]:
    """A GPU, on which fp32 means fp32 and not TF32."""
    if not torch.cuda.is_available():
        pytest.skip("torch finds no GPU here")
    before = torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = False
    torch.cuda.manual_seed(0)
    torch.manual_seed(0)
    yield torch.device("cuda")
    torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32 = before


@pytest.fixture
def triton_device() -> torch.device:
    """Where Triton's kernels run: a GPU, or with TRITON_INTERPRET=1 the CPU."""
    if find_spec("triton") is None:
        pytest.skip("triton is not installed")
    torch.manual_seed(0)
    if torch.cuda.is_available():
        return torch.device("cuda")
    if os.environ.get("TRITON_INTERPRET") != "1":
        pytest.skip("torch finds no GPU here, and TRITON_INTERPRET=1 is not set")
    return torch.device("cpu")
