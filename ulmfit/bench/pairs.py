"""What the benches of models share: pairs of jobs, run in turn, and a report with profiles of ours."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from ulmfit.bench.compare import Case, Comparison, Log, aligned, compare, memory_of, speed_report
from ulmfit.bench.job import Device, Job
from ulmfit.bench.measure import Program, measure, python_program
from ulmfit.bench.run import Options, Report
from ulmfit.pipeline.errors import InputError
from ulmfit.training.precision import gpu_generations

PROFILED_STEPS = 3
Profiles = Mapping[str, Mapping[str, float]]
"""Name of a pair -> part of a step -> milliseconds."""


@dataclass(frozen=True)
class Pair:
    """Two jobs to compare, and other settings of the second one."""

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
    found: Sequence[Pair],
    module: str,
    input_of: Callable[[Job, Path], Path],
    unit: str,
    options: Options,
    folder: Path,
    log: Log,
) -> tuple[list[Comparison], Profiles]:
    """Run the jobs of all pairs in turn, then ours of each kind once more with a profile.

    `module` does a job in a process of its own; `input_of` makes what it needs, a folder below `folder`, when
    that is not there yet.
    """

    def program(job: Job) -> Program:
        return python_program(job.name, module, input_of(job, folder), job.as_json())

    def case(pair: Pair) -> Case:
        alternatives = tuple(map(program, pair.alternatives))
        return Case(pair.name, program(pair.ours), program(pair.stock), 0, unit, alternatives=alternatives)

    comparisons = compare(list(map(case, found)), options.repetitions, folder, log)
    profiles = {}
    for pair in _first_of_each_kind(found):
        log(f"profile of {pair.ours.name}")
        steps = min(PROFILED_STEPS, pair.ours.steps) * (pair.ours.batch_size // pair.ours.sizes.batch_size)
        # The kernels of a replayed graph cannot be assigned to parts of the model.
        job = replace(pair.ours, steps=steps, profile=True, graphs=False)
        figures: Mapping[str, Any] = measure(program(job), folder / "run").figures
        profiles[pair.name] = figures["profile"]
    return comparisons, profiles


def _first_of_each_kind(found: Sequence[Pair]) -> list[Pair]:
    """Return the pairs whose job of ours is profiled: one for each work and size."""
    return list({(pair.ours.sizes, pair.ours.work): pair for pair in reversed(found)}.values())[::-1]


def pairs_report(
    bench: str,
    comparisons: Sequence[Comparison],
    checks: Sequence[str],
    profiles: Profiles,
    described: Mapping[str, str],
    step: str,
) -> Report:
    """Make the report: speed, memory, the lines of `checks`, and where the time of a `step` goes."""
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
    lines = [("", f"ms per {unit}", "share")]
    lines += [(name, f"{value:.2f}", f"{100 * value / total:.1f}%") for name, value in rows.items()]
    return aligned([*lines, ("all", f"{total:.2f}", "100.0%")])
