"""`ulmfit bench lm`: training of a language model, beside stock fastai; where its time goes."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from ulmfit.bench.compare import Comparison, Log, aligned
from ulmfit.bench.job import (
    DEEP,
    DEEP_QRNN,
    FULL,
    QUICK,
    SMALL,
    Device,
    Job,
    Library,
    Precision,
    Sizes,
    flop_per_token,
)
from ulmfit.bench.made_tokens import write_made_tokens
from ulmfit.bench.pairs import Pair, chosen_model, compare_pairs, device_here, pairs_report
from ulmfit.bench.run import Options, Report
from ulmfit.training.precision import resolve_precision

PROGRAM = "ulmfit.bench.lm_program"
USES = frozenset({"model", "steps"})
MODELS = ("full", "small", "qrnn", "quick", "all")
LARGE_BATCH = 512
STEPS = {
    ("cpu", "full"): 16,
    ("cpu", "small"): 80,
    ("cpu", "quick"): 4,
    ("cpu", "qrnn"): 8,
    ("cuda", "full"): 400,
    ("cuda", "small"): 800,
    ("cuda", "quick"): 4,
    ("cuda", "qrnn"): 200,
}
"""Measured steps per process: about half a minute of work."""
WARM_UP = {"cpu": 3, "cuda": 20}
VALIDATION_CHUNKS = 4
STOCK_WORKERS = 8
"""Processes of fastai's loader that are tried on a GPU in fp16, beside none."""
UNIT = "token/s"


def run(options: Options, folder: Path, log: Log) -> Report:
    """Train with both libraries in turn, then once more with a profile of ours."""
    device = device_here()
    found = pairs(chosen_model(options, MODELS), device, options.steps)
    speeds, profiles = compare_pairs(found, PROGRAM, tokens_of, UNIT, options, folder, log)
    comparisons = list(map(with_operations, speeds, found))
    described = {"device": device, "tokens": "made up: phrases in documents as long as Wikipedia's"}
    return pairs_report("lm", comparisons, _operations_table(comparisons), profiles, described, "step")


# --- What is compared ---------------------------------------------------------------------------------------


def pairs(model: str, device: Device, steps: int | None) -> list[Pair]:
    """Return the pairs of jobs for a model, or for all (`qrnn` only on a GPU, `quick` never)."""
    if model == "all":
        models = ("full", "small", "qrnn") if device == "cuda" else ("full", "small")
        return [pair for each in models for pair in pairs(each, device, steps)]
    measured = steps or STEPS[device, model]

    def job(who: Library, sizes: Sizes, precision: Precision, **options: Any) -> Job:
        batch = sizes.batch_size
        return Job(who, "lm", sizes, precision, measured, WARM_UP[device], device, batch, **options)

    best = resolve_precision("auto", device)
    if model == "qrnn":
        ours, other = (job("ours", sizes, best) for sizes in (DEEP_QRNN, DEEP))
        return [Pair(f"{DEEP_QRNN.name} beside our {DEEP.name}, {best}", ours, other)]
    sizes = {"full": FULL, "small": SMALL, "quick": QUICK}[model]
    found = list(_beside_stock(sizes, best, device, job))
    if device == "cuda" and model == "full":
        found += _beside_stock(sizes.with_batch(LARGE_BATCH), best, device, job)
        on, off = (job("ours", sizes, best, graphs=graphs) for graphs in (True, False))
        found.append(Pair(f"{_name(sizes)}, CUDA graphs on beside off, {best}", on, off))
    return found


def _beside_stock(sizes: Sizes, best: Precision, device: Device, job: Callable[..., Job]) -> Iterator[Pair]:
    """Yield pairs: ours in its default precision beside the fastest stock, and fp32 beside fp32."""
    lower: tuple[Precision, ...] = ("bf16", "fp16") if device == "cuda" else ("bf16",)
    stock, *others = (job("stock", sizes, kind) for kind in ("fp32", *lower))
    if device == "cuda":
        others.append(job("stock", sizes, "fp16", workers=STOCK_WORKERS))
    if best != "fp32":
        yield Pair(f"{_name(sizes)}, {best}", job("ours", sizes, best), stock, tuple(others))
    yield Pair(f"{_name(sizes)}, fp32 beside fp32", job("ours", sizes, "fp32"), stock)


def _name(sizes: Sizes) -> str:
    return f"{sizes.name}, {sizes.batch_size} x {sizes.bptt}"


def tokens_of(job: Job, folder: Path) -> Path:
    """Return the folder of a job's tokens; they are written when they are not there yet."""
    steps = job.warm_up + job.steps
    tokens = folder / f"tokens-{job.sizes.vocabulary_size}-{job.sizes.batch_size}-{steps}"
    if not tokens.exists():
        tokens.mkdir()
        for seed, (split, chunks) in enumerate((("train", steps), ("valid", VALIDATION_CHUNKS))):
            count = 1 + chunks * job.sizes.tokens_of_a_step
            write_made_tokens(tokens, split, count, job.sizes.vocabulary_size, seed)
    return tokens


# --- What is reported ---------------------------------------------------------------------------------------


def with_operations(comparison: Comparison, pair: Pair) -> Comparison:
    """Add operations per second, and their share of those of a product of large matrices."""
    figures = dict(comparison.figures)
    for who, job, rate in (
        ("ours", pair.ours, comparison.ours.median),
        ("stock", pair.stock, comparison.stock.median),
    ):
        operations = flop_per_token(job.sizes)
        its = figures[who]
        figures[who] = {
            **its,
            "flop_per_token": operations,
            "flop_per_second": rate * operations,
            "share_of_matrix_peak": rate * operations / its["matrix_flop_per_second"],
        }
    return replace(comparison, figures=figures)


def _operations_table(comparisons: Sequence[Comparison]) -> list[str]:
    rows: list[tuple[str, ...]] = [
        ("", "GFLOP/s", "of peak", "stock", "of peak", "first loss", "stock", "after training", "stock")
    ]
    for comparison in comparisons:
        both = [comparison.figures[who] for who in ("ours", "stock")]
        speeds = (
            text
            for its in both
            for text in (f"{its['flop_per_second'] / 1e9:.4g}", f"{100 * its['share_of_matrix_peak']:.0f}%")
        )
        losses = (f"{its[which]:.5f}" for which in ("first_loss", "valid_loss") for its in both)
        rows.append((comparison.case, *speeds, *losses))
    return aligned(rows)
