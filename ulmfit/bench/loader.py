"""`ulmfit bench loader`: batches of a language model, beside fastai's LMDataLoader on the same tokens."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from ulmfit.bench import loader_program
from ulmfit.bench.compare import Case, Log, compare, speed_report
from ulmfit.bench.made_tokens import write_made_tokens
from ulmfit.bench.measure import python_program
from ulmfit.bench.run import Options, Report

PROGRAM = loader_program.__name__
USES = frozenset({"megabytes"})
GENERATED_MEGABYTES = 100
BYTES_OF_A_TOKEN = 2


def run(options: Options, folder: Path, log: Log) -> Report:
    """Write an array of tokens, then compare how fast batches come out of it."""
    tokens = (options.megabytes or GENERATED_MEGABYTES) * 1_000_000 // BYTES_OF_A_TOKEN
    log(f"writing {tokens / 1e6:.1f} million tokens (not timed)")
    write_made_tokens(folder, loader_program.SPLIT, tokens, loader_program.VOCABULARY_SIZE, seed=0)
    stock = [
        python_program(f"fastai, {workers} workers", PROGRAM, folder, "stock", str(workers))
        for workers in (0, loader_program.WORKERS)
    ]
    case = Case(
        f"batches of {loader_program.BATCH_SIZE} x {loader_program.BPTT}",
        python_program("ulmfit", PROGRAM, folder, "ours"),
        stock[0],
        tokens / 1e6,
        "Mtoken/s",
        with_memory=True,
        with_stock_memory=True,
        alternatives=tuple(stock[1:]),
    )
    (comparison,) = compare([case], options.repetitions, folder, log)
    described = {"tokens": tokens, "batch_size": loader_program.BATCH_SIZE, "bptt": loader_program.BPTT}
    report = speed_report("loader", [comparison], described)
    first = {who: comparison.figures[who]["first_batch"] for who in ("ours", "stock")}
    line = f"seconds until the first batch: ours {first['ours']:.3f}, stock {first['stock']:.3f}"
    return replace(report, table=f"{report.table}\n{line}")
