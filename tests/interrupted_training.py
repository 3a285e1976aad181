"""Trainings in processes of their own that are killed, stopped or hindered at a chosen moment."""

from __future__ import annotations

import multiprocessing
import os
import shutil
import signal
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from stages_for_tests import tiny_classifier, tiny_pretrain

from ulmfit.pipeline.files import read_json
from ulmfit.pipeline.stage import MANIFEST, Stage

LIMIT_SECONDS = 240


@dataclass(frozen=True)
class Disturbance:
    """A signal that a training sends itself when `step` steps are done and fastai announces `event`.

    `event` may be "write" as well: within the writing of a checkpoint, at `step` or later.
    """

    step: int
    event: str = "after_backward"
    number: int = signal.SIGKILL
    again: bool = False
    """Whether the signal is sent a second time, while the checkpoint of the first is written slowly."""
    after_writes: bool = False
    """Whether checkpoints that are being written are waited for first."""


@dataclass(frozen=True)
class Training:
    """A tiny stage: its kind and the settings that differ."""

    kind: str = "pretrain"
    settings: dict[str, Any] = field(default_factory=dict)
    architecture: dict[str, Any] = field(default_factory=dict)
    threads: int = 1

    def stage(self) -> Stage:
        """Return the stage, which writes a checkpoint every 7 steps unless told otherwise."""
        make = {"pretrain": tiny_pretrain, "classifier": tiny_classifier}[self.kind]
        changes: dict[str, Any] = {"checkpoint_steps": 7, "checkpoint_minutes": 0, **self.settings}
        if self.kind == "pretrain":
            changes = {"batch_size": 16, "bptt": 16, **changes}
        if self.architecture:
            changes["architecture"] = tiny_pretrain().settings.architecture.changed(**self.architecture)
        return make(**changes)

    def folder(self, runs: Path) -> Path:
        """Return the stage's folder, finished or not."""
        return next(runs.glob(f"stages/{self.kind}/*"))


@dataclass(frozen=True)
class Ended:
    """How a process ended."""

    status: int
    log: str
    errors: str


def run(training: Training, runs: Path, disturbance: Disturbance | None = None) -> Ended:
    """Build a training in a process of its own, in which the libraries are loaded already."""
    context = multiprocessing.get_context("forkserver")
    # torch imports _dynamo with the first optimizer, which takes seconds.
    context.set_forkserver_preload(["interrupted_training", "ulmfit.classifier.fit", "torch._dynamo"])
    runs.mkdir(parents=True, exist_ok=True)
    process = context.Process(target=_build, args=(training, runs, disturbance))
    process.start()
    process.join(LIMIT_SECONDS)
    if process.exitcode is None:
        process.kill()
        raise TimeoutError(f"the training did not end within {LIMIT_SECONDS} s")
    log, errors = (Path(runs / name).read_text(encoding="utf-8") for name in ("out.txt", "errors.txt"))
    return Ended(process.exitcode, log, errors)


def result(training: Training, runs: Path) -> str:
    """Return one hash of all that a finished training wrote: weights, history, metrics."""
    return read_json(training.folder(runs) / MANIFEST)["outputs"]


def checkpoints(training: Training, runs: Path) -> list[Path]:
    """Return the checkpoints of a training that is not finished."""
    return sorted(training.folder(runs).glob("scratch/checkpoints/step-*"))


def upstream_of(finished: Path, kind: str, runs: Path) -> Path:
    """Copy a finished run without the stage of `kind`; return the copy."""
    shutil.copytree(finished, runs, ignore=shutil.ignore_patterns("locks"))
    shutil.rmtree(runs / "stages" / kind)
    return runs


def _build(training: Training, runs: Path, disturbance: Disturbance | None) -> None:
    import torch

    from ulmfit.cli.errors import stop
    from ulmfit.pipeline.runner import Runner

    for stream, name in ((sys.stdout, "out.txt"), (sys.stderr, "errors.txt")):
        os.dup2(os.open(runs / name, os.O_WRONLY | os.O_CREAT | os.O_TRUNC), stream.fileno())
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, stop)
    torch.set_num_threads(training.threads)
    if disturbance is not None:
        _arm(disturbance)
    Runner(runs).build(training.stage())


def _arm(disturbance: Disturbance) -> None:
    """Send the signal at the moment of the disturbance."""
    import time

    from ulmfit.training import checkpoint
    from ulmfit.training.loop import ResumableLearner
    from ulmfit.training.stopping import SAME_REQUEST_SECONDS

    plain_call, plain_write = ResumableLearner.__call__, checkpoint.write_tensors
    state = {"sent": 0}

    def send() -> None:
        state["sent"] += 1
        os.kill(os.getpid(), disturbance.number)

    def call(self: Any, event: str) -> None:
        is_training = getattr(self, "training", False) or event == disturbance.event == "before_validate"
        checkpointer = getattr(self, "checkpointer", None)
        is_moment = event == disturbance.event and is_training and not state["sent"]
        if is_moment and checkpointer and checkpointer.step >= disturbance.step:
            if disturbance.after_writes:
                checkpointer._writer.wait()
            send()
        plain_call(self, event)

    def write(tensors: Any, path: Path) -> None:
        plain_write(tensors, path)
        number = int(path.parent.name.split("step-")[1].split(".")[0])
        if disturbance.again and state["sent"] == 1 and number > disturbance.step:
            time.sleep(SAME_REQUEST_SECONDS + 0.5)
            send()
            time.sleep(60)
        if disturbance.event == "write" and not state["sent"] and number >= disturbance.step:
            send()

    ResumableLearner.__call__ = call
    checkpoint.write_tensors = write
