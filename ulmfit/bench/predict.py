"""`ulmfit bench predict`: texts to probabilities by a bundle, in torch and onnxruntime, beside fastai."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from ulmfit.bench.classifier import QUICK_STEPS, SIZES
from ulmfit.bench.compare import Case, Comparison, Log, aligned, compare, memory_of, speed_report
from ulmfit.bench.job import Job, Library, Precision, Sizes
from ulmfit.bench.measure import Program, python_program
from ulmfit.bench.pairs import Pair, chosen_model
from ulmfit.bench.run import Options, Report
from ulmfit.training.precision import resolve_precision

PROGRAM = "ulmfit.bench.predict_program"
USES = frozenset({"model", "steps"})
MODELS = (*SIZES, "all")
STEPS = {"full": 3, "small": 100}
"""Measured batches of 64 texts of a process."""
TEXTS_AT_ONCE = 256
"""What `TextClassifier.load` computes at once."""
UNIT = "documents/s"


def run(options: Options, folder: Path, log: Log) -> Report:
    """Predict with all of them in turn, on the CPU."""
    found = pairs(chosen_model(options, MODELS), options.steps)
    comparisons = compare([_case(pair, folder) for pair in found], options.repetitions, folder, log)
    described = {
        "device": "cpu",
        "documents": "made up, of log-normal lengths; texts for ours, ids for fastai",
    }
    memory = [memory_of(comparison, "cpu") for comparison in comparisons]
    report = speed_report("predict", [*comparisons, *memory], described)
    return Report("\n".join([report.table, "", *_checks(comparisons)]), report.cases)


def pairs(model: str, steps: int | None) -> list[Pair]:
    """Return what is compared for a model, or for `full` and `small`."""
    models = ("full", "small") if model == "all" else (model,)
    return [pair for name in models for pair in _of(SIZES[name], steps)]


def _of(sizes: Sizes, steps: int | None) -> list[Pair]:
    """Return ours in its own choice of precision, ours in fp32, and onnxruntime, each beside fastai."""
    best = resolve_precision("auto", "cpu")
    measured = steps or STEPS.get(sizes.name, QUICK_STEPS)

    def job(who: Library, precision: Precision, at_once: int = TEXTS_AT_ONCE) -> Job:
        return Job(who, "inference", sizes, precision, measured, 1, "cpu", at_once)

    as_it_comes = job("stock", "fp32", sizes.batch_size)
    name = f"{sizes.name}, about {sizes.tokens} tokens"
    found = [
        Pair(f"{name}, fp32", job("ours", "fp32"), as_it_comes),
        Pair(f"{name}, onnxruntime, fp32", job("onnx", "fp32", sizes.batch_size), as_it_comes),
    ]
    if best == "fp32":
        return found
    ours = job("ours", best)
    fastest = (job("stock", best, sizes.batch_size), job("stock", best))
    return [
        Pair(f"{name}, {best} beside fastai as it comes, fp32", ours, as_it_comes),
        Pair(f"{name}, {best} beside the fastest fastai", ours, as_it_comes, fastest),
        *found,
    ]


def _case(pair: Pair, folder: Path) -> Case:
    def program(job: Job) -> Program:
        return python_program(job.name, PROGRAM, input_of(job.sizes, folder), job.as_json())

    alternatives = tuple(map(program, pair.alternatives))
    return Case(pair.name, program(pair.ours), program(pair.stock), 0, UNIT, alternatives=alternatives)


def input_of(sizes: Sizes, folder: Path) -> Path:
    """Return the folder with the bundle and its ONNX file; they are made when they are not there yet."""
    from ulmfit.bench.predict_program import make

    made = folder / f"bundle-{sizes.name}"
    if not made.exists():
        made.mkdir()
        make(sizes, made)
    return made


def _checks(comparisons: Sequence[Comparison]) -> list[str]:
    """Return documents per second of CPU time, which other programs hardly change, and how equal both are.

    That is the largest difference of a probability from fastai's in fp32.
    """
    rows: list[tuple[str, ...]] = [("", "documents/CPU s", "stock", "ratio", "probability off by", "stock")]
    for comparison in comparisons:
        both = [comparison.figures[who] for who in ("ours", "stock")]
        rates = [its["amount"] / its["busy_seconds"] for its in both]
        off = (f"{its['probability_difference']:.1e}" for its in both)
        rows.append((comparison.case, *(f"{rate:.4g}" for rate in rates), f"{rates[0] / rates[1]:.2f}", *off))
    return aligned(rows)
