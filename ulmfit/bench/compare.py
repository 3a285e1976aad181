"""Programs compared: run in turn, several times; medians, spread, ratio; as a table and as JSON."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ulmfit.bench.measure import Memory, Program, Run, measure, measure_memory
from ulmfit.bench.run import Report
from ulmfit.pipeline import provenance
from ulmfit.pipeline.errors import StageFailed

HIGH_LOAD = 0.2
"""With more cores than this busy with other work, a measurement is not to be trusted."""

Log = Callable[[str], None]
Runs = dict[Program, list[Run]]


@dataclass(frozen=True)
class Case:
    """Two programs that do the same work, and how much work that is."""

    name: str
    ours: Program
    stock: Program
    amount: float
    """Amount of the work, in the unit's numerator: megabytes where the unit is MB/s. A figure `amount` that a
    program reports replaces it."""
    unit: str
    with_memory: bool = False
    """Also measure the memory of ours, in a separate run."""
    with_stock_memory: bool = False
    alternatives: tuple[Program, ...] = ()
    """Other settings of stock: ours is compared with the fastest of all. One that fails is left out."""


@dataclass(frozen=True)
class Measured:
    """One figure over the repetitions."""

    min: float
    median: float
    max: float

    @classmethod
    def of(cls, values: Sequence[float]) -> Measured:
        """Summarise the values of all repetitions."""
        return cls(min(values), statistics.median(values), max(values))

    def as_json(self) -> dict[str, float]:
        """Return the three numbers, rounded to what a clock can tell."""
        return {name: _rounded(getattr(self, name)) for name in ("min", "median", "max")}


@dataclass(frozen=True)
class Comparison:
    """The result of a case; `ratio` above 1 is better for us."""

    case: str
    unit: str
    ours: Measured
    stock: Measured
    smaller_is_better: bool = False
    cpu_seconds: Mapping[str, float] = field(default_factory=dict)
    """Median of each program."""
    other_load: Mapping[str, Sequence[float | None]] = field(default_factory=dict)
    """Cores busy with other work, in every run of each program."""
    figures: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    memory: Memory | None = None
    stock_memory: Memory | None = None

    @property
    def ratio(self) -> float | None:
        """How many times better ours is; None when that is not a number."""
        above, below = self.ours.median, self.stock.median
        if self.smaller_is_better:
            above, below = below, above
        return above / below if below else None

    @property
    def highest_load(self) -> float | None:
        """Cores busy with other work in the most disturbed run; None: not known."""
        loads = (load for loads in self.other_load.values() for load in loads if load is not None)
        return max(loads, default=None)

    def as_json(self) -> dict[str, Any]:
        """Return what `--json` prints of this case."""
        content: dict[str, Any] = {
            "case": self.case,
            "ours": _rounded(self.ours.median),
            "stock": _rounded(self.stock.median),
            "ratio": None if self.ratio is None else _rounded(self.ratio),
            "unit": self.unit,
            "spread": {"ours": self.ours.as_json(), "stock": self.stock.as_json()},
            "cpu_seconds": {name: _rounded(value) for name, value in self.cpu_seconds.items()},
            "other_load_cores": {
                name: [None if load is None else round(load, 2) for load in loads]
                for name, loads in self.other_load.items()
            },
            "figures": self.figures,
        }
        for name, memory in (("", self.memory), ("stock_", self.stock_memory)):
            if memory:
                content[f"{name}anonymous_mebibytes"] = {
                    "base": round(memory.base, 1),
                    "peak": round(memory.peak, 1),
                    "above_base": round(memory.peak - memory.base, 1),
                }
        return content


def compare(cases: Sequence[Case], repetitions: int, folder: Path, log: Log) -> list[Comparison]:
    """Run the programs of all cases in turn, `repetitions` times, each in a process of its own."""
    programs = [program for case in cases for program in (case.ours, case.stock, *case.alternatives)]
    may_fail = {program for case in cases for program in case.alternatives}
    runs = run_in_turn(list(dict.fromkeys(programs)), repetitions, folder, log, may_fail)
    return [_comparison(case, runs, folder, log) for case in cases]


def run_in_turn(
    programs: Sequence[Program],
    repetitions: int,
    folder: Path,
    log: Log,
    may_fail: Collection[Program] = (),
) -> Runs:
    """Run the programs one after another, `repetitions` times, each in a process of its own.

    A program of `may_fail` that fails is left out, with a line that says so.
    """
    runs: Runs = {program: [] for program in programs}
    for repetition in range(1, repetitions + 1):
        for program in list(runs):
            try:
                run = measure(program, folder / "run")
            except StageFailed as error:
                if program not in may_fail:
                    raise
                log(f"left out: {error}")
                del runs[program]
                continue
            runs[program].append(run)
            log(f"{repetition} of {repetitions}: {program.name}: {run.seconds:.2f} s{_disturbance(run)}")
    return runs


def _comparison(case: Case, runs: Runs, folder: Path, log: Log) -> Comparison:
    stock, settings = _fastest_stock(case, runs)
    both = {"ours": runs[case.ours], "stock": runs[stock]}
    figures: dict[str, Mapping[str, Any]] = {name: its[-1].figures for name, its in both.items()}
    if case.alternatives:
        figures["stock_settings"] = settings
    return Comparison(
        case.name,
        case.unit,
        Measured.of(_rates(case, both["ours"])),
        Measured.of(_rates(case, both["stock"])),
        cpu_seconds={name: statistics.median(run.cpu_seconds for run in its) for name, its in both.items()},
        other_load={name: [run.other_load for run in its] for name, its in both.items()},
        figures=figures,
        memory=_memory(case.ours, folder, log) if case.with_memory else None,
        stock_memory=_memory(stock, folder, log) if case.with_stock_memory else None,
    )


def _fastest_stock(case: Case, runs: Runs) -> tuple[Program, dict[str, float]]:
    """Return the fastest of stock's settings, and the rates of all of them by their names."""
    programs = [program for program in (case.stock, *case.alternatives) if program in runs]
    rates = {program: statistics.median(_rates(case, runs[program])) for program in programs}
    named = {program.name: _rounded(rate) for program, rate in rates.items()}
    return max(programs, key=rates.__getitem__), named


