"""`ulmfit bench serve`: requests per second and waiting times of `ulmfit serve`, with and without batching.

There is no stock library to stand beside: "stock" is the same service when it computes each request alone.
"""

from __future__ import annotations

from pathlib import Path

from ulmfit.bench import serve_program
from ulmfit.bench.compare import Case, Comparison, Log, aligned, compare, speed_report
from ulmfit.bench.measure import Program, python_program
from ulmfit.bench.run import Options, Report
from ulmfit.bundle.hub import local_folder
from ulmfit.language_model.bundle_format import BUNDLE, kind_of_bundle
from ulmfit.pipeline.errors import InputError
from ulmfit.pipeline.files import read_json

USES = frozenset({"bundle", "steps"})
PROGRAM = serve_program.__name__
REQUESTS = 2_000
OVERLOAD_SHARE = 10
"""A refused client waits a second or more: under overload there are a tenth of the requests."""
CONNECTIONS = (1, 8, 64)
BATCHED, ALONE = 256, 1
WAITING, OVERLOADED = 1_024, 8
"""Texts that may wait: enough for all connections, and far too few."""


def run(options: Options, folder: Path, log: Log) -> Report:
    """Measure at each number of connections, and at 64 with a queue that is far too small."""
    if options.bundle is None:
        raise InputError("bench serve needs --bundle FOLDER: ulmfit bundle recipes/toy/sentiment.py FOLDER")
    bundle, requests = local_folder(options.bundle).absolute(), options.steps or REQUESTS
    if kind_of_bundle(bundle) != "classifier":
        raise InputError(f"{options.bundle} is a bundle of a language model: expected one of a classifier")
    cases = [
        _case(f"{number} connection{'s' * (number > 1)}", bundle, number, requests, WAITING)
        for number in CONNECTIONS
    ]
    overload = f"{CONNECTIONS[-1]} connections, {OVERLOADED} may wait"
    fewer = max(2 * CONNECTIONS[-1], requests // OVERLOAD_SHARE)
    cases.append(_case(overload, bundle, CONNECTIONS[-1], fewer, OVERLOADED))
    comparisons = compare(cases, options.repetitions, folder, log)
    described = {
        "bundle": str(read_json(bundle / BUNDLE).get("name")),
        "requests": requests,
        "texts": "reviews of the invented language, one per request",
    }
    report = speed_report("serve", comparisons, described)
    return Report(f"{report.table}\n{waiting_times(comparisons)}", report.cases)


def _case(name: str, bundle: Path, connections: int, requests: int, waiting: int) -> Case:
    def program(kind: str, batched: int) -> Program:
        numbers = map(str, (connections, requests, batched, waiting))
        return python_program(f"{name}, {kind}", PROGRAM, bundle, *numbers)

    return Case(name, program("batched", BATCHED), program("alone", ALONE), requests, "requests/s")


def waiting_times(comparisons: list[Comparison]) -> str:
    """Return a table of how long clients waited, and how often they were told to come back."""
    rows: list[tuple[str, ...]] = [
        ("", "p50 ms", "p99 ms", "p50 ms, alone", "p99 ms, alone", "refused", "lost")
    ]
    for one in comparisons:
        ours, alone = one.figures["ours"], one.figures["stock"]
        times = [f"{its[f'{name}_milliseconds']:.1f}" for its in (ours, alone) for name in ("p50", "p99")]
        rows.append((one.case, *times, f"{ours['refused']:,}", f"{ours['lost']:,}"))
    return "\n".join(aligned(rows))
