"""What the benches of training share: pairs of jobs, run in turn, and a report with profiles of ours."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Generic, Literal, TypeVar

from ulmfit.bench.compare import Case, Comparison, aligned, compare, memory_of, speed_report
from ulmfit.bench.measure import Program
from ulmfit.bench.run import Options, Report
from ulmfit.pipeline.errors import InputError
from ulmfit.training.precision import gpu_generations

Log = Callable[[str], None]
Device = Literal["cpu", "cuda"]
Profiles = Mapping[str, Mapping[str, float]]
"""Name of a pair -> part of a step -> milliseconds."""
Job = TypeVar("Job")


@dataclass(frozen=True)
class Pair(Generic[Job]):
    """Two jobs to compare, with other settings of the second one."""

    name: str
    ours: Job
    stock: Job
    alternatives: tuple[Job, ...] = ()


def chosen_model(options: Options, models: Sequence[str]) -> str:
    """Return the model asked for, `all` by default; raises InputError for an unknown one."""
    model = options.model or "all"
    if model not in models:
        raise InputError(f"there is no model {model!r} to measure; expected one of {', '.join(models)}")
    return model


def device_here() -> Device:
    """Return the device that is measured."""
    return "cuda" if gpu_generations() else "cpu"


def compare_pairs(
    found: Sequence[Pair[Job]],
    program: Callable[[Job], Program],
    unit: str,
    options: Options,
    folder: Path,
    log: Log,
) -> list[Comparison]:
    """Run the programs of all pairs in turn."""
    cases = [
        Case(
            pair.name,
            program(pair.ours),
            program(pair.stock),
            0,
            unit,
            alternatives=tuple(map(program, pair.alternatives)),
        )
        for pair in found
    ]
    return compare(cases, options.repetitions, folder, log)


def last_line(folder: Path, output: str) -> Mapping[str, float]:
    """Return the figures that a program prints at its end."""
    return json.loads(output.splitlines()[-1])


def pairs_report(
    bench: str,
    comparisons: Sequence[Comparison],
    checks: Sequence[str],
    profiles: Profiles,
    described: Mapping[str, str],
    step: str,
) -> Report:
    """Put speed, memory, the lines of `checks` and where the time of a `step` goes together."""
    memory = [memory_of(comparison, described["device"]) for comparison in comparisons]
    speed = speed_report(bench, [*comparisons, *memory], described)
    cases = [dict(case) for case in speed.cases]
    for case, comparison in zip(cases, comparisons, strict=False):
        if comparison.case in profiles:
            case["profile_milliseconds"] = profiles[comparison.case]
    tables = [speed.table, "", *checks]
    for name, rows in profiles.items():
        tables += ["", f"where a {step}'s time goes, {name}, in a profiled run", *_profile_table(rows, step)]
    return Report("\n".join(tables), cases)


def _profile_table(rows: Mapping[str, float], unit: str) -> list[str]:
    """Return the milliseconds of every part as an aligned table."""
    total = sum(rows.values())
    lines = [("", f"ms a {unit}", "share")]
    lines += [(name, f"{value:.2f}", f"{100 * value / total:.1f}%") for name, value in rows.items()]
    return aligned([*lines, ("all", f"{total:.2f}", "100.0%")])
