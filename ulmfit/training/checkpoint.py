"""Checkpoints: safetensors and JSON, written atomically; the last two are kept, a damaged one is skipped."""

from __future__ import annotations

import hashlib
import json
import shutil
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from torch import Tensor

from ulmfit.pipeline.errors import InputError
from ulmfit.pipeline.files import (
    atomic_folder,
    flush,
    read_json,
    remove_temporaries,
    sha256_of,
    write_json,
)
from ulmfit.training.checkpoint_share import CHECKPOINT_STATE
from ulmfit.training.weights import read_weights, write_tensors

KEPT = 2
WAIT_SECONDS = 0.2
TENSORS, STATE = "tensors.safetensors", CHECKPOINT_STATE


class Checkpoint(NamedTuple):
    """The state of a training run after a step."""

    tensors: Mapping[str, Tensor]
    state: dict[str, Any]


class CheckpointStore:
    """The checkpoints of one training run, in a folder of their own; one process writes there."""

    def __init__(self, folder: Path, log: Callable[[str], None]) -> None:
        self.folder = folder
        self._log = log

    def save(self, step: int, tensors: Mapping[str, Tensor], state: dict[str, Any]) -> None:
        """Write a checkpoint for `step`, then remove all but the last two.

        Files and folders are flushed to the disk, so that not even a power cut leaves half a checkpoint.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        remove_temporaries(self.folder)
        with atomic_folder(self._path(step)) as folder:
            write_tensors(tensors, folder / TENSORS)
            hashes = {"tensors_sha256": sha256_of(folder / TENSORS), "state_sha256": _hash(state)}
            write_json(folder / STATE, {**hashes, "state": state})
            flush(folder)
        flush(self.folder)
        earlier = [path for path in self._all() if path <= self._path(step)]
        # Checkpoints of later steps are damaged: training skipped them and went on from an earlier one.
        for old in set(self._all()) - set(earlier[-KEPT:]):
            shutil.rmtree(old)

    def latest(self) -> Checkpoint | None:
        """Return the newest checkpoint that is whole, or None."""
        for folder in reversed(self._all()):
            if checkpoint := _read(folder):
                return checkpoint
            self._log(f"checkpoint {folder.name} is damaged; taking the one before")
        return None

    def at(self, step: int) -> Checkpoint | None:
        """Return the checkpoint of `step` when it is whole, or None."""
        return _read(self._path(step))

    def _path(self, step: int) -> Path:
        return self.folder / f"step-{step:09}"

    def _all(self) -> list[Path]:
        return sorted(self.folder.glob("step-*"))


class BackgroundWriter:
    """Does one job at a time in a thread; an error there is raised in the thread that waits or checks."""

    def __init__(self) -> None:
        self._thread: threading.Thread | None = None
        self._error: BaseException | None = None

    def start(self, job: Callable[[], None]) -> None:
        """Begin `job` once the former one is finished."""
        self.finish()
        # A daemon thread, so that a second signal ends the process without waiting for a write.
        self._thread = threading.Thread(target=self._run, args=(job,), name="checkpoint", daemon=True)
        self._thread.start()

    def wait(self) -> None:
        """Wait for the job."""
        while self._thread is not None:
            # With a time limit: a signal that reaches another thread does not interrupt a wait without end.
            self._thread.join(WAIT_SECONDS)
            if not self._thread.is_alive():
                self._thread = None

    def finish(self) -> None:
        """Wait for the job; raise its error."""
        self.wait()
        self.check()

    def check(self) -> None:
        """Raise the error of a job that has failed already; waits for nothing."""
        if self._error is not None:
            error, self._error = self._error, None
            raise error

    def _run(self, job: Callable[[], None]) -> None:
        try:
            job()
        except BaseException as error:
            self._error = error


def _read(folder: Path) -> Checkpoint | None:
    """Return a checkpoint whose hashes are right, or None."""
    try:
        content = read_json(folder / STATE)
        state: dict[str, Any] = content["state"]
        if content["state_sha256"] != _hash(state):
            return None
        if content["tensors_sha256"] != sha256_of(folder / TENSORS):
            return None
        return Checkpoint(read_weights(folder / TENSORS), state)
    except (OSError, ValueError, KeyError, TypeError, InputError):
        return None


def _hash(state: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps(state, sort_keys=True).encode()).hexdigest()
