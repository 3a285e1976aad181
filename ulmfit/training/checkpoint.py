"""Checkpoints: safetensors and JSON, written atomically; the last two are kept, a damaged one is skipped."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from torch import Tensor

from ulmfit.errors import InputError
from ulmfit.files import atomic_folder, read_json, remove_temporaries, sha256_of, write_json
from ulmfit.training.weights import read_weights, write_tensors

KEPT = 2


class Checkpoint(NamedTuple):
    """A moment of a training run."""

    tensors: dict[str, Tensor]
    state: dict[str, Any]


class CheckpointStore:
    """The checkpoints of one training run, in a folder of its own."""

    def __init__(self, folder: Path, log: Callable[[str], None]) -> None:
        self.folder = folder
        self._log = log
        folder.mkdir(parents=True, exist_ok=True)
        remove_temporaries(folder)

    def save(self, step: int, tensors: dict[str, Tensor], state: dict[str, Any]) -> None:
        """Write a checkpoint for `step`, then remove all but the last two."""
        with atomic_folder(self.folder / f"step-{step:09}") as folder:
            path = folder / "tensors.safetensors"
            write_tensors(tensors, path)
            write_json(folder / "state.json", {"sha256": sha256_of(path), **state})
        for old in self._all()[:-KEPT]:
            shutil.rmtree(old)

    def latest(self) -> Checkpoint | None:
        """Return the newest checkpoint that is whole, or None."""
        for folder in reversed(self._all()):
            try:
                state = read_json(folder / "state.json")
                if sha256_of(folder / "tensors.safetensors") == state["sha256"]:
                    return Checkpoint(read_weights(folder / "tensors.safetensors"), state)
            except (OSError, ValueError, KeyError, InputError):
                pass
            self._log(f"checkpoint {folder.name} is damaged; taking the one before")
        return None

    def _all(self) -> list[Path]:
        return sorted(self.folder.glob("step-*"))
