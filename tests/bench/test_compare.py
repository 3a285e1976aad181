"""Comparisons: alternation, medians, ratio, the warning about other load, and JSON."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from ulmfit.bench.compare import Case, Comparison, Measured, compare, speed_report, table
from ulmfit.bench.measure import Memory, Program, Run


def program(name: str, seconds: float) -> Program:
    return Program(name, (sys.executable, "-c", ""), lambda folder, output: {"seconds": seconds, "n": 1})


OURS, STOCK = program("ours", 0.5), program("stock", 2.0)


def test_programs_run_in_turn_and_a_shared_one_once_a_repetition(tmp_path: Path) -> None:
    other = program("other", 0.25)
    cases = [Case("a", OURS, STOCK, 10, "MB/s"), Case("b", other, STOCK, 10, "MB/s")]
    lines: list[str] = []
    one, two = compare(cases, 2, tmp_path, lines.append)
    assert [line.split(": ")[1] for line in lines] == ["ours", "stock", "other"] * 2
    assert (one.ours.median, one.stock.median, one.ratio) == (20, 5, 4)
    assert (two.ours.median, two.stock.median, two.ratio) == (40, 5, 8)
    assert one.figures == {"ours": {"n": 1}, "stock": {"n": 1}}
    assert len(one.other_load["ours"]) == 2


def test_medians_and_spread_over_the_repetitions(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seconds = iter([1.0, 4.0, 2.0, 5.0, 4.0, 10.0])
    monkeypatch.setattr(
        "ulmfit.bench.compare.measure", lambda program, folder: Run(next(seconds), 3.0, 0.1, {})
    )
    (result,) = compare([Case("a", OURS, STOCK, 20, "MB/s")], 3, tmp_path, lambda line: None)
    assert result.ours == Measured(5, 10, 20)
    assert result.stock == Measured(2, 4, 5)
    assert result.ratio == 2.5
    assert result.cpu_seconds == {"ours": 3.0, "stock": 3.0}


@pytest.mark.parametrize(
    ("ours", "stock", "smaller_is_better", "ratio"),
    [(6, 2, False, 3), (2, 6, False, 1 / 3), (2, 6, True, 3), (0, 6, True, None), (6, 0, True, 0)],
)
def test_a_ratio_above_one_is_better_for_us(
    ours: float, stock: float, smaller_is_better: bool, ratio: float | None
) -> None:
    one, other = Measured.of([ours]), Measured.of([stock])
    comparison = Comparison("a", "x", one, other, smaller_is_better=smaller_is_better)
    assert comparison.ratio == ratio
    assert comparison.as_json()["ratio"] == (None if ratio is None else pytest.approx(ratio, rel=1e-3))


def result(load: float | None, memory: Memory | None = None) -> Comparison:
    values = Measured.of([1.23456, 2.0, 3.0])
    loads = {"ours": [0.01, load], "stock": [0.0, None]}
    return Comparison("fast", "MB/s", values, Measured.of([1.0]), other_load=loads, memory=memory)


def test_json_of_a_case() -> None:
    report = speed_report("extract", [result(0.456, Memory(100.0, 150.04))], {"dump": "x.bz2"})
    (case,) = [json.loads(json.dumps(case, allow_nan=False)) for case in report.cases]
    assert case["bench"] == "extract"
    assert (case["case"], case["ours"], case["stock"], case["ratio"]) == ("fast", 2.0, 1.0, 2.0)
    assert case["spread"]["ours"] == {"min": 1.235, "median": 2.0, "max": 3.0}
    assert case["other_load_cores"] == {"ours": [0.01, 0.46], "stock": [0.0, None]}
    assert case["anonymous_mebibytes"] == {"base": 100.0, "peak": 150.0, "above_base": 50.0}
    assert case["input"] == {"dump": "x.bz2"}
    assert case["machine"]["hardware"]["cores"] >= 1


def test_the_table_is_aligned_and_warns_about_other_load() -> None:
    lines = table([result(0.19), result(0.1, Memory(100.0, 150.0))]).splitlines()
    assert len({len(line) for line in lines[1:3]}) == 1
    assert "50 MiB above the 100 MiB" in lines[3]
    assert lines[4] == "other load of the machine: at most 0.19 cores in a run"
    assert "warning: above 0.2 cores" in table([result(0.21)])
    assert "other load" not in table([Comparison("a", "x", Measured.of([1]), Measured.of([1]))])
