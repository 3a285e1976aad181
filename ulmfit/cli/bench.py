"""`bench`: this project beside the stock libraries."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Annotated

import typer

from ulmfit.pipeline.printing import show


def bench(
    name: Annotated[str, typer.Argument(help="extract, encode, loader, lm, classifier, predict or serve")],
    dump: Annotated[Path | None, typer.Argument(help="extract: a dump; default: a generated one")] = None,
    reference: Annotated[
        Path | None, typer.Option(help="extract: compare texts, not speed, on the dumps in this folder")
    ] = None,
    documents: Annotated[
        Path | None, typer.Option(help="encode: a documents.parquet; default: a generated one")
    ] = None,
    megabytes: Annotated[int | None, typer.Option(min=1, help="size of the generated input")] = None,
    repetitions: Annotated[int, typer.Option(min=1, help="how often each program runs")] = 3,
    model: Annotated[
        str | None, typer.Option(help="lm, classifier, predict: full, small, quick or all; lm: qrnn")
    ] = None,
    steps: Annotated[
        int | None,
        typer.Option(min=1, help="lm, classifier, predict: measured steps per process; serve: requests"),
    ] = None,
    bundle: Annotated[Path | None, typer.Option(help="serve: a folder that ulmfit bundle wrote")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="print one JSON object per case")] = False,
) -> None:
    """Measure this project beside the stock library, in one run, in alternating processes."""
    from ulmfit.bench.run import Options
    from ulmfit.bench.run import bench as run_bench

    options = Options(dump, reference, documents, megabytes, repetitions, model, steps, bundle)
    report = run_bench(name, options, lambda line: show(line, sys.stderr))
    for case in report.cases if as_json else ():
        show(json.dumps(case, ensure_ascii=False, allow_nan=False))
    if not as_json:
        show(report.table)
