"""`ulmfit bench classifier`: training and inference of a classifier, beside stock fastai; where time goes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from ulmfit.bench import job as lm_sizes
from ulmfit.bench.compare import Comparison, Log, aligned
from ulmfit.bench.job import Device, Job, Library, Precision, Sizes, Work
from ulmfit.bench.pairs import Pair, chosen_model, compare_pairs, device_here, pairs_report
from ulmfit.bench.run import Options, Report
from ulmfit.classifier.settings import ClassifierSettings
from ulmfit.training.precision import resolve_precision

PROGRAM = "ulmfit.bench.classifier_program"
USES = frozenset({"model", "steps"})
FULL = replace(lm_sizes.FULL, tokens=300)
SMALL = replace(lm_sizes.SMALL, batch_size=64, tokens=30)
QUICK = replace(lm_sizes.QUICK, tokens=12)
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
"""Measured batches per process: about half a minute of work."""
QUICK_STEPS = 4
WARM_UP = {"cpu": 1, "cuda": 10}
UNIT = "documents/s"


def run(options: Options, folder: Path, log: Log) -> Report:
    """Predict and train with both libraries in turn, then once more with a profile of ours."""
    device = device_here()
    found = pairs(chosen_model(options, MODELS), device, options.steps)
    comparisons, profiles = compare_pairs(found, PROGRAM, weights_of, UNIT, options, folder, log)
    described = {"device": device, "documents": "made up, of log-normal lengths"}
    return pairs_report("classifier", comparisons, _checks(comparisons), profiles, described, "batch")


def pairs(model: str, device: Device, steps: int | None) -> list[Pair]:
    """Return the pairs of jobs for a model, or for `full` and `small`."""
    models = ("full", "small") if model == "all" else (model,)
    works: tuple[Work, ...] = ("inference", "training")
    return [pair for name in models for work in works for pair in _of(SIZES[name], work, device, steps)]


def _of(sizes: Sizes, work: Work, device: Device, steps: int | None) -> Iterator[Pair]:
    """Yield pairs: our default precision beside the fastest stock and stock's default; fp32 beside fp32.

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

    def job(who: Library, precision: Precision, batch_size: int) -> Job:
        return Job(who, work, sizes, precision, measured, WARM_UP[device], device, batch_size)

    batches = list(dict.fromkeys((sizes.batch_size, many)))
    in_fp32 = [job("stock", "fp32", size) for size in batches]
    stock, *others = [*in_fp32, *(job("stock", kind, size) for kind in lower for size in batches)]
    name = f"{sizes.name}, about {sizes.tokens} tokens, {work}"
    if best != "fp32":
        yield Pair(f"{name}, {best}", job("ours", best, many), stock, tuple(others))
        yield Pair(f"{name}, {best} beside fastai's default, fp32", job("ours", best, many), stock)
    yield Pair(f"{name}, fp32 beside fp32", job("ours", "fp32", many), stock, tuple(in_fp32[1:]))


def weights_of(job: Job, folder: Path) -> Path:
    """Return the folder of the weights that a job begins with; they are made when they are not there yet."""
    from ulmfit.bench.classifier_program import make

    weights = folder / f"weights-{job.sizes.name}"
    if not weights.exists():
        weights.mkdir()
        make(job.sizes, weights)
    return weights


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
