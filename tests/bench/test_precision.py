"""What bf16 costs: the arithmetic by hand, and the whole bench on a recipe that trains in seconds."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from ulmfit.bench.precision import Pair, Trained, report, summarise
from ulmfit.bench.run import Options, bench
from ulmfit.experiments.recipe import load_recipe
from ulmfit.pipeline.errors import InputError

TESTS = Path(__file__).parents[1]
RECIPE = TESTS / "recipes_for_tests" / "tiny.py"
ENVIRONMENT = {**os.environ, "PYTHONPATH": str(TESTS), "OMP_NUM_THREADS": "1"}


def trained(loss: float, speed: float, scored: float = 0.0) -> Trained:
    return Trained(loss, loss + scored, speed, 0, {})


def pairs() -> list[Pair]:
    return [
        Pair(0, trained(4.00, 100.0), trained(4.02, 200.0, scored=-0.01)),
        Pair(1, trained(4.10, 100.0), trained(4.12, 250.0)),
        Pair(2, trained(4.20, 100.0), trained(4.23, 150.0)),
    ]


def test_the_difference_is_paired_and_scored_in_fp32() -> None:
    summary = summarise(pairs())
    assert summary["fp32"] == pytest.approx({"mean": 4.1, "sd": 0.1})
    assert summary["bf16"]["mean"] == pytest.approx(4.12)
    assert summary["difference"]["mean"] == pytest.approx(0.02)
    assert summary["difference"]["sd"] == pytest.approx(0.01)
    # Student's quantile for two degrees of freedom is 4.302653: 4.302653 * 0.01 / sqrt(3) = 0.0248414.
    assert summary["difference"]["interval"] == pytest.approx([-0.0048414, 0.0448414], abs=1e-6)
    assert summary["speed_ratio"] == 2.0


def test_one_seed_has_no_spread() -> None:
    summary = summarise(pairs()[:1])
    assert summary["difference"]["sd"] is None
    assert summary["difference"]["interval"] is None
    assert "one seed says nothing" in report(pairs()[:1], {}).table


def test_table_and_cases() -> None:
    found = report(pairs(), {"recipe": "r"})
    assert [case["case"] for case in found.cases] == ["seed 0", "seed 1", "seed 2", "3 seeds"]
    assert found.cases[0]["scoring_difference"] == pytest.approx(0.01)
    assert "bf16 costs +0.02000" in found.table
    json.dumps(list(found.cases), allow_nan=False)


def test_a_recipe_is_needed() -> None:
    with pytest.raises(InputError, match="--recipe"):
        bench("precision", Options(), print)


def test_other_benches_have_no_use_for_a_recipe() -> None:
    with pytest.raises(InputError, match="bench encode has no use for recipe: leave test/tiny out"):
        bench("encode", Options(recipe=load_recipe(str(RECIPE))), print)


def run_tiny(runs: Path) -> subprocess.CompletedProcess[str]:
    options = ["--recipe", str(RECIPE), "--set", "pretrain.phases.0.epochs=1", "--repetitions", "2"]
    command = [sys.executable, "-m", "ulmfit", "bench", "precision", *options, "--json"]
    return subprocess.run(
        [*command, "--runs", str(runs)], capture_output=True, text=True, check=True, env=ENVIRONMENT
    )


def test_both_precisions_train_on_the_same_tokens_and_go_on_after_a_stop(tmp_path: Path) -> None:
    done = run_tiny(tmp_path)
    cases = [json.loads(line) for line in done.stdout.splitlines()]
    assert [case["case"] for case in cases] == ["seed 0", "seed 1", "2 seeds"]
    stages = tmp_path / "stages"
    assert len(list(stages.glob("pretrain/*/manifest.json"))) == 4
    assert len(list(stages.glob("tokens/*/manifest.json"))) == 1
    for case in cases[:2]:
        assert case["fp32"]["machine"]["dtype"] == "float32"
        assert case["bf16"]["machine"]["dtype"] == "bfloat16"
        assert case["fp32"]["valid_loss"] == pytest.approx(case["bf16"]["valid_loss"], abs=0.05)
        assert abs(case["scoring_difference"]) < 0.01
    assert cases[0]["fp32"]["valid_loss"] != cases[1]["fp32"]["valid_loss"]
    assert cases[2]["machine"]["commit"] is not None
    assert cases[2]["input"]["overrides"] == ["pretrain.phases.0.epochs=1"]
    assert "pretrain (forward): started" in done.stderr
    again = run_tiny(tmp_path)
    assert "pretrain (forward): started" not in again.stderr, "finished trainings are not repeated"
