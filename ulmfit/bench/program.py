"""What the processes of `ulmfit bench lm` and `classifier` share: seconds, memory and profile of a job."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any, ClassVar

import torch

from ulmfit.bench.job import Job
from ulmfit.bench.profile import LOADER, Profile, part
from ulmfit.pipeline.stage import Stage
from ulmfit.training.memory import PeakMemory

ADAM_EPSILON = 1e-8
"""Hyper-parameters of our optimizer."""
MEBIBYTE = 1 << 20
TYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}

Figures = dict[str, Any]


class Training(Stage):
    """Lends log, progress and scratch folder to the training."""

    stage_name: ClassVar[str] = "training"


class Watch:
    """Measures seconds and memory of a job, and the profile where one is asked for."""

    def __init__(self, job: Job) -> None:
        self.amount, self.device = job.amount, torch.device(job.device)
        self.figures: Figures = {}
        self.profile = Profile(job, self.device) if job.profile else None

    def start(self) -> None:
        """Begin, after the first batches."""
        self._wait()
        self.memory = PeakMemory(self.device)
        if self.profile:
            self.profile.start()
        self.busy, self.started = time.process_time(), time.perf_counter()

    def stop(self) -> None:
        """End, after the last batch."""
        self._wait()
        seconds, busy = time.perf_counter() - self.started, time.process_time() - self.busy
        names = {"peak_memory_bytes": "peak_mebibytes", "peak_gpu_memory_bytes": "gpu_peak_mebibytes"}
        peaks = {names[name]: value / MEBIBYTE for name, value in self.memory.measures().items()}
        self.figures = {"seconds": seconds, "busy_seconds": busy, "amount": self.amount, **peaks}
        if self.profile:
            self.figures["profile"] = self.profile.stop(seconds)

    def _wait(self) -> None:
        if self.device.type == "cuda":
            torch.cuda.synchronize()


def watch_batches(loader: Any, watch: Watch, warm_up: int = 0) -> None:
    """Let one of our loaders start the watch after `warm_up` batches, and stop it after its last one."""
    batches_of = loader.batches

    def batches(epoch: int, first: int = 0) -> Iterator[Any]:
        batches = batches_of(epoch, first)
        for number in range(first, len(loader)):
            if number == warm_up:
                watch.start()
            with part(LOADER):
                batch = next(batches)
            yield batch
        watch.stop()

    loader.batches = batches


def stock_precision(learner: Any, precision: str, device: str) -> torch.autocast:
    """Give fastai's learner a precision; return a context for computing in it outside of the learner.

    fastai's mixed precision names the device `cuda`, which does nothing on a CPU; there it is told `cpu`.
    """
    from fastai.callback.fp16 import MixedPrecision

    class OnThisDevice(MixedPrecision):
        def before_fit(self) -> None:
            super().before_fit()
            if device == "cpu":
                self.autocast = torch.autocast("cpu", TYPES[precision])

    if precision != "fp32":
        learner.add_cb(OnThisDevice(precision))
    return torch.autocast(device, TYPES[precision], enabled=precision != "fp32")
