"""Weights as files."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest
import torch

from ulmfit.pipeline.files import write_text
from ulmfit.training.weights import save_weights


@pytest.mark.parametrize("mask", [0o022, 0o027, 0o077])
def test_weights_may_be_read_by_whom_the_umask_says_as_every_other_file(mask: int, tmp_path: Path) -> None:
    before = os.umask(mask)
    try:
        save_weights(torch.nn.Linear(2, 1), tmp_path / "model.safetensors")
        write_text(tmp_path / "model.json", "{}")
    finally:
        os.umask(before)
    modes = [stat.S_IMODE((tmp_path / name).stat().st_mode) for name in ("model.safetensors", "model.json")]
    assert modes == [0o666 & ~mask] * 2
