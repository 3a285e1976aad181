"""`ulmfit bench classifier`: training and inference of a classifier, beside stock fastai; where time goes."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

from ulmfit.bench.classifier_job import FULL, QUICK, SMALL, Job, Sizes, Work
from ulmfit.bench.compare import Comparison, aligned
from ulmfit.bench.lm_job import Precision
from ulmfit.bench.measure import Program, measure
from ulmfit.bench.pairs import (
    Device,
    Log,
    Pair,
    chosen_model,
    compare_pairs,
    device_here,
    last_line,
    pairs_report,
)
from ulmfit.bench.run import Options, Report
from ulmfit.classifier.settings import ClassifierSettings
from ulmfit.pipeline.errors import StageFailed
from ulmfit.training.precision import resolve_precision

USES = frozenset({"model", "steps"})
SIZES = {"full": FULL, "small": SMALL, "quick": QUICK}
MODELS = (*SIZES, "all")
STEPS: dict[tuple[str, str, Work], int] = {
    ("cpu", "full", "inference"): 24,
    ("cpu", "full", "training"): 6,
    ("cpu", "small", "inference"): 400,
    ("cpu", "small", "training"): 80,
    ("cuda", "full", "inference"): 400,
    ("cuda", "full", "training"): 200,
    ("cuda", "small", "inference"): 2000,
    ("cuda", "small", "training"): 1000,
}
"""Measured batches of a process, which then works for about half a minute."""
QUICK_STEPS = 4
WARM_UP = {"cpu": 1, "cuda": 10}
PROFILED_STEPS = 3
UNIT = "documents/s"


def run(options: Options, folder: Path, log: Log) -> Report:
    """Predict and train with both libraries in turn, then once more with a profile of ours."""
    device = device_here()
    found = pairs(chosen_model(options, MODELS), device, options.steps)
    programs = Programs(folder, log)
    comparisons = compare_pairs(found, programs.of, UNIT, options, folder, log)
    chosen = {(pair.ours.sizes, pair.ours.work): pair for pair in reversed(found)}
    profiles = {pair.name: programs.profile(pair.ours) for pair in reversed(chosen.values())}
    described = {"device": device, "documents": "made up, of log-normal lengths"}
    return pairs_report("classifier", comparisons, _checks(comparisons), profiles, described, "batch")


def pairs(model: str, device: Device, steps: int | None) -> list[Pair[Job]]:
    """Return what is compared for a model, or for `full` and `small`."""
    models = ("full", "small") if model == "all" else (model,)
    works: tuple[Work, ...] = ("inference", "training")
    return [pair for name in models for work in works for pair in _of(SIZES[name], work, device, steps)]


def _of(sizes: Sizes, work: Work, device: Device, steps: int | None) -> Iterator[Pair[Job]]:
    """Yield ours in its own choice of precision beside the fastest stock and its default; fp32 beside fp32.

    Ours predicts as many documents at once as it does by default; stock as many as in training, and as many
    as ours.
    """
    best = resolve_precision("auto", device)
    measured = steps or STEPS.get((device, sizes.name, work), QUICK_STEPS)
    many = sizes.batch_size
    if work == "inference":
        default = ClassifierSettings().evaluation_batch
        many = default if sizes is not QUICK else 2 * sizes.batch_size
    lower: tuple[Precision, ...] = ("bf16", "fp16") if device == "cuda" else ("bf16",)

    def job(who: Literal["ours", "stock"], precision: Precision, batch_size: int) -> Job:
        return Job(who, work, sizes, precision, measured, WARM_UP[device], device, batch_size)

    batches = list(dict.fromkeys((sizes.batch_size, many)))
    in_fp32 = [job("stock", "fp32", size) for size in batches]
    stock, *others = [*in_fp32, *(job("stock", kind, size) for kind in lower for size in batches)]
    name = f"{sizes.name}, about {sizes.tokens} tokens, {work}"
    if best != "fp32":
        yield Pair(f"{name}, {best}", job("ours", best, many), stock, tuple(others))
        yield Pair(f"{name}, {best} beside fastai's default, fp32", job("ours", best, many), stock)
    yield Pair(f"{name}, fp32 beside fp32", job("ours", "fp32", many), stock, tuple(in_fp32[1:]))


class Programs:
    """The processes that do jobs, and the weights that they begin with."""

    def __init__(self, folder: Path, log: Log) -> None:
        self.folder, self.log = folder, log

    def of(self, job: Job) -> Program:
        """Return the process that does `job`; weights are made when they are not there yet."""
        command = (sys.executable, "-P", "-m", "ulmfit.bench.classifier_program")
        return Program(job.name, (*command, str(self._weights(job)), job.as_json()), last_line)

    def profile(self, job: Job) -> Mapping[str, float]:
        """Return where the time of a batch of `job` goes, in milliseconds."""
        self.log(f"profile of {job.name}")
        batches = min(PROFILED_STEPS, job.steps) * max(job.batch_size // job.sizes.batch_size, 1)
        found: Any = measure(self.of(replace(job, steps=batches, profile=True)), self.folder / "run").figures
        return found["profile"]

    def _weights(self, job: Job) -> Path:
        folder = self.folder / f"weights-{job.sizes.name}"
        if not folder.exists():
            folder.mkdir()
            command = (sys.executable, "-P", "-m", "ulmfit.bench.classifier_program", str(folder))
            done = subprocess.run([*command, job.as_json(), "make"], capture_output=True, text=True)
            if done.returncode:
                reason = (done.stderr.strip().splitlines() or ["it says nothing"])[-1]
                raise StageFailed(f"the weights of the bench could not be made: {reason}")
        return folder


def _checks(comparisons: Sequence[Comparison]) -> list[str]:
    """Return padding, the largest difference of a probability from fastai's in fp32, and losses."""
    head = ("", "padding", "stock", "probability off by", "stock", "loss after training", "stock")
    rows: list[tuple[str, ...]] = [head]
    for comparison in comparisons:
        both = [comparison.figures[who] for who in ("ours", "stock")]
        padding = (f"{100 * its['padding_share']:.1f}%" for its in both)
        off = (f"{its['probability_difference']:.1e}" for its in both)
        losses = (f"{its['valid_loss']:.4f}" if "valid_loss" in its else "-" for its in both)
        rows.append((comparison.case, *padding, *off, *losses))
    return aligned(rows)