def _rates(case: Case, runs: Sequence[Run]) -> list[float]:
    return [run.figures.get("amount", case.amount) / run.seconds for run in runs]


def _memory(program: Program, folder: Path, log: Log) -> Memory:
    log(f"memory of {program.name}")
    return measure_memory(program, folder / "run")


def _disturbance(run: Run) -> str:
    if run.other_load is None:
        return ""
    return f", {run.cpu_seconds:.2f} s of CPU, other load {run.other_load:.2f} cores"


def _rounded(value: float) -> float:
    return float(f"{value:.4g}")


def memory_of(comparison: Comparison, device: str) -> Comparison:
    """Return the peak memory that the two programs report, on a GPU that of the device."""
    figure = "gpu_peak_mebibytes" if device == "cuda" else "peak_mebibytes"
    values = (comparison.figures[who].get(figure, float("nan")) for who in ("ours", "stock"))
    ours, stock = (Measured(value, value, value) for value in values)
    return Comparison(f"{comparison.case}: peak memory", "MiB", ours, stock, smaller_is_better=True)


# --- Output -------------------------------------------------------------------------------------------------


def table(comparisons: Sequence[Comparison]) -> str:
    """Return the cases as an aligned table, with a line on memory and on the machine's other load."""
    head = ("", "ours", "stock", "ratio", "unit", "ours from..to", "stock from..to", "CPU s, ours", "stock")
    lines = aligned([head, *map(_row, comparisons)])
    for comparison in comparisons:
        for name, memory in (("", comparison.memory), ("stock: ", comparison.stock_memory)):
            if memory:
                lines.append(
                    f"{comparison.case}: {name}anonymous memory at most {memory.peak - memory.base:.0f} MiB "
                    f"above the {memory.base:.0f} MiB of the process before the work"
                )
    return "\n".join([*lines, *_load_lines(comparisons)])


def _row(comparison: Comparison) -> tuple[str, ...]:
    ratio = "-" if comparison.ratio is None else f"{comparison.ratio:.2f}"
    both = (comparison.ours, comparison.stock)
    cpu = (comparison.cpu_seconds.get(name) for name in ("ours", "stock"))
    return (
        comparison.case,
        *(f"{measured.median:.4g}" for measured in both),
        ratio,
        comparison.unit,
        *(f"{measured.min:.4g}..{measured.max:.4g}" for measured in both),
        *("-" if seconds is None else f"{seconds:.2f}" for seconds in cpu),
    )


def _load_lines(comparisons: Sequence[Comparison]) -> list[str]:
    loads = [load for comparison in comparisons if (load := comparison.highest_load) is not None]
    if not loads:
        return []
    line = f"other load of the machine: at most {max(loads):.2f} cores in a run"
    if max(loads) > HIGH_LOAD:
        line += f"; warning: above {HIGH_LOAD} cores the figures are not to be trusted, measure again"
    return [line]


def aligned(rows: Sequence[Sequence[str]]) -> list[str]:
    """Return rows as lines with aligned columns, the first to the left, the others to the right."""
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    return [
        "  ".join(
            cell.rjust(width) if column else cell.ljust(width)
            for column, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    ]


def speed_report(name: str, comparisons: Sequence[Comparison], described: Mapping[str, Any]) -> Report:
    """Return the report of a bench of speed; `described` says what its input was."""
    common = {"bench": name, "input": described, "machine": provenance.describe()}
    return Report(table(comparisons), [{**comparison.as_json(), **common} for comparison in comparisons])
